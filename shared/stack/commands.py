"""Run a program that installs or builds something: its output goes to a log, a failure becomes one line."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .errors import CommandFailed
from .paths import shown

_TAIL_LINES: Final = 12


def run_logged(
    argv: Sequence[str],
    *,
    log: Path,
    what: str,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = 900,
) -> None:
    """Run to the end.

    Raises:
        CommandFailed: not there, an exit code other than 0, or no end within `timeout_s`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        try:
            code = subprocess.run(
                argv,
                cwd=cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{what} did not end within {timeout_s:.0f} s; its output: {shown(log)}") from None
        except OSError as error:
            raise CommandFailed(f"{what} could not be started: {error}") from None
    if code != 0:
        raise CommandFailed(f"{what} failed (exit code {code}); its output: {shown(log)}\n{tail(log)}")


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (the log is empty)"
