"""The port of the cache: read through three levels, and invalidate.

What holds, and why, is in docs/architecture.md. In short: who begins to load learns where the clock of invalidations
stands, and what is loaded is kept only if nothing that it depends on was invalidated since. Valkey's clock decides for
Valkey, the process' own clock for the process.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from redis.exceptions import RedisError
from structlog import get_logger

from shared.cache import metrics
from shared.cache.entry import ALL_TAG, Entry, Found, body
from shared.cache.family import UNTRACEABLE, Family, Load, Policy
from shared.cache.guard import Guard
from shared.cache.local import Kept, LocalLevel
from shared.cache.shared_level import LEASE_MS, MAX_TAGS, Begun

T = TypeVar("T")
R = TypeVar("R")
Why = Literal["miss", "refresh", "warm", "direct"]

BLIND_S = 1.0
"""How long a process that hears no invalidations believes what it has read."""
LEASE_WAIT_S = LEASE_MS / 1000
FIRST_PAUSE_S = 0.004
LONGEST_PAUSE_S = 0.05
REFRESH_RETRY_S = 0.5
REFRESH_AHEAD = 0.8
"""Of its time: past that, what is asked for much is loaded anew before anybody has to wait."""
MAX_REFRESHES = 64

log = get_logger(__name__)


class Shared(Protocol):
    """The second level, as `shared_level.SharedLevel` is."""

    up: bool

    async def read(self, names: Sequence[tuple[str, str]]) -> list[Found | None]:
        """Read entries."""

    async def begin(self, entry: str, tag: str) -> Begun:
        """Begin to load."""

    async def fill(
        self, entry: str, token: str, tags: Mapping[str, str], body: bytes, lifetime_ms: int
    ) -> dict[str, str]:
        """Keep what was loaded."""

    async def release(self, entry: str, token: str) -> None:
        """Give up the lease."""


class Ways(Protocol):
    """How invalidations travel, as `bus.Bus` has it."""

    def holds(self, now: float) -> bool:
        """Whether everything that was invalidated has been heard, as far as can be known."""

    def behind(self) -> bool:
        """Whether this process has invalidations that Valkey does not know yet."""

    async def send(self, tags: Sequence[str]) -> bool:
        """Invalidate in Valkey and tell all processes; False when that must wait."""


class _SharedGone(Exception):  # noqa: N818 - a way that the read takes, not a fault
    """The second level did not answer."""


class _Landed(msgspec.Struct, frozen=True):
    """What a read found, and where."""

    entry: Entry[Any]
    level: str


class _Flight(msgspec.Struct, frozen=True):
    """A read that is under way; `since` is where the process' clock stood when it began."""

    task: "asyncio.Task[_Landed]"
    since: int


class Cache:
    """One per process. Without a second level it keeps things for `BLIND_S` only, since it hears nothing."""

    def __init__(self, local: LocalLevel, guard: Guard, shared: Shared | None = None, ways: Ways | None = None) -> None:
        self.local = local
        self.families: dict[str, Family[Any]] = {}
        self.noted: Callable[[str], None] = _ignore
        """Called with the name of each entry that is asked for."""
        self._guard = guard
        self._shared = shared
        self._ways = ways
        self._flights: dict[str, _Flight] = {}
        self._refreshes: dict[str, asyncio.Task[None]] = {}
        self._sends: set[asyncio.Task[bool]] = set()

    def family(
        self,
        name: str,
        kind: type[T],
        load: Load[T],
        *,
        tags_of: Callable[[T], Iterable[str]] | None = None,
        policy: Policy | None = None,
    ) -> Family[T]:
        """A reader of things of that kind. `load` gets a key and reads from the repository, from its primary."""
        made = Family(self, name, kind, load, tags_of=tags_of, policy=policy)
        self.families[name] = made
        return made

    async def invalidate(self, *tags: str) -> bool:
        """Drop what has these tags, in all levels and processes; for whoever has just written, before they say so.

        No read that begins after this has returned gets the old from Valkey or from this process, nor from another one
        as soon as that has heard. False: Valkey is away and will be told later; others hear nothing either, and believe
        what they have for `SILENT_S` of the bus at most.
        """
        self.hear(tags)
        if self._ways is None:
            return False
        # Not cut short with the request that it belongs to: what is written is written.
        task = asyncio.create_task(self._ways.send(tags), name="cache-invalidate")
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)
        done = await asyncio.shield(task)
        # What was read from Valkey in between may be older.
        self.hear(tags)
        return done

    def hear(self, tags: Iterable[str]) -> None:
        """Something was invalidated, here or elsewhere."""
        tags = tuple(tags)
        self.local.invalidate(tags)
        for tag in tags:
            self._flights.pop(tag, None)
        if ALL_TAG in tags:
            self._flights.clear()

    def hear_anew(self) -> None:
        """Invalidations may have been missed, and are heard again from here on."""
        self.local.forget_all()
        self._flights.clear()

    async def close(self) -> None:
        """Give up what is under way."""
        reads = [flight.task for flight in self._flights.values()]
        tasks: list[asyncio.Task[Any]] = [*reads, *self._refreshes.values(), *self._sends]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def usable(self) -> bool:
        """Whether the second level is asked."""
        return self._shared is not None and self._shared.up and not (self._ways is not None and self._ways.behind())

    def near(self, family: Family[T], key: str, name: str, now: float) -> Entry[T] | None:
        """The entry in this process, when it may be served."""
        self.noted(name)
        kept = self.local.find(name)
        if kept is None or not self.good(kept, now):
            return None
        if now >= kept.fresh_until:
            metrics.STALE.labels(family.name, "refreshing").inc()
            if now >= kept.refresh_at:
                kept.refresh_at = now + REFRESH_RETRY_S
                self.refresh(family, key, "refresh")
        if kept.warmed:
            kept.warmed = False
            metrics.WARMED_USED.labels(family.name).inc()
        return kept.entry

    def good(self, kept: Kept, now: float) -> bool:
        """Whether an entry of this process may be served: in its time, and no invalidation of it missed."""
        hears = self._ways is not None and self._ways.holds(now)
        return now < kept.until and (hears or now < kept.confirmed_at + BLIND_S)

    async def fetch(self, family: Family[T], key: str, name: str) -> Entry[T]:
        """The entry from the other levels. Of those who ask at once one goes, the others wait for it."""
        joined_at = self.local.clock
        while True:
            flight = self._flights.get(name)
            if flight is None:
                flight = self._take_off(family, key, name)
            else:
                metrics.JOINED.labels(family.name, "process").inc()
            landed = await asyncio.shield(flight.task)
            entry: Entry[T] = landed.entry
            # Who came after an invalidation must not get what was read before it.
            if flight.since >= joined_at or not self.local.invalidated(entry.versions, since=flight.since):
                metrics.READS.labels(family.name, landed.level).inc()
                return entry

    def refresh(self, family: Family[Any], key: str, why: Why) -> bool:
        """Load anew in the background; False when it is being done, or too much is."""
        name = family.tag(key)
        if name in self._refreshes or len(self._refreshes) >= MAX_REFRESHES:
            return False
        task = asyncio.create_task(self._refresh(family, key, name, why), name="cache-refresh")
        self._refreshes[name] = task
        task.add_done_callback(lambda done: self._refreshed(name, done))
        return True

    def keep(
        self, family: Family[T], name: str, entry: Entry[T], *, since: int, began: float, warmed: bool = False
    ) -> bool:
        """Keep an entry in this process that was read between `began` and now; `since` is the clock at `began`."""
        if entry.traceable:
            lifetime_s = family.policy.local_s * _shortened(family.policy)
        elif self._ways is not None and self._ways.holds(began):
            # It was invalidated while it was loaded, or depends on what nobody would tell of.
            return False
        else:
            lifetime_s = min(BLIND_S, family.policy.local_s)
        kept = Kept(family.name, entry, confirmed_at=began, until=began + lifetime_s, warmed=warmed)
        return self.local.keep(name, kept, since=since)

    def _take_off(self, family: Family[T], key: str, name: str) -> _Flight:
        since = self.local.clock
        task = asyncio.create_task(self._fly(family, key, name, since), name="cache-read")
        flight = _Flight(task, since)
        self._flights[name] = flight

        def land(done: "asyncio.Task[_Landed]") -> None:
            if self._flights.get(name) is flight:
                del self._flights[name]
            if not done.cancelled():
                done.exception()  # everybody who waited may have gone away

        task.add_done_callback(land)
        return flight

    async def _fly(self, family: Family[T], key: str, name: str, since: int) -> _Landed:
        try:
            return await self._obtain(family, key, name, since)
        except Exception:
            kept = self.local.peek(name)
            if kept is None or kept.stale_until <= time.monotonic():
                raise
            metrics.STALE.labels(family.name, "error").inc()
            return _Landed(kept.entry, "l1")

    async def _obtain(self, family: Family[T], key: str, name: str, since: int) -> _Landed:
        if self.usable():
            with suppress(_SharedGone):
                return await self._through_shared(family, key, name, since)
        return _Landed(await self._direct(family, key, name, since, "direct"), "l3")

    async def _through_shared(self, family: Family[T], key: str, name: str, since: int) -> _Landed:
        began = time.monotonic()
        pause_s = FIRST_PAUSE_S
        while True:
            entry = await self.find_shared(family, key, name, since)
            if entry is not None:
                metrics.SECONDS.labels("l2").observe(time.monotonic() - began)
                if entry.age_s() > entry.fresh_s:
                    metrics.STALE.labels(family.name, "refreshing").inc()
                    self.refresh(family, key, "refresh")
                return _Landed(entry, "l2")
            begun = await self._asked("begin", self._level().begin(family.stored_as(key), name))
            if begun.leased:
                # Whoever had the lease may have ended just between that look and this lease.
                entry = await self.find_shared(family, key, name, since)
                if entry is not None:
                    await self._release(family, key, begun)
                    return _Landed(entry, "l2")
            if begun.leased or time.monotonic() - began > LEASE_WAIT_S:
                return _Landed(await self._load(family, key, name, since, begun, "miss"), "l3")
            if pause_s == FIRST_PAUSE_S:
                metrics.JOINED.labels(family.name, "elsewhere").inc()
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def find_shared(
        self, family: Family[T], key: str, name: str, since: int, *, warmed: bool = False
    ) -> Entry[T] | None:
        """The entry in Valkey, which is then kept here as well.

        Raises:
            _SharedGone: Valkey did not answer.
        """
        began = time.monotonic()
        (found,) = await self._asked("read", self._level().read([(family.stored_as(key), name)]))
        return self.take(family, name, found, since=since, began=began, warmed=warmed)

    def take(
        self, family: Family[T], name: str, found: Found | None, *, since: int, began: float, warmed: bool = False
    ) -> Entry[T] | None:
        """Keep here what was found in Valkey; None when it is of no use."""
        if found is None:
            return None
        try:
            entry = found.entry(family.decoder)
        except msgspec.DecodeError:
            return None
        if entry.age_s() > entry.fresh_s + entry.stale_s:
            return None
        self.keep(family, name, entry, since=since, began=began, warmed=warmed)
        return entry

    async def _load(self, family: Family[T], key: str, name: str, since: int, begun: Begun, why: Why) -> Entry[T]:
        """Load under a lease, and keep it in both levels."""
        stored_as, loaded_at, began = family.stored_as(key), time.time(), time.monotonic()
        try:
            value, found = await self._loaded(family, key, why, limited=False)
        except BaseException:
            await self._release(family, key, begun)
            raise
        encoded = None if value is None else family.encoder.encode(value)
        share, size = _shortened(family.policy), len(encoded or b"")
        tags = {ALL_TAG: "", name: ""} | found
        entry = family.entry(value, dict.fromkeys(tags, ""), loaded_at, share=share, size=size)
        if UNTRACEABLE in tags or UNTRACEABLE in tags.values() or len(tags) > MAX_TAGS:
            await self._release(family, key, begun)
            return entry
        written = body(list(tags), loaded_at, entry.fresh_s, entry.stale_s, encoded)
        lifetime_ms = max(1, int(1000 * (entry.fresh_s + entry.stale_s)))
        with suppress(_SharedGone):
            filled = self._level().fill(stored_as, begun.token, tags, written, lifetime_ms)
            versions = await self._asked("fill", filled)
            if versions:
                entry = family.entry(value, versions, loaded_at, share=share, size=size)
            else:
                metrics.FILLS_REFUSED.labels(family.name).inc()
        self.keep(family, name, entry, since=since, began=began, warmed=why == "warm")
        return entry

    async def _release(self, family: Family[Any], key: str, begun: Begun) -> None:
        with suppress(_SharedGone):
            await self._asked("release", self._level().release(family.stored_as(key), begun.token))

    async def _direct(self, family: Family[T], key: str, name: str, since: int, why: Why) -> Entry[T]:
        """Load without the second level."""
        loaded_at, began = time.time(), time.monotonic()
        value, found = await self._loaded(family, key, why, limited=self._shared is not None)
        size = 0 if value is None else len(family.encoder.encode(value))
        tags = dict.fromkeys((ALL_TAG, name, *found), "")
        entry = family.entry(value, tags, loaded_at, share=_shortened(family.policy), size=size)
        self.keep(family, name, entry, since=since, began=began)
        return entry

    async def _loaded(self, family: Family[Any], key: str, why: Why, *, limited: bool) -> tuple[Any, dict[str, str]]:
        async with self._guard.passing(limited=limited):
            began = time.monotonic()
            metrics.LOADS.labels(family.name, why).inc()
            found = await family.loaded(key)
            metrics.SECONDS.labels("l3").observe(time.monotonic() - began)
        return found

    async def _refresh(self, family: Family[Any], key: str, name: str, why: Why) -> None:
        since = self.local.clock
        if self.usable():
            with suppress(_SharedGone):
                # Another process may have done it.
                entry = await self.find_shared(family, key, name, since, warmed=why == "warm")
                # What is about to pass its time is warmed anew.
                enough_s = REFRESH_AHEAD if why == "warm" else 1.0
                if entry is not None and entry.age_s() < entry.fresh_s * enough_s:
                    return
                begun = await self._asked("begin", self._level().begin(family.stored_as(key), name))
                if begun.leased:
                    await self._load(family, key, name, since, begun, why)
                return
        if why == "refresh":
            await self._direct(family, key, name, since, why)

    def _refreshed(self, name: str, done: "asyncio.Task[None]") -> None:
        del self._refreshes[name]
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("cache_not_refreshed", error=type(error).__name__)

    def _level(self) -> Shared:
        if self._shared is None:
            raise _SharedGone
        return self._shared

    async def _asked(self, call: str, answer: Awaitable[R]) -> R:
        """What the second level answers; when it does not, it is left alone until it has answered a heartbeat."""
        try:
            return await answer
        except (RedisError, OSError, TimeoutError) as error:
            self._level().up = False
            metrics.ERRORS.labels(call).inc()
            raise _SharedGone from error


def _shortened(policy: Policy) -> float:
    return 1.0 - policy.jitter * random.random()  # noqa: S311 - no secret


def _ignore(_name: str) -> None:
    """Nobody measures."""
