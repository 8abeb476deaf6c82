"""The hot path of fan-out: one room's events to this process's sockets of it.

A socket that is in step (it got all there was, and takes what it gets) is one call per frame, into the server's own
write. Whatever is special about another, a resume that overlaps, a backlog, is looked at apart from these.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from functions import metrics
from functions.signaling.backlog import Priority
from functions.signaling.outbox import HEADROOM, Outbox, SharedFrame, Write
from shared.protocol.messages import ServerMessage
from shared.state.rooms import Entry, Position

# Events of a busy room go together; an idle room's go at once. The window opens when the last frame is out: how many
# frames go out is the cost of fan-out, and a room so large that sending takes long gets fewer instead of no pause.
WINDOW_S = 0.02
# 95 % of messages are to be at their readers within this.
OBJECTIVE_S = 0.1


class Membership:
    """One socket's place in a room. Until `activate`, live events are held back behind those of the resume."""

    __slots__ = ("_held", "delivered", "outbox")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.delivered = 0
        self._held: list[Entry] | None = []

    @property
    def active(self) -> bool:
        """Whether the resume has been handed over."""
        return self._held is None

    def activate(self, position: Position) -> None:
        """Hand over what the resume found, then what was held back, then everything as it comes."""
        held = self._held or []
        self._held = None
        self.delivered = position.offset
        if position.entries:
            self.outbox.put_shared(batch_frame(position.entries), Priority.EVENTS)
        if held:
            self.deliver(held, batch_frame(held))

    def deliver(self, entries: Sequence[Entry], frame: SharedFrame) -> None:
        """Take a batch of the log; `frame` is the batch encoded, shared by all sockets of the room."""
        if self._held is not None:
            self._held.extend(entries)
        elif entries[0][0] > self.delivered:
            self.delivered = entries[-1][0]
            self.outbox.put_shared(frame, Priority.EVENTS)
        elif fresh := [entry for entry in entries if entry[0] > self.delivered]:
            # Only just after a join, where resume and tail overlap.
            self.delivered = fresh[-1][0]
            self.outbox.put_shared(batch_frame(fresh), Priority.EVENTS)


def batch_frame(entries: Sequence[Entry]) -> SharedFrame:
    """The `events` frame of a batch."""
    return SharedFrame(lambda codec: codec.events_frame(entries))


def message_frame(message: ServerMessage, conflate: int = 0) -> SharedFrame:
    """The frame of one message for many; see `SharedFrame` for `conflate`."""
    return SharedFrame(lambda codec: codec.encode_server(message), conflate)


class Channel:
    """A room on this process: its members, and the events of the present window."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.followed = False
        self.epoch = ""
        self.offset = 0
        # Those in step, by codec, with the write of each; all others are apart.
        self._in_step: dict[Any, dict[Membership, Write]] = {}
        self._apart: set[Membership] = set()
        self._window: list[Entry] = []
        self._flushed_offset = 0
        self._flushed_at = 0.0
        self._flush_due: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._apart) + sum(map(len, self._in_step.values()))

    def __iter__(self) -> Iterator[Membership]:
        members = list(self._apart)
        for writes in self._in_step.values():
            members.extend(writes)
        return iter(members)

    def add(self, member: Membership) -> None:
        """Take a member in."""
        self._apart.add(member)
        member.outbox.on_pause = partial(self._fall_behind, member)

    def discard(self, member: Membership) -> bool:
        """Let a member go; False when it was none."""
        if member in self._apart:
            self._apart.discard(member)
            return True
        return self._in_step.get(member.outbox.codec, {}).pop(member, None) is not None

    def collect(self, entries: Sequence[Entry]) -> float:
        """Take events from the log: out at once when the room was quiet, else at the end of the window.

        Returns the seconds until this room sends again, before which there is no hurry to read on.
        """
        self.offset = entries[-1][0]
        self._window.extend(entries)
        if self._flush_due is None:
            wait_s = self._flushed_at + WINDOW_S - time.monotonic()
            if wait_s > 0:
                self._flush_due = asyncio.get_running_loop().call_later(wait_s, self._flush)
            else:
                self._flush()
        return self._flushed_at + WINDOW_S - time.monotonic()

    def send(self, frame: SharedFrame, priority: Priority) -> None:
        """Send a frame that is not an event to every member."""
        # A copy: a socket that has gone is found out here, and leaves.
        apart = tuple(self._apart)
        self._write(frame)
        for member in apart:
            member.outbox.put_shared(frame, priority)

    def _flush(self) -> None:
        self._flush_due = None
        entries, self._window = self._window, []
        self._flushed_offset = entries[-1][0]
        began = time.perf_counter()
        frame = batch_frame(entries)
        members = len(self)
        apart = tuple(self._apart)
        self._write(frame)
        for member in apart:
            member.deliver(entries, frame)
            self._catch_up(member)
        self._flushed_at = time.monotonic()
        metrics.DELIVERIES.inc(len(entries) * members)
        metrics.EVENTS_FANNED_OUT.inc(len(entries))
        metrics.FAN_OUT_BATCH.observe(len(entries))
        # An offset is the time of the append in µs.
        age_s = max(0.0, time.time() - entries[0][0] / 1e6)
        metrics.TAIL_SECONDS.observe(age_s)
        if age_s > OBJECTIVE_S:
            metrics.TAIL_LATE.inc()
        metrics.FAN_OUT_SECONDS.observe(time.perf_counter() - began)

    def _write(self, frame: SharedFrame) -> None:
        for codec, writes in self._in_step.items():
            kind, form = frame.padded(codec)
            # A copy: a write that fills the socket's buffers takes its member out of step.
            for write in tuple(writes.values()):
                write(kind, form, HEADROOM)

    def _catch_up(self, member: Membership) -> None:
        write = member.outbox.write
        if write is not None and member.active and member.delivered == self._flushed_offset and member in self._apart:
            self._apart.discard(member)
            self._in_step.setdefault(member.outbox.codec, {})[member] = write

    def _fall_behind(self, member: Membership) -> None:
        if self._in_step.get(member.outbox.codec, {}).pop(member, None) is not None:
            member.delivered = self._flushed_offset
            self._apart.add(member)
