"""What this process has read of room logs and not got into MongoDB yet: how old the oldest of it is."""

import time

from functions import metrics
from shared.state.news import LEASE_MS

# Who fails tries again within seconds, or another archiver has the room and counts it.
FORGOTTEN_AFTER_S = 2 * LEASE_MS / 1000


class Arrears:
    """One per archiver; `headrace_archive_lag_seconds` is read from it whenever somebody asks."""

    def __init__(self) -> None:
        self._oldest: dict[str, tuple[int, float]] = {}
        metrics.ARCHIVE_LAG_SECONDS.set_function(self.lag_s)

    def add(self, room: str, offset: int) -> None:
        """Events of a room were read, the oldest at `offset` (µs since 1970)."""
        self._oldest[room] = (offset, time.monotonic())

    def remove(self, room: str) -> None:
        """They are written."""
        self._oldest.pop(room, None)

    def lag_s(self) -> float:
        """Age in seconds of the oldest."""
        recent = time.monotonic() - FORGOTTEN_AFTER_S
        # A copy, in one step: this is asked from another thread.
        offsets = [offset for offset, noted_at in tuple(self._oldest.values()) if noted_at > recent]
        return max(0.0, time.time() - min(offsets) / 1e6) if offsets else 0.0
