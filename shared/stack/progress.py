"""Stages and their seconds: printed while they pass, and again as a table at the end.

The bootstrap re-executes itself inside the virtual environment, so what was measured before travels in one
environment variable.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CARRIED: Final = "HEADRACE_STACK_PROGRESS"


class Progress:
    """The stages of one command, from the start of its first process."""

    def __init__(self) -> None:
        carried = json.loads(os.environ.pop(_CARRIED, "{}"))
        self.started: float = carried.get("started", time.time())
        self.stages: list[tuple[str, float]] = [(name, seconds) for name, seconds in carried.get("stages", [])]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage; it is printed when it has ended, with a cross when it raised."""
        begin = time.monotonic()
        waiting = sys.stdout.isatty()
        if waiting:
            print(f"  {name} …", end="\r", flush=True)
        try:
            yield
        except BaseException:
            self._print(f"✗ {name} {time.monotonic() - begin:.1f} s", over=waiting)
            raise
        seconds = time.monotonic() - begin
        self.stages.append((name, seconds))
        self._print(f"✓ {name} {seconds:.1f} s", over=waiting)

    def note(self, line: str) -> None:
        """Say something that is not a stage."""
        self._print(line, over=False)

    def elapsed(self) -> float:
        """Seconds since the command was given."""
        return time.time() - self.started

    def table(self) -> str:
        """All stages, one a line, and the whole."""
        rows = [*self.stages, ("from the command to here", self.elapsed())]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}} {seconds:7.1f} s" for name, seconds in rows)

    def carry(self) -> dict[str, str]:
        """The environment variable that hands the stages to the process that this one becomes."""
        return {_CARRIED: json.dumps({"started": self.started, "stages": self.stages})}

    @staticmethod
    def _print(line: str, *, over: bool) -> None:
        print(f"\r\033[K{line}" if over else line, flush=True)
