"""Keyframe requests of many viewers become few requests to one publisher.

A keyframe serves everybody who asked before it began. Requests within the interval are coalesced, and the last of them
is never forgotten: as long as a request is unserved, it is repeated. A publisher that has let a request go unanswered
for that long is known to ignore them, until it answers one.
"""

import asyncio
from collections.abc import Callable

INTERVAL_S = 0.5
# Whoever sees a picture already can wait so long since the last request: then all that ask within a second are served
# by two keyframes, the first one's and the one after all others have asked.
PATIENCE_S = 1.0
MAX_REPEATS = 20


class KeyframeRequests:
    """Throttle in front of `send`, which asks the publisher and says whether it could."""

    def __init__(
        self,
        send: Callable[[], bool],
        *,
        on_unanswered: Callable[[], None] = lambda: None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.ignored = False
        """Whether the publisher let the interval pass, the last time that it was asked."""
        self._send = send
        self._on_unanswered = on_unanswered
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._last_sent = float("-inf")
        # When the first of the requests was sent that have not been served yet.
        self._unanswered_since: float | None = None
        self._due = float("-inf")
        self._repeats = 0
        self._wanted = False
        self._timer: asyncio.TimerHandle | None = None

    def request(self, *, patience_s: float = 0.0) -> None:
        """Somebody needs a keyframe; with patience, not sooner than that after the last request."""
        due = self._last_sent + max(self._interval_s, patience_s)
        # Who waits patiently is served with whoever does not.
        self._due = min(self._due, due) if self._wanted else due
        self._wanted = True
        self._repeats = 0
        if self._timer is not None:
            if self._timer.when() <= self._due:
                return
            self._timer.cancel()
        self._ask()

    def served(self) -> None:
        """A keyframe began: whoever asked before has what they need."""
        if self._unanswered_since is not None:
            self.ignored = self._loop.time() - self._unanswered_since >= self._interval_s
            self._unanswered_since = None
        self._wanted = False

    def close(self) -> None:
        """Ask no more."""
        self._wanted = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self) -> None:
        self._timer = None
        if not self._wanted or self._repeats > MAX_REPEATS:
            return
        if self._due > self._loop.time():
            self._timer = self._loop.call_at(self._due, self._ask)
            return
        if self._unanswered_since is not None and self._loop.time() - self._unanswered_since >= self._interval_s:
            self.ignored = True
            self._on_unanswered()
        self._repeats += 1
        if self._send():
            self._last_sent = self._loop.time()
            if self._unanswered_since is None:
                self._unanswered_since = self._last_sent
        self._due = self._loop.time() + self._interval_s
        self._timer = self._loop.call_at(self._due, self._ask)
