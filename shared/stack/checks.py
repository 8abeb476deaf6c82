"""README's second command: every check of the project in one run, each with its seconds."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from . import paths
from .node import Node

_LIMIT_S: Final = 60 * 60.0  # for one check: whatever hangs is to leave time for its being told
_TESTS_FAILED: Final = 1  # pytest's exit code for that, and for nothing else
_FEW: Final = 3
_LAST_FAILED: Final = paths.ROOT / ".pytest_cache/v/cache/lastfailed"


class Check(msgspec.Struct, frozen=True):
    """One program that must end with exit code 0.

    `again` says, for an exit code, with which arguments more it is tried a second time, or None for not at all.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environ: dict[str, str]
    again: Callable[[int], tuple[str, ...] | None] = lambda _: None


class Result(msgspec.Struct, frozen=True):
    """How a check ended; `exit_code` is of its last try, `tries` one or two."""

    name: str
    exit_code: int
    tries: int
    seconds: float

    def __str__(self) -> str:
        """One line of the summary."""
        said = f"✗ {self.name} (exit code {self.exit_code})" if self.exit_code else f"✓ {self.name}"
        again = "  at the second try: see above what failed at first" if self.tries > 1 and not self.exit_code else ""
        return f"{said:<32} {self.seconds:7.1f} s{again}"


def all_checks(node: Node, pytest_arguments: Sequence[str]) -> list[Check]:
    """Cheap ones first; pytest last, so that its summary is what one sees at the end."""
    binaries = paths.VENV / "bin"
    # Tests start programs of the environment by name.
    python_environ = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def python(name: str, program: str, *arguments: str) -> Check:
        return Check(name, (str(binaries / program), *arguments), paths.ROOT, python_environ)

    def npm(name: str, *arguments: str) -> Check:
        return Check(name, (*node.npm, *arguments), paths.CLIENT, node.environ())

    return [
        python("ruff check", "ruff", "check"),
        python("ruff format", "ruff", "format", "--check"),
        python("mypy", "mypy"),
        npm("client lint", "run", "lint"),
        npm("client types", "run", "typecheck"),
        npm("client tests", "test"),
        msgspec.structs.replace(python("pytest", "python", "-m", "pytest", *pytest_arguments), again=_few_tests_again),
    ]


def run(checks: Sequence[Check], *, limit_s: float = _LIMIT_S) -> int:
    """Run all, also after a failure. Returns 0 when all passed, else 1."""
    results = [_run(check, limit_s) for check in checks]
    print()
    for result in results:
        print(result)
    return int(any(result.exit_code for result in results))


def _run(check: Check, limit_s: float) -> Result:
    begin = time.monotonic()
    print(f"\n── {check.name}", flush=True)
    exit_code, tries = _exit_code(check, check.argv, limit_s), 1
    if exit_code and (more := check.again(exit_code)) is not None:
        print(f"\n── {check.name}, what failed once more", flush=True)
        exit_code, tries = _exit_code(check, (*check.argv, *more), limit_s), 2
    return Result(check.name, exit_code, tries, time.monotonic() - begin)


def _exit_code(check: Check, argv: Sequence[str], limit_s: float) -> int:
    # A group of its own, so that what it has started can be ended with it.
    with subprocess.Popen(
        argv, cwd=check.cwd, env=check.environ, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            print(f"\n{check.name} did not end within {limit_s:.0f} s and is killed", flush=True)
            return -signal.SIGKILL
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _few_tests_again(exit_code: int) -> tuple[str, ...] | None:
    """A few of thousands: processes that die and browsers that decode do not always keep time on a busy machine."""
    try:
        failed = len(json.loads(_LAST_FAILED.read_text()))
    except (OSError, ValueError):
        return None
    return ("--last-failed",) if exit_code == _TESTS_FAILED and 0 < failed <= _FEW else None
