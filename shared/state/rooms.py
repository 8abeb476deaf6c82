"""The Redis side of a room's log: what was said and done in it, in order, and who is live.

Every durable event of a room is one entry of one Redis Stream. The entry's id is the event's offset (µs since 1970,
strictly increasing); the epoch is a random id made with the log. All changes go through scripts, one round trip each.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from shared.protocol.messages import ChatEvent, GiftEvent, StreamEnded, StreamStarted, encode
from shared.state.keys import log_key, room_keys, room_of
from shared.state.log_script import HISTORY_EVENTS, LIFETIME_S, Bounds, LogScripts, new_epoch
from shared.state.terms import compiled, folded

RECENT_EVENTS = 100
DEDUPLICATION_WINDOW_US = 10 * 60 * 1_000_000
GIFT_WINDOW_US = 24 * 3600 * 1_000_000
LARGEST_OFFSET = 2**53 - 1
_TERMS_KEPT = 10_000
_TERMS_TRIES = 5

# All that any script keeps of a room.
_KEYS = (
    *("log", "info", "live", "deleted", "settings", "bans", "seen", "gifts", "rates", "slow"),
    *("viewers", "hosts", "leases", "held", "visitors", "approved", "waiting", "lapses", "knocks", "rejected"),
    "sampling",
)

__all__ = ["HISTORY_EVENTS", "LIFETIME_S", "Bounds", "RoomLog", "log_key", "new_epoch", "room_of"]

Entry = tuple[int, bytes]
"""Offset and encoded event."""


class Outcome(IntEnum):
    """What became of a submission."""

    APPENDED = 0
    DUPLICATE = 1
    TOO_FAST = 2
    SLOW_MODE = 3
    BANNED = 4
    BLOCKED = 5


class Submission(NamedTuple):
    """What one participant wants appended.

    `per_second` is the rate that their tier allows, for chat and gifts together; `moderates` frees from slow mode.
    """

    event: ChatEvent | GiftEvent
    per_second: int
    moderates: bool = False


class Appended(NamedTuple):
    """`value` is the offset for APPENDED and DUPLICATE.

    For TOO_FAST and SLOW_MODE it is the wait in ms, for BANNED the ms that are left (0: for good), for BLOCKED 0.
    """

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


class Page(NamedTuple):
    """A piece of the log, oldest first, and which offsets are deleted (not only of this piece)."""

    entries: list[Entry]
    deleted: frozenset[int]


class Live(msgspec.Struct, frozen=True):
    """The stream that is live in a room."""

    session: str
    worker: str
    name: str


class _Terms(NamedTuple):
    version: str
    pattern: re.Pattern[str] | None


def parse_entries(raw: Sequence[Any]) -> list[Entry]:
    """Entries as Redis returns them, `[[b"<offset>-0", fields], …]`, where fields are a pair list."""
    return [(int(entry_id.split(b"-", 1)[0]), fields[1]) for entry_id, fields in raw]


class RoomLog:
    """Reads and appends room logs.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis | RedisCluster, bounds: Bounds | None = None) -> None:
        self._redis = redis
        self._scripts = LogScripts(redis, bounds or Bounds())
        self._append, self._resume, self._live, self._confirm, self._page = (
            self._scripts.load(name) for name in ("append", "resume", "live", "confirm", "page")
        )
        self._terms: OrderedDict[str, _Terms] = OrderedDict()

    async def append(self, room: str, submissions: Sequence[Submission]) -> list[Appended]:
        """Append all that a process received for a room in one tick; one outcome per submission, in order."""
        if not submissions:
            return []
        events = [encode(submission.event) for submission in submissions]
        for _ in range(_TERMS_TRIES):
            terms = self._terms.get(room, _Terms("", None))
            facts = msgspec.msgpack.encode([_facts(submission, terms.pattern) for submission in submissions])
            names = ("log", "info", "settings", "bans", "seen", "gifts", "rates", "slow")
            args: list[str | bytes | float] = [DEDUPLICATION_WINDOW_US, GIFT_WINDOW_US, terms.version, facts, *events]
            results = await self._scripts.run(self._append, room, names, args)
            if isinstance(results, bytes):
                return [_appended(result) for result in results.split(b",")]
            await self._learn_terms(room)
        message = f"the blocked terms of {room} changed {_TERMS_TRIES} times in a row"
        raise ResponseError(message)

    async def resume(self, room: str, epoch: str | None = None, offset: int | None = None) -> Position:
        """The position of a room's log and what came after (epoch, offset); without these the recent events."""
        if epoch is None or offset is None:
            epoch, offset = "", 0
        current, last, gap, session, entries = await self._scripts.run(
            self._resume,
            room,
            ("log", "info", "live", "deleted", "settings", "bans"),
            [RECENT_EVENTS, epoch, offset],
        )
        return Position(current.decode(), int(last), gap.decode(), session.decode(), parse_entries(entries))

    async def confirm(self, room: str, epoch: str, offset: int) -> str:
        """Say what this process has read of a log, and learn the epoch that holds.

        A failover may lose the end of a log that was replicated too late; then the epoch becomes another one. To be
        called after a connection to Redis was lost, never with what a client says of itself.
        """
        current = await self._scripts.run(self._confirm, room, ("log", "info"), [epoch, offset])
        return str(current.decode())

    async def page(
        self, room: str, *, after: int = 0, before: int = LARGEST_OFFSET, limit: int, newest: bool = False
    ) -> Page:
        """Up to `limit` entries between two offsets (both excluded): the first ones, or with `newest` the last."""
        deleted, entries = await self._page(
            keys=room_keys(room, "log", "info", "deleted"),
            args=[after, before, limit, "last" if newest else "first"],
        )
        return Page(parse_entries(entries), frozenset(map(int, deleted)))

    async def stream_started(
        self, room: str, *, session: str, worker: str, name: str, continues: str = ""
    ) -> int | None:
        """Say that a stream is live; its offset, or None when that had been said before.

        With `continues` it is the one of that session, which goes on from another worker or connection.
        """
        fields = ["worker", worker, "name", name]
        return await self._change_live(
            room, "started", session, encode(StreamStarted(session, name, continues)), fields
        )

    async def stream_ended(self, room: str, *, session: str, reason: str) -> int | None:
        """Say that a stream is over; its offset, or None when that session was not the live one any more."""
        return await self._change_live(room, "ended", session, encode(StreamEnded(session, reason)), [])

    async def live(self, room: str) -> Live | None:
        """The stream that is live, if any."""
        (key,) = room_keys(room, "live")
        fields: list[Any] = await self._redis.hmget(key, ["session", "worker", "name"])
        session, worker, name = (value.decode() if value else "" for value in fields)
        return Live(session, worker, name) if session else None

    async def ended(self, room: str) -> bool:
        """Whether its owner ended the room: then nobody may go live in it."""
        (settings,) = room_keys(room, "settings")
        return bool(await self._redis.hget(settings, "ended") == b"1")

    async def forget(self, room: str) -> None:
        """Drop all that Redis has of a room that was deleted, and let nobody in until the last token has expired."""
        (settings,) = room_keys(room, "settings")
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(*room_keys(room, *_KEYS))
            # `restored`: what MongoDB still has is not to be brought back.
            pipeline.hset(settings, mapping={"removed": "1", "ended": "1", "restored": "1"})
            pipeline.expire(settings, LIFETIME_S)
            await pipeline.execute()
        self._terms.pop(room, None)

    async def _change_live(self, room: str, change: str, session: str, event: bytes, fields: list[str]) -> int | None:
        offset = await self._scripts.run(self._live, room, ("log", "info", "live"), [change, session, event, *fields])
        return None if offset is None else int(offset)

    async def _learn_terms(self, room: str) -> None:
        (key,) = room_keys(room, "settings")
        found: list[Any] = await self._redis.hmget(key, ["terms_version", "terms"])
        version, terms = found
        if version is None:
            self._terms.pop(room, None)
            return
        self._terms[room] = _Terms(version.decode(), compiled(msgspec.json.decode(terms or b"[]", type=list[str])))
        self._terms.move_to_end(room)
        if len(self._terms) > _TERMS_KEPT:
            self._terms.popitem(last=False)


def _facts(submission: Submission, blocked: re.Pattern[str] | None) -> tuple[str, str, str, int, int]:
    """What the script decides by."""
    event = submission.event
    flags = int(submission.moderates)
    if isinstance(event, GiftEvent):
        return "g", event.sender, str(event.key), submission.per_second, flags
    if blocked is not None and blocked.search(folded(event.text)):
        flags += 2
    return "c", event.sender, str(event.message_id), submission.per_second, flags


def _appended(result: bytes) -> Appended:
    outcome, _, value = result.partition(b" ")
    return Appended(Outcome(int(outcome)), int(value))
