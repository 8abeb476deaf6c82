"""The rooms that this process serves, and the fan-out of their logs to its sockets.

The hub holds nothing that matters: it can be rebuilt from Redis and from what clients say when they join.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.signaling.appender import Appender
from functions.signaling.outbox import Outbox
from functions.signaling.tail import Tail
from shared.protocol.messages import Gap, ServerMessage, Viewers, encode, events_frame
from shared.state.rooms import Entry, Position, RoomLog

PRESENCE_INTERVAL_S = 2.0
PRESENCE_DEBOUNCE_S = 0.1

log = get_logger(__name__)


class Membership:
    """One socket's place in a room. Until `activate`, live events are held back behind those of the resume."""

    def __init__(self, outbox: Outbox, *, watches: bool) -> None:
        self.outbox = outbox
        self.watches = watches
        self._delivered = 0
        self._held: list[Entry] | None = []

    def activate(self, position: Position) -> None:
        """Hand over what the resume found, then what was held back, then everything as it comes."""
        held = self._held or []
        self._held = None
        self._delivered = position.offset
        if position.entries:
            self.outbox.put(events_frame(position.entries))
        if held:
            self.deliver(held, events_frame(held))

    def deliver(self, entries: Sequence[Entry], frame: bytes) -> None:
        """Take a batch of the log; `frame` is the batch encoded, shared by all sockets of the room."""
        if self._held is not None:
            self._held.extend(entries)
        elif entries[0][0] > self._delivered:
            self._delivered = entries[-1][0]
            self.outbox.put(frame)
        elif fresh := [entry for entry in entries if entry[0] > self._delivered]:
            # Only just after a join, where resume and tail overlap.
            self._delivered = fresh[-1][0]
            self.outbox.put(events_frame(fresh))


class _Channel:
    """A room on this process."""

    def __init__(self) -> None:
        self.members: set[Membership] = set()
        self.opening = asyncio.Lock()
        self.followed = False
        self.epoch = ""
        self.viewers = 0

    def send(self, message: ServerMessage) -> None:
        frame = encode(message)
        for member in self.members:
            member.outbox.put(frame)


class Hub:
    """All rooms of one process. `start` before use; `stop` at the end."""

    def __init__(self, redis_url: str, redis: Redis, room_log: RoomLog, instance: str) -> None:
        self.appender = Appender(room_log)
        self._log = room_log
        self._tail = Tail(redis_url, redis, self._deliver)
        self._channels: dict[str, _Channel] = {}
        # A restarted process must not overwrite the count of the one before it, which expires by itself.
        self._instance = f"{instance}:{secrets.token_hex(4)}"
        self._tasks: list[asyncio.Task[None]] = []
        self._changed: set[str] = set()
        self._presence_due = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def start(self) -> None:
        """Start following logs and reporting presence."""
        self._tasks = [
            asyncio.create_task(self._tail.run(), name="tail"),
            asyncio.create_task(self._report_for_ever(), name="presence"),
            asyncio.create_task(self._report_changes(), name="presence-changes"),
        ]

    async def stop(self) -> None:
        """Stop, and take this process's viewers out of the count."""
        await self.appender.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def join(
        self, room: str, outbox: Outbox, *, watches: bool, epoch: str | None, offset: int | None
    ) -> tuple[Membership, Position]:
        """Become a member of a room, from (epoch, offset) of its log on. Call `Membership.activate` next.

        Raises:
            redis.exceptions.RedisError: nothing has changed; try again later.
        """
        channel = self._channels.setdefault(room, _Channel())
        member = Membership(outbox, watches=watches)
        # Before the resume: an event that is appended meanwhile is held back, not missed.
        channel.members.add(member)
        self._empty.clear()
        metrics.ROOMS.set(len(self._channels))
        try:
            async with channel.opening:
                position = await self._log.resume(room, epoch, offset)
                if not channel.followed:
                    channel.followed = True
                    channel.epoch = position.epoch
                    self._tail.follow(room, position.offset)
        except BaseException:
            self.leave(room, member)
            raise
        self._presence_changed(room)
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
        self._presence_changed(room)

    def viewers(self, room: str) -> int:
        """How many viewers the room had at the last count."""
        channel = self._channels.get(room)
        return channel.viewers if channel else 0

    def outboxes(self) -> list[Outbox]:
        """The outbox of every member of every room."""
        return [member.outbox for channel in self._channels.values() for member in channel.members]

    async def emptied(self) -> None:
        """Wait until no socket is in any room."""
        await self._empty.wait()

    def _deliver(self, room: str, entries: Sequence[Entry]) -> None:
        channel = self._channels.get(room)
        if channel is None:
            return
        frame = events_frame(list(entries))
        for member in channel.members:
            member.deliver(entries, frame)
        metrics.EVENTS_FANNED_OUT.inc(len(entries))
        # An offset is the time of the append in µs.
        metrics.TAIL_SECONDS.observe(max(0.0, time.time() - entries[0][0] / 1e6))

    def _presence_changed(self, room: str) -> None:
        self._changed.add(room)
        self._presence_due.set()

    async def _report_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PRESENCE_INTERVAL_S)
            for room in list(self._channels):
                await self._report(room)

    async def _report_changes(self) -> None:
        while True:
            await self._presence_due.wait()
            await asyncio.sleep(PRESENCE_DEBOUNCE_S)
            self._presence_due.clear()
            rooms, self._changed = self._changed, set()
            for room in rooms:
                await self._report(room)

    async def _report(self, room: str) -> None:
        channel = self._channels.get(room)
        count = sum(member.watches for member in channel.members) if channel else 0
        try:
            presence = await self._log.presence(room, instance=self._instance, count=count)
        except (RedisError, OSError) as error:
            log.warning("presence_not_reported", error=type(error).__name__)
            return
        channel = self._channels.get(room)
        if channel is None:
            return
        if presence.viewers != channel.viewers:
            channel.viewers = presence.viewers
            channel.send(Viewers(presence.viewers))
        if presence.epoch and channel.followed and presence.epoch != channel.epoch:
            channel.epoch = presence.epoch
            metrics.GAPS.labels("epoch").inc()
            channel.send(Gap("epoch", presence.epoch, 0))
