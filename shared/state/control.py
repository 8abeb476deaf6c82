"""Room control in Redis: settings, sanctions, deletions. Each change is one atomic step with its log entry."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.state.keys import room_keys
from shared.state.log_script import LIFETIME_S, Bounds, LogScripts, new_epoch
from shared.state.scripts import load_script
from shared.state.terms import MAX_TERM_CHARACTERS, MAX_TERMS, cleaned_terms

MAX_SLOW_MODE_S = 600
MAX_TIME_OUT_S = 7 * 24 * 3600

DELETE, TIME_OUT, BAN, LIFT = 1, 2, 3, 4
"""Actions as the protocol numbers them."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A room's settings. `blocked_terms` are folded, as `terms.cleaned_terms` gives them; they are not public."""

    title: str = ""
    category: str = ""
    slow_mode_s: int = 0
    waiting_room: bool = False
    auto_accept: bool = False
    blocked_terms: tuple[str, ...] = ()
    restored: bool = False
    """What MongoDB keeps of the room has been brought in: without that, `title` may be empty."""
    offset: int = 0
    """Of the last change."""
    ended: bool = False
    """The owner ended the room: nobody can go live in it."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; None stays as it is."""

    title: str | None = None
    category: str | None = None
    slow_mode_s: int | None = None
    waiting_room: bool | None = None
    auto_accept: bool | None = None
    blocked_terms: Sequence[str] | None = None


class SettingsRefused(ValueError):  # noqa: N818 - the state, not a fault of the program
    """A setting is out of its bounds; the message says which."""


class SettingsChangedMeanwhile(Exception):  # noqa: N818 - the state, not a fault of the program
    """Somebody else changed the settings first."""


class Sanctioned(NamedTuple):
    """Where the decision stands in the log, and until when it holds, in ms since 1970 (0: for good, or lifted)."""

    offset: int
    until_ms: int


class Standing(NamedTuple):
    """Somebody who is silenced until `until_ms` (ms since 1970), or banned: 0."""

    participant: str
    until_ms: int


class RoomControl:
    """Changes settings, sanctions people, deletes messages.

    Who may do that is for the caller to check (grant `moderate`). Every method raises `redis.exceptions.RedisError`
    when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis | RedisCluster, bounds: Bounds | None = None) -> None:
        self._redis = redis
        self._scripts = LogScripts(redis, bounds or Bounds())
        self._moderate = self._scripts.load("moderate")
        self._configure = self._scripts.load("configure")
        self._restore = load_script(redis, "restore")

    async def delete(self, room: str, offset: int) -> int | None:
        """Hide the message or gift at `offset`; the offset of the event, None when there is none or it is deleted.

        A message that only the archive still has cannot be checked: it is accepted.
        """
        done = await self._decide(room, DELETE, offset=offset)
        return done.offset if done else None

    async def time_out(self, room: str, participant: str, seconds: int) -> Sanctioned:
        """Silence a participant for `seconds`; again replaces the time that is left."""
        done = await self._decide(room, TIME_OUT, participant, seconds=max(1, min(seconds, MAX_TIME_OUT_S)))
        assert done is not None  # noqa: S101 - the script refuses no time-out; for the type checker
        return done

    async def ban(self, room: str, participant: str) -> Sanctioned:
        """Silence a participant and keep them out, for good."""
        done = await self._decide(room, BAN, participant)
        assert done is not None  # noqa: S101 - the script refuses no ban; for the type checker
        return done

    async def lift(self, room: str, participant: str) -> Sanctioned | None:
        """End a time-out or a ban; None when there was none."""
        return await self._decide(room, LIFT, participant)

    async def configure(self, room: str, change: Change, *, expected: int | None = None) -> int | None:
        """Change settings; the offset of the event, None when nothing is new.

        `expected` is the offset of the change before, where this one holds for nothing else.

        Raises:
            SettingsRefused: a value is out of its bounds; nothing was changed.
            SettingsChangedMeanwhile: `expected` is not the last change; nothing was changed.
        """
        args = [part for pair in _fields(change).items() for part in pair]
        if not args:
            return None
        args = ["" if expected is None else str(expected), *args]
        answer = await self._scripts.run(self._configure, room, ("log", "info", "settings", "bans"), args)
        if answer[0] == b"CHANGED":
            raise SettingsChangedMeanwhile
        return None if answer[0] == b"NOTHING" else int(answer[0])

    async def settings(self, room: str) -> Settings:
        """The settings that hold."""
        (key,) = room_keys(room, "settings")
        return parsed_settings(await self._redis.hgetall(key))

    async def set_ended(self, room: str, *, ended: bool) -> None:
        """Say whether the room is over. Not an event of the log: the stream's end is."""
        (key,) = room_keys(room, "settings")
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, "ended", "1" if ended else "0")
            pipeline.expire(key, LIFETIME_S)
            await pipeline.execute()

    async def sanctions(self, room: str, *, skip: int, limit: int) -> list[Standing]:
        """Who is silenced or banned now: those whose time is over soonest first, bans last."""
        (key,) = room_keys(room, "bans")
        found: list[Any] = await self._redis.zrange(
            key, f"({int(time.time() * 1e6)}", "+inf", byscore=True, offset=skip, num=limit, withscores=True
        )
        return [Standing(who.decode(), 0 if math.isinf(until) else int(until // 1000)) for who, until in found]

    async def restore(self, room: str, settings: Settings, sanctions: Mapping[str, int]) -> bool:
        """Bring in what MongoDB keeps of a room, once; whether it was this call that did.

        `sanctions` are participant → until when in ms (0: for good). What Redis has already is newer and stays.
        """
        fields = _fields(
            Change(
                title=settings.title,
                category=settings.category,
                slow_mode_s=settings.slow_mode_s,
                waiting_room=settings.waiting_room,
                auto_accept=settings.auto_accept,
                blocked_terms=settings.blocked_terms,
            )
        )
        if settings.ended:
            fields["ended"] = "1"
        args: list[str | int] = [LIFETIME_S, new_epoch(), len(fields)]
        args += [part for pair in fields.items() for part in pair]
        for participant, until_ms in sanctions.items():
            args += [participant, until_ms * 1000 if until_ms else "inf"]
        return bool(await self._restore(keys=room_keys(room, "settings", "bans"), args=args))

    async def _decide(
        self, room: str, action: int, participant: str = "", *, offset: int = 0, seconds: int = 0
    ) -> Sanctioned | None:
        names = ("log", "info", "settings", "bans", "deleted")
        answer = await self._scripts.run(self._moderate, room, names, [action, participant, offset, seconds])
        return None if answer[0] == b"NOTHING" else Sanctioned(int(answer[0]), int(answer[1]))


def _fields(change: Change) -> dict[str, str]:
    """The hash fields of a change, checked."""
    fields: dict[str, str] = {}
    if change.title is not None:
        fields["title"] = change.title
    if change.category is not None:
        fields["category"] = change.category
    if change.slow_mode_s is not None:
        if not 0 <= change.slow_mode_s <= MAX_SLOW_MODE_S:
            raise SettingsRefused(f"slow mode is 0 to {MAX_SLOW_MODE_S} s")
        fields["slow_mode_s"] = str(change.slow_mode_s)
    if change.waiting_room is not None:
        fields["waiting_room"] = "1" if change.waiting_room else "0"
    if change.auto_accept is not None:
        fields["auto_accept"] = "1" if change.auto_accept else "0"
    if change.blocked_terms is not None:
        terms = cleaned_terms(change.blocked_terms)
        if len(terms) > MAX_TERMS or any(len(term) > MAX_TERM_CHARACTERS for term in terms):
            raise SettingsRefused(f"at most {MAX_TERMS} blocked terms of at most {MAX_TERM_CHARACTERS} characters")
        fields["terms"] = msgspec.json.encode(terms).decode()
    return fields


def parsed_settings(raw: Mapping[Any, Any]) -> Settings:
    """Settings from the hash in Redis."""
    found = {name.decode(): value.decode() for name, value in raw.items()}
    return Settings(
        title=found.get("title", ""),
        category=found.get("category", ""),
        slow_mode_s=int(found.get("slow_mode_s", "0")),
        waiting_room=found.get("waiting_room") == "1",
        auto_accept=found.get("auto_accept") == "1",
        blocked_terms=tuple(msgspec.json.decode(found.get("terms", "[]"), type=list[str])),
        restored="restored" in found,
        offset=int(found.get("offset", "0")),
        ended=found.get("ended") == "1",
    )
