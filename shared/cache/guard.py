"""What may go to the repositories at once, and while the cache's Valkey is away also how much a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.cache import metrics
from shared.cache.errors import CacheOverloaded

PATIENCE_S = 1.0
AT_ONCE = 32


class Guard:
    """One per process: `per_second` reads in the long run, a tenth of a second's worth at once."""

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1 / per_second
        self._burst_s = max(0.1, self._interval_s)
        self._due = 0.0
        self._at_once = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def passing(self, *, limited: bool) -> AsyncIterator[None]:
        """Wait for one's turn. Whoever would wait longer than `PATIENCE_S` is refused at once.

        Raises:
            CacheOverloaded: there are too many.
        """
        if limited:
            await self._wait()
        async with self._at_once:
            yield

    async def _wait(self) -> None:
        now = time.monotonic()
        # Generic cell rate: `due` is when the next one would go if all went evenly.
        due = max(self._due, now - self._burst_s) + self._interval_s
        if due - now > PATIENCE_S:
            metrics.GUARDED.labels("refused").inc()
            raise CacheOverloaded(due - now)
        self._due = due
        metrics.GUARDED.labels("waited" if due > now else "passed").inc()
        if due > now:
            await asyncio.sleep(due - now)
