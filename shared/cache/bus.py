"""How invalidations travel: a script makes them hold in Valkey and publishes them in the same step; processes listen.

A process knows that it hears. Its own heartbeat comes back to it with where the clock stands: if that is not the last
that it heard of, a message was lost; if none comes, the link is dead. Then what it has is not served any more. So a
lost message means that the old is served for `SILENT_S` at most.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from shared.cache import metrics
from shared.cache.entry import ALL_TAG
from shared.cache.shared_level import CHANNEL, SharedLevel

HEARTBEAT_S = 0.7
SILENT_S = 2.0
RETRY_S = 0.3
TAGS_AT_ONCE = 200
MAX_PENDING = 2_000
_MEASURED = 100

log = get_logger(__name__)


class _Message(msgspec.Struct, frozen=True, array_like=True):
    epoch: str
    number: int
    origin: str
    tags: list[str]


class Bus:
    """One per process; `run` until cancelled. `instance` names the process and must be new at each start."""

    def __init__(
        self,
        shared: SharedLevel,
        redis: Redis,
        instance: str,
        *,
        on_tags: Callable[[Iterable[str]], None],
        on_missed: Callable[[], None],
    ) -> None:
        """`redis` is for listening; `on_missed` is called when all that is known is in doubt, also at the beginning."""
        self._shared = shared
        self._redis = redis
        self._instance = instance
        self._channel = f"cache:heartbeat:{instance}"
        self._on_tags = on_tags
        self._on_missed = on_missed
        self._decoder = msgspec.msgpack.Decoder(_Message)
        self._heard_at = float("-inf")
        self._position: tuple[str, int] | None = None
        self._subscribed = asyncio.Event()
        self._greeted = False
        self._pending: set[str] = set()
        self._sending: set[str] = set()
        self._sent: OrderedDict[int, float] = OrderedDict()

    def holds(self, now: float) -> bool:
        """Whether this process hears, as far as can be known."""
        return now - self._heard_at < SILENT_S

    def behind(self) -> bool:
        """Whether there are invalidations that Valkey does not know yet."""
        return bool(self._pending or self._sending)

    async def send(self, tags: Sequence[str]) -> bool:
        """Invalidate tags in Valkey and tell all processes; False when Valkey is away: then it is told later."""
        if self._shared.up and not self.behind():
            with suppress(RedisError, OSError, TimeoutError):
                await self._send(tags)
                return True
            self._shared.up = False
            metrics.ERRORS.labels("invalidate").inc()
        metrics.INVALIDATIONS.labels("waiting").inc()
        self._pending.update(tags)
        if len(self._pending) > MAX_PENDING:
            self._pending = {ALL_TAG}
        return False

    async def run(self) -> None:
        """Listen, and ask whether one hears, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen_for_ever(), name="cache-listen")
                tasks.create_task(self._beat_for_ever(), name="cache-heartbeat")
        finally:
            self._heard_at = float("-inf")

    async def _send(self, tags: Sequence[str]) -> None:
        for first in range(0, len(tags), TAGS_AT_ONCE):
            began = time.monotonic()
            number = await self._shared.invalidate(tags[first : first + TAGS_AT_ONCE], self._instance)
            self._sent[number] = began
            while len(self._sent) > _MEASURED:
                self._sent.popitem(last=False)
        metrics.INVALIDATIONS.labels("sent").inc()

    async def _beat_for_ever(self) -> None:
        while True:
            try:
                await self._beat()
            except (RedisError, OSError, TimeoutError) as error:
                if self._shared.up or self._greeted:
                    log.warning("cache_away", error=type(error).__name__)
                self._shared.up = self._greeted = False
                metrics.ERRORS.labels("beat").inc()
            metrics.CONNECTED.set(int(self._shared.up and self.holds(time.monotonic())))
            await asyncio.sleep(HEARTBEAT_S if self._shared.up else RETRY_S)

    async def _beat(self) -> None:
        if not self._greeted and await self._shared.greet():
            log.info("cache_emptied", reason="another server than before")
        self._greeted = True
        while self._pending:
            # Those that come meanwhile are newer, even where they are the same.
            self._sending, self._pending = self._pending, set()
            try:
                await self._send(sorted(self._sending))
            except BaseException:
                self._pending |= self._sending
                raise
            finally:
                self._sending = set()
        await self._shared.beat(self._channel)
        self._shared.up = True

    async def _listen_for_ever(self) -> None:
        while True:
            pubsub = self._redis.pubsub()
            try:
                await self._listen(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                metrics.ERRORS.labels("listen").inc()
                log.warning("cache_not_heard", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            finally:
                self._heard_at = float("-inf")
                self._position = None
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, pubsub: Any) -> None:  # noqa: ANN401 - redis-py leaves it untyped
        """Hand on what comes.

        Raises:
            TimeoutError: not even our own heartbeat comes any more.
        """
        await pubsub.subscribe(CHANNEL, self._channel)
        began = time.monotonic()
        # The one that is due may be most of a second away.
        with suppress(RedisError, OSError, TimeoutError):
            await self._shared.beat(self._channel)
        while True:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=SILENT_S / 4)
            if message is not None:
                self._hear(message["data"], heartbeat=message["channel"] == self._channel.encode())
            if time.monotonic() - max(self._heard_at, began) > SILENT_S:
                raise TimeoutError

    def _hear(self, data: bytes, *, heartbeat: bool) -> None:
        try:
            message = self._decoder.decode(data)
        except msgspec.DecodeError:
            # Of a release that says more: whatever it was about, nothing here is older than this.
            self._on_missed()
            return
        if self._position is None:
            # Until a heartbeat has come there may be invalidations between the subscription and now.
            if not heartbeat:
                return
            self._on_missed()
        else:
            epoch, number = self._position
            expected = number if heartbeat else number + 1
            # A message that was sent before the heartbeat that told of it is no news.
            if message.epoch != epoch or message.number > expected:
                metrics.INVALIDATIONS.labels("missed").inc()
                log.warning("cache_invalidation_missed")
                self._on_missed()
        if heartbeat:
            self._heard_at = time.monotonic()
        if message.tags:
            metrics.INVALIDATIONS.labels("heard").inc()
            self._on_tags(message.tags)
            if message.origin == self._instance and (sent_at := self._sent.pop(message.number, None)) is not None:
                metrics.INVALIDATION_SECONDS.observe(time.monotonic() - sent_at)
        self._position = message.epoch, message.number
