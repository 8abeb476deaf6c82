"""The cache of one process with all that belongs to it: levels, bus and warming, made, run and closed together."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from shared.cache.bus import Bus
from shared.cache.cache import Cache
from shared.cache.family import Family
from shared.cache.guard import Guard
from shared.cache.local import LocalLevel
from shared.cache.shared_level import SharedLevel
from shared.cache.warming import Warmer
from shared.state.connect import connect_redis

EXPIRE_S = 5.0


class ProcessCache:
    """One per process. `cache` is for reading and invalidating; `run` until cancelled, then `close`."""

    def __init__(
        self, url: str, instance: str, *, max_entries: int, max_bytes: int, loads_per_s: float, warming: bool = True
    ) -> None:
        """`url` is that of the cache's Valkey, '' where there is none; `instance` must be new at each start.

        Raises:
            ValueError: the URL cannot be used.
        """
        local, guard = LocalLevel(max_entries=max_entries, max_bytes=max_bytes), Guard(loads_per_s)
        self.shared: SharedLevel | None = None
        self._listening: Redis | None = None
        self._bus: Bus | None = None
        self._warmer: Warmer | None = None
        if not url:
            self.cache = Cache(local, guard)
            return
        self.shared = SharedLevel(url)
        self._listening = connect_redis(url)
        self._bus = Bus(self.shared, self._listening, instance, on_tags=self._hear, on_missed=self._hear_anew)
        self.cache = Cache(local, guard, self.shared, self._bus)
        if warming:
            self._warmer = Warmer(self.cache, self.shared)

    def connected(self) -> bool:
        """Whether the second level is used and invalidations are heard."""
        return self._bus is not None and self._bus.holds(time.monotonic()) and self.cache.usable()

    def expect(self, family: Family[Any], key: str) -> None:
        """Many will ask for this soon."""
        if self._warmer is not None:
            self._warmer.expect(family, key)

    async def run(self) -> None:
        """Listen for invalidations and warm, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._bus is not None:
                tasks.create_task(self._bus.run(), name="cache-bus")
            if self._warmer is not None:
                tasks.create_task(self._warmer.run(), name="cache-warmer")
            tasks.create_task(self._expire_for_ever(), name="cache-expire")

    async def close(self) -> None:
        """Give up what is under way and close all connections."""
        await self.cache.close()
        if self.shared is not None:
            await self.shared.close()
        if self._listening is not None:
            await self._listening.aclose()

    async def _expire_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_S)
            self.cache.local.expire()

    def _hear(self, tags: Iterable[str]) -> None:
        self.cache.hear(tags)

    def _hear_anew(self) -> None:
        self.cache.hear_anew()
