"""The launcher of every child: it ties the child's life to the supervisor's, then becomes the program.

Linux kills the child when the process that started it dies, however that dies (`prctl(PR_SET_PDEATHSIG)`; it survives
exec). Setting this needs code between fork and exec, and Python's own hook for that (`preexec_fn`) is unsafe once there
are threads: so a small program of its own does it. Elsewhere the next start reaps what was left (see `ledger`).

Usage: `child.py SUPERVISOR_PID PROGRAM [ARGUMENT …]`, run as a file with `-I -S`, which starts in about 15 ms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the tie, check that the supervisor still lives, become the program."""
    supervisor, argv = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # SIGKILL: a program that hangs while it stops would be left over. What must last is on disk already: Valkey has
        # written its append-only file before it answers, MongoDB its journal before a majority write is acknowledged.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("the supervisor died before its child had started")
    # Python ignores SIGPIPE, and an ignored signal stays ignored after exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 - becoming the program is the point, and no shell is involved


if __name__ == "__main__":
    main()
