"""Warming by what is measured: what all processes together are asked for most, or soon will be, is here already.

Each process counts its reads, adds them once a second to windows in Valkey and gets the most read of all processes.
The rate is taken to go on as from the last window to this one. What will be read so is brought into the process, and
what is about to pass its time is loaded anew by one process. `expect` is for what is known to come: a room about to go
live.
"""

import asyncio
import time
from contextlib import suppress

from redis.exceptions import RedisError
from structlog import get_logger

from shared.cache import metrics
from shared.cache.cache import REFRESH_AHEAD, Cache
from shared.cache.family import Family
from shared.cache.shared_level import SharedLevel

ROUND_S = 1.0
WINDOW_S = 5.0
LIFETIME_S = 30
MOST_READ = 200
MAX_COUNTED = 5_000
"""Names that a process counts in a round; those of a scan of codes are not worth more."""
LEAST_PER_S = 0.5
LEAST_READS = 3
EXPECTED_READS = 50
LOADS_PER_ROUND = 20

log = get_logger(__name__)


class Warmer:
    """One per process; `run` until cancelled."""

    def __init__(self, cache: Cache, shared: SharedLevel) -> None:
        self._cache = cache
        self._shared = shared
        self._counts: dict[str, int] = {}
        cache.noted = self._count

    def expect(self, family: Family[object], key: str) -> None:
        """Many will ask for this soon: have it everywhere within a round or two."""
        self._count(family.tag(key), EXPECTED_READS)
        if self._cache.usable():
            self._cache.refresh(family, key, "warm")

    async def run(self) -> None:
        """Warm until cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            if self._cache.usable():
                with suppress(RedisError, OSError, TimeoutError):
                    await self.round()
                    continue
                metrics.ERRORS.labels("heat").inc()
            self._counts = {}

    async def round(self) -> None:
        """Tell what was read here, and bring in what is read elsewhere.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: Valkey is away.
        """
        counts, self._counts = self._counts, {}
        window, into_s = divmod(time.time(), WINDOW_S)
        current, before = await self._shared.heat(int(window), LIFETIME_S, counts, MOST_READ)
        wanted = [name for name in expected(current, before, into_s) if not self._is_here(name)]
        await self._bring(wanted)

    def _count(self, name: str, reads: int = 1) -> None:
        counts = self._counts
        if name in counts or len(counts) < MAX_COUNTED:
            counts[name] = counts.get(name, 0) + reads

    def _is_here(self, name: str) -> bool:
        kept, now = self._cache.local.peek(name), time.monotonic()
        if kept is None or not self._cache.good(kept, now):
            return False
        fresh_s = kept.entry.fresh_s
        return now < kept.until - 2 * ROUND_S and now < kept.fresh_until - fresh_s * (1 - REFRESH_AHEAD)

    async def _bring(self, names: list[str]) -> None:
        known = [(family, key, name) for name in names if (family := self._family(name)) and (key := _key(name))]
        if not known:
            return
        since, began = self._cache.local.clock, time.monotonic()
        found = await self._shared.read([(family.stored_as(key), name) for family, key, name in known])
        loads = LOADS_PER_ROUND
        for (family, key, name), one in zip(known, found, strict=True):
            entry = self._cache.take(family, name, one, since=since, began=began, warmed=True)
            old = entry is None or entry.age_s() > entry.fresh_s * REFRESH_AHEAD
            if old and loads > 0 and self._cache.refresh(family, key, "warm"):
                loads -= 1
            if entry is not None:
                metrics.WARMED.labels(family.name).inc()

    def _family(self, name: str) -> Family[object] | None:
        return self._cache.families.get(name.partition(":")[0])


def expected(current: dict[str, float], before: dict[str, float], into_s: float) -> list[str]:
    """The names that will be read most, by their reads in a window that has lasted `into_s`, and in the one before."""
    rates: dict[str, float] = {}
    for name in current.keys() | before.keys():
        earlier = before.get(name, 0.0) / WINDOW_S
        if current.get(name, 0.0) + before.get(name, 0.0) < LEAST_READS:
            continue
        # A window that has just begun says little: what the one before had is let run on into it.
        now = (current.get(name, 0.0) + earlier * max(0.0, ROUND_S - into_s)) / max(into_s, ROUND_S)
        rates[name] = now + max(0.0, now - earlier)
    likely = sorted((name for name, rate in rates.items() if rate >= LEAST_PER_S), key=lambda name: -rates[name])
    return likely[:MOST_READ]


def _key(name: str) -> str:
    return name.partition(":")[2]
