"""The rooms that this process serves, and the fan-out of their logs to its sockets.

The hub holds nothing that matters: it can be rebuilt from Redis and from what clients say when they join.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.signaling.appender import Appender
from functions.signaling.outbox import Outbox, Priority, SharedFrame
from functions.signaling.tail import Tail
from shared.protocol.messages import Gap, ModerationAction, Sanction, ServerMessage, decode_event
from shared.state.rooms import Entry, Position, RoomLog

# Events of a busy room go together; an idle room's go at once. Long enough that the number of frames, which is the cost
# of fan-out, stays near 40 a second and socket; short enough not to be felt.
WINDOW_S = 0.024
EPOCH_CHECK_S = 2.0
UNPROMPTED_CHECKS = 5
SANCTION = 6

log = get_logger(__name__)


class Membership:
    """One socket's place in a room. Until `activate`, live events are held back behind those of the resume."""

    __slots__ = ("_delivered", "_held", "outbox")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._delivered = 0
        self._held: list[Entry] | None = []

    def activate(self, position: Position) -> None:
        """Hand over what the resume found, then what was held back, then everything as it comes."""
        held = self._held or []
        self._held = None
        self._delivered = position.offset
        if position.entries:
            self.outbox.put_shared(batch_frame(position.entries), Priority.EVENTS)
        if held:
            self.deliver(held, batch_frame(held))

    def deliver(self, entries: Sequence[Entry], frame: SharedFrame) -> None:
        """Take a batch of the log; `frame` is the batch encoded, shared by all sockets of the room."""
        if self._held is not None:
            self._held.extend(entries)
        elif entries[0][0] > self._delivered:
            self._delivered = entries[-1][0]
            self.outbox.put_shared(frame, Priority.EVENTS)
        elif fresh := [entry for entry in entries if entry[0] > self._delivered]:
            # Only just after a join, where resume and tail overlap.
            self._delivered = fresh[-1][0]
            self.outbox.put_shared(batch_frame(fresh), Priority.EVENTS)


def batch_frame(entries: Sequence[Entry]) -> SharedFrame:
    """The `events` frame of a batch."""
    return SharedFrame(lambda codec: codec.events_frame(entries))


def message_frame(message: ServerMessage, conflate: int = 0) -> SharedFrame:
    """The frame of one message for many; see `SharedFrame` for `conflate`."""
    return SharedFrame(lambda codec: codec.encode_server(message), conflate)


class _Channel:
    """A room on this process: its members, and the events of the present window."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.members: set[Membership] = set()
        self.opening = asyncio.Lock()
        self.followed = False
        self.epoch = ""
        self.offset = 0
        self._loop = loop
        self._window: list[Entry] = []
        self._flushed_at = 0.0
        self._flush_due: asyncio.TimerHandle | None = None

    def collect(self, entries: Sequence[Entry]) -> None:
        """Take events from the log: out at once when the room was quiet, else at the end of the window."""
        self.offset = entries[-1][0]
        self._window.extend(entries)
        if self._flush_due is None:
            due = self._flushed_at + WINDOW_S
            if due <= self._loop.time():
                self._flush()
            else:
                self._flush_due = self._loop.call_at(due, self._flush)

    def send(self, frame: SharedFrame, priority: Priority) -> None:
        """Send a frame that is not an event to every member."""
        for member in tuple(self.members):
            member.outbox.put_shared(frame, priority)

    def _flush(self) -> None:
        self._flush_due = None
        self._flushed_at = self._loop.time()
        entries, self._window = self._window, []
        frame = batch_frame(entries)
        # A copy: a socket that has gone is found out here, and leaves.
        for member in tuple(self.members):
            member.deliver(entries, frame)
        metrics.DELIVERIES.inc(len(entries) * len(self.members))
        metrics.EVENTS_FANNED_OUT.inc(len(entries))
        metrics.FAN_OUT_BATCH.observe(len(entries))
        # An offset is the time of the append in µs.
        metrics.TAIL_SECONDS.observe(max(0.0, time.time() - entries[0][0] / 1e6))


class Hub:
    """All rooms of one process. `start` before use; `stop` at the end."""

    def __init__(self, redis_url: str, redis: Redis, room_log: RoomLog) -> None:
        self.appender = Appender(room_log)
        self._log = room_log
        self._tail = Tail(redis_url, redis, self._deliver)
        self._channels: dict[str, _Channel] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.on_ban: Callable[[str, str], None] = lambda _room, _participant: None
        self.on_open: Callable[[str], None] = lambda _room: None
        self._empty = asyncio.Event()
        self._empty.set()

    def start(self) -> None:
        """Start following logs."""
        self._tasks = [
            asyncio.create_task(self._tail.run(), name="tail"),
            asyncio.create_task(self._check_epochs(), name="epochs"),
        ]

    async def stop(self) -> None:
        """Stop, after what is being appended."""
        await self.appender.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def join(
        self, room: str, outbox: Outbox, *, epoch: str | None, offset: int | None
    ) -> tuple[Membership, Position]:
        """Become a member of a room, from (epoch, offset) of its log on. Call `Membership.activate` next.

        Raises:
            redis.exceptions.RedisError: nothing has changed; try again later.
        """
        channel = self._channels.get(room)
        if channel is None:
            channel = self._channels[room] = _Channel(asyncio.get_running_loop())
            self.on_open(room)
        member = Membership(outbox)
        # Before the resume: an event that is appended meanwhile is held back, not missed.
        channel.members.add(member)
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
        if channel is None or member not in channel.members:
            return
        channel.members.discard(member)
        if not channel.members:
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
        return len(channel.members) if channel else 0

    def broadcast(self, room: str, message: ServerMessage, priority: Priority, conflate: int = 0) -> None:
        """Send a message to this process's sockets of a room."""
        channel = self._channels.get(room)
        if channel is not None:
            channel.send(message_frame(message, conflate), priority)

    def outboxes(self) -> Iterator[Outbox]:
        """The outbox of every member of every room."""
        for channel in list(self._channels.values()):
            for member in list(channel.members):
                yield member.outbox

    async def emptied(self) -> None:
        """Wait until no socket is in any room."""
        await self._empty.wait()

    def _deliver(self, room: str, entries: Sequence[Entry]) -> None:
        channel = self._channels.get(room)
        if channel is None:
            return
        channel.collect(entries)
        for _, event in entries:
            # The type is behind the one byte of a short array's header; all other events pass undecoded.
            if event[1] == SANCTION:
                sanction = decode_event(event)
                if isinstance(sanction, Sanction) and sanction.action == ModerationAction.BAN:
                    self.on_ban(room, sanction.participant)

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
