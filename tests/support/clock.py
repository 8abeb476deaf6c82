"""A clock for processes that can be set: libfaketime (Debian's package) answers them for the kernel.

Only the time of day jumps, as when a host's clock is set: what measures durations goes on.
"""

from pathlib import Path
from typing import Final

from shared.stack.prerequisites import libfaketime

READ_AGAIN_S: Final = 1


class Clock:
    """A clock of the processes that are started with `environ`; at first it is right.

    Raises:
        FileNotFoundError: libfaketime is not installed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        library = libfaketime()
        if library is None:
            raise FileNotFoundError("no libfaketime: apt-get install libfaketime")
        self._library = library
        self.jump(0)

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to go by it."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(READ_AGAIN_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Let it be so many seconds fast."""
        self._file.write_text(f"{seconds:+d}s\n", encoding="ascii")
