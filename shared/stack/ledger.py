"""Which processes the stack started, on disk, so that a start after a crash can end what was left over.

A process id alone proves nothing: the number may belong to another program by now. So the record holds the time at
which the process started as well, and only a process that matches both is ever signalled.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

_REAP_DEADLINE_S: Final = 5.0


class Ledger:
    """The file of running children below a data directory; its owner holds the directory's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: dict[str, tuple[int, str]] = {}

    def record(self, name: str, pid: int) -> None:
        """Remember a child that was just started."""
        started = start_of(pid)
        if started is not None:
            self._running[name] = (pid, started)
            self._write()

    def forget(self, name: str) -> None:
        """The child has ended."""
        if self._running.pop(name, None) is not None:
            self._write()

    def reap(self) -> list[str]:
        """Kill what an earlier supervisor left running, and wait until it is gone. Returns the names.

        A file that cannot be read (cut short by a crash of the machine) names nothing to kill.
        """
        try:
            recorded = json.loads(self._path.read_text())
            left = [(str(name), int(pid), str(started)) for name, (pid, started) in recorded.items()]
        except (OSError, ValueError, TypeError, AttributeError):
            return []
        reaped = [name for name, pid, started in left if _kill(pid, started)]
        deadline = time.monotonic() + _REAP_DEADLINE_S
        while any(start_of(pid) == started for _, pid, started in left) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._write()
        return reaped

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self._running))
        temporary.replace(self._path)


# `start_of`: when a process started, in a form that no other process ever shares with its id; None when none runs.
if sys.platform == "linux":

    def start_of(pid: int) -> str | None:
        """The boot's id, and the kernel's ticks from boot to the process' start (proc(5), field 22)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        # The program's name, in parentheses, may hold anything: fields are counted from the last parenthesis.
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in {"Z", "X"} else f"{boot}/{fields[18]}"

else:

    def start_of(pid: int) -> str | None:
        """The date at which it started, by `ps`."""
        argv = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
        listed = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout.split()
        return None if not listed or listed[0].startswith("Z") else " ".join(listed[1:])


def _kill(pid: int, started: str) -> bool:
    if sys.platform != "linux":
        if start_of(pid) != started:
            return False
        os.kill(pid, signal.SIGKILL)
        return True
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The descriptor holds on to this one process: between the comparison and the signal the id cannot change hands.
        if start_of(pid) != started:
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(process)
    return True
