"""The Redis side of a room: its log, who is live in it, and how many watch.

Every durable event of a room is one entry of one Redis Stream. The entry's id is the event's offset (µs since 1970,
strictly increasing); the epoch is a random id made with the log. All changes go through scripts, one round trip each.
"""

import secrets
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from shared.protocol.messages import ChatEvent, StreamEnded, StreamStarted, encode
from shared.state.scripts import load_script

HISTORY_EVENTS = 1000
RECENT_EVENTS = 100
LIFETIME_S = 7 * 24 * 3600
DEDUPLICATION_WINDOW_US = 10 * 60 * 1_000_000
PRESENCE_LIFETIME_MS = 6000

Entry = tuple[int, bytes]
"""Offset and encoded event."""


class Outcome(IntEnum):
    """What became of a message."""

    APPENDED = 0
    DUPLICATE = 1
    TOO_FAST = 2


class ChatMessage(NamedTuple):
    """What one participant wants appended; `per_second` is the rate that their tier allows."""

    sender: str
    name: str
    message_id: int
    text: str
    per_second: int


class Appended(NamedTuple):
    """`value` is the offset, or for TOO_FAST the wait in ms."""

    outcome: Outcome
    value: int


class Position(msgspec.Struct, frozen=True):
    """Where a log stands, and what somebody at an earlier position has missed.

    `gap` is empty, "trimmed" or "epoch": then `entries` is all that there still is.
    """

    epoch: str
    offset: int
    gap: str
    live_session: str
    entries: list[Entry]


class Presence(NamedTuple):
    """Viewers over all processes, and the epoch of the log ("" when there is none yet)."""

    viewers: int
    epoch: str


class Live(msgspec.Struct, frozen=True):
    """The stream that is live in a room."""

    session: str
    worker: str
    name: str


def log_key(room: str) -> str:
    """The stream's key. The braces keep all keys of a room on one shard of a cluster."""
    return f"room:{{{room}}}:log"


def room_of(key: bytes) -> str:
    """The room that a stream's key belongs to."""
    return key.decode().split("{", 1)[1].split("}", 1)[0]


def parse_entries(raw: Sequence[Any]) -> list[Entry]:
    """Entries as Redis returns them, `[[b"<offset>-0", fields], …]`, where fields are a pair list."""
    return [(int(entry_id.split(b"-", 1)[0]), fields[1]) for entry_id, fields in raw]


class RoomLog:
    """Reads and appends room logs.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis) -> None:
        self._append = load_script(redis, "append")
        self._resume = load_script(redis, "resume")
        self._live = load_script(redis, "live")
        self._presence = load_script(redis, "presence")
        self._redis = redis

    async def append_chat(self, room: str, messages: Sequence[ChatMessage]) -> list[Appended]:
        """Append all that a process received for a room in one tick; one outcome per message, in order."""
        arguments: list[Any] = [_new_epoch(), HISTORY_EVENTS, LIFETIME_S, DEDUPLICATION_WINDOW_US]
        for message in messages:
            event = ChatEvent(message.sender, message.name, message.message_id, message.text)
            arguments += [message.sender, message.message_id, message.per_second, encode(event)]
        results = await self._append(keys=_keys(room, "log", "info", "seen", "rates"), args=arguments)
        return [Appended(Outcome(outcome), int(value)) for outcome, value in results]

    async def resume(self, room: str, epoch: str | None = None, offset: int | None = None) -> Position:
        """The position of a room's log and what came after (epoch, offset); without these the recent events."""
        if epoch is None or offset is None:
            epoch, offset = "", 0
        current, last, gap, session, entries = await self._resume(
            keys=_keys(room, "log", "info", "live"), args=[_new_epoch(), LIFETIME_S, RECENT_EVENTS, epoch, offset]
        )
        return Position(current.decode(), int(last), gap.decode(), session.decode(), parse_entries(entries))

    async def stream_started(self, room: str, *, session: str, worker: str, name: str) -> int | None:
        """Say that a stream is live; its offset, or None when that had been said before."""
        fields = ["worker", worker, "name", name]
        return await self._change_live(room, "started", session, encode(StreamStarted(session, name)), fields)

    async def stream_ended(self, room: str, *, session: str, reason: str) -> int | None:
        """Say that a stream is over; its offset, or None when that session was not the live one any more."""
        return await self._change_live(room, "ended", session, encode(StreamEnded(session, reason)), [])

    async def live(self, room: str) -> Live | None:
        """The stream that is live, if any."""
        (key,) = _keys(room, "live")
        fields: list[Any] = await self._redis.hmget(key, ["session", "worker", "name"])
        session, worker, name = (value.decode() if value else "" for value in fields)
        return Live(session, worker, name) if session else None

    async def presence(self, room: str, *, instance: str, count: int) -> Presence:
        """Say how many viewers this process serves and learn the sum over all processes.

        A count lives for `PRESENCE_LIFETIME_MS`; a count of 0 is taken out at once.
        """
        keys = _keys(room, "viewers", "info")
        viewers, epoch = await self._presence(keys=keys, args=[instance, count, PRESENCE_LIFETIME_MS])
        return Presence(int(viewers), epoch.decode())

    async def viewers(self, room: str) -> int:
        """How many viewers a room has, over all processes."""
        return (await self.presence(room, instance="", count=0)).viewers

    async def _change_live(self, room: str, change: str, session: str, event: bytes, fields: list[str]) -> int | None:
        offset = await self._live(
            keys=_keys(room, "log", "info", "live"),
            args=[_new_epoch(), HISTORY_EVENTS, LIFETIME_S, change, session, event, *fields],
        )
        return None if offset is None else int(offset)


def _keys(room: str, *names: str) -> list[str]:
    return [f"room:{{{room}}}:{name}" for name in names]


def _new_epoch() -> str:
    return secrets.token_hex(8)
