"""The rooms that this process serves, and the fan-out of their logs to its sockets.

The hub holds nothing that matters: it can be rebuilt from Redis and from what clients say when they join.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.signaling.appender import Appender
from functions.signaling.backlog import Priority
from functions.signaling.fan_out import Channel, Membership, message_frame
from functions.signaling.outbox import Outbox
from functions.signaling.tail import Tail
from shared.protocol.messages import Gap, ModerationAction, Sanction, ServerMessage, decode_event
from shared.state.rooms import Entry, Position, RoomLog
from shared.tasks import end, keep

EPOCH_CHECK_S = 2.0
UNPROMPTED_CHECKS = 5
SANCTION = 6

log = get_logger(__name__)


class Hub:
    """All rooms of one process. `start` before use; `stop` at the end."""

    def __init__(self, redis_url: str, redis: Redis, room_log: RoomLog) -> None:
        self.appender = Appender(room_log)
        self._log = room_log
        self._tail = Tail(redis_url, redis, self._deliver)
        self._channels: dict[str, Channel] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.on_ban: Callable[[str, str], None] = lambda _room, _participant: None
        self.on_open: Callable[[str], None] = lambda _room: None
        self._empty = asyncio.Event()
        self._empty.set()

    def start(self) -> None:
        """Start following logs."""
        self._tasks = [
            keep(self._tail.run, "tail", metrics.task_failed),
            keep(self._check_epochs, "epochs", metrics.task_failed),
        ]

    async def stop(self) -> None:
        """Stop, after what is being appended."""
        await self.appender.stop()
        await end(*self._tasks)

    async def join(
        self, room: str, outbox: Outbox, *, epoch: str | None, offset: int | None
    ) -> tuple[Membership, Position]:
        """Become a member of a room, from (epoch, offset) of its log on. Call `Membership.activate` next.

        Raises:
            redis.exceptions.RedisError: nothing has changed; try again later.
        """
        channel = self._channels.get(room)
        if channel is None:
            channel = self._channels[room] = Channel()
            self.on_open(room)
        member = Membership(outbox)
        # Before the resume: an event that is appended meanwhile is held back, not missed.
        channel.add(member)
        self._empty.clear()
        metrics.ROOMS.set(len(self._channels))
        try:
            async with channel.opening:
                position = await self._log.resume(room, epoch, offset)
                if not channel.followed:
                    channel.followed = True
                    channel.epoch, channel.offset = position.epoch, position.offset
                    self._tail.follow(room, position.offset)
        except BaseException:
            self.leave(room, member)
            raise
        return member, position

    def leave(self, room: str, member: Membership) -> None:
        """Leave a room; a second time does nothing."""
        channel = self._channels.get(room)
        if channel is None or not channel.discard(member):
            return
        if not len(channel):
            del self._channels[room]
            self._tail.forget(room)
            if not self._channels:
                self._empty.set()
        metrics.ROOMS.set(len(self._channels))

    def rooms(self) -> list[str]:
        """The rooms that this process serves."""
        return list(self._channels)

    def members(self, room: str) -> int:
        """How many sockets this process has in a room."""
        channel = self._channels.get(room)
        return len(channel) if channel is not None else 0

    def broadcast(self, room: str, message: ServerMessage, priority: Priority, conflate: int = 0) -> None:
        """Send a message to this process's sockets of a room."""
        channel = self._channels.get(room)
        if channel is not None:
            channel.send(message_frame(message, conflate), priority)

    def outboxes(self) -> Iterator[Outbox]:
        """The outbox of every member of every room."""
        for channel in list(self._channels.values()):
            for member in channel:
                yield member.outbox

    async def emptied(self) -> None:
        """Wait until no socket is in any room."""
        await self._empty.wait()

    def _deliver(self, room: str, entries: Sequence[Entry]) -> float:
        channel = self._channels.get(room)
        if channel is None:
            return 0.0
        pause_s = channel.collect(entries)
        for _, event in entries:
            # The type is behind the one byte of a short array's header; all other events pass undecoded.
            if event[1] == SANCTION:
                sanction = decode_event(event)
                if isinstance(sanction, Sanction) and sanction.action == ModerationAction.BAN:
                    self.on_ban(room, sanction.participant)
        return pause_s

    async def _check_epochs(self) -> None:
        """Notice a log that was lost, or cut short by a failover, while members are connected, and say so."""
        interruptions = -1
        for rounds in itertools.count():
            await asyncio.sleep(EPOCH_CHECK_S)
            # A server that is emptied or replaced behind a proxy need not break our connection.
            if interruptions == self._tail.interruptions and rounds % UNPROMPTED_CHECKS:
                continue
            interruptions = self._tail.interruptions
            for room, channel in list(self._channels.items()):
                if not channel.followed:
                    continue
                try:
                    epoch = await self._log.confirm(room, channel.epoch, channel.offset)
                except (RedisError, OSError) as error:
                    log.warning("epoch_not_checked", error=type(error).__name__)
                    interruptions = -1
                    break
                if epoch != channel.epoch:
                    channel.epoch = epoch
                    metrics.GAPS.labels("epoch").inc()
                    channel.send(message_frame(Gap("epoch", epoch, 0)), Priority.EVENTS)
