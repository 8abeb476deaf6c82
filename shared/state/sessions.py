"""Sessions: for how long somebody stays signed in, or remains the same guest, over many short identity tokens.

A session has one refresh token at a time. Each use gives the next one (rotation, RFC 9700, section 4.14.2); one that
comes back after it was used ends the session, since either it or its successor is in the wrong hands. Redis has only
hashes of them.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.security.tokens import Tier
from shared.state.keys import identity_keys
from shared.state.scripts import load_script

MAX_SESSIONS: Final = 50
# An answer that was lost is asked for again within seconds, and so do two windows of one browser.
GRACE_MS: Final = 20_000
_TOKEN = re.compile(r"hrr_([a-z0-9]{2,40})\.([a-z0-9]{2,40})\.([A-Za-z0-9_-]{43})")
PREFIX: Final = "hrr_"


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose session it is, as identity tokens say it. `account`: they have registered."""

    id: str
    name: str
    tier: Tier
    account: bool


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One of somebody's sessions: when it began and when it was last refreshed."""

    id: str
    begun_at: datetime
    used_at: datetime


class Begun(NamedTuple):
    """A session and its first refresh token; `ended` are those that had to make room for it."""

    session: str
    refresh_token: str
    ended: list[str]


class Refreshing(IntEnum):
    """What became of a refresh token."""

    UNKNOWN = 0
    REFRESHED = 1
    REUSED = 2


class Refreshed(NamedTuple):
    """The outcome; what follows is empty unless it is REFRESHED, but the session's id is there when it was REUSED."""

    outcome: Refreshing
    session: str = ""
    refresh_token: str = ""
    bearer: Bearer | None = None


class Sessions:
    """The sessions of all people.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached in time.
    """

    def __init__(self, redis: Redis | RedisCluster, *, lifetime_s: int) -> None:
        self._redis = redis
        self._lifetime_ms = lifetime_s * 1000
        self._begin = load_script(redis, "begin_session")
        self._refresh = load_script(redis, "refresh_session")

    async def begin(self, bearer: Bearer) -> Begun:
        """A new session."""
        session, secret = f"s{secrets.token_hex(8)}", secrets.token_urlsafe(32)
        fields = {
            "current": _hashed(secret),
            "salt": secrets.token_hex(32),
            "name": bearer.name,
            "tier": bearer.tier.value,
            "account": str(int(bearer.account)),
        }
        flat = [part for field in fields.items() for part in field]
        ended: list[bytes] = await self._begin(
            keys=_keys(bearer.id, session), args=[session, self._lifetime_ms, MAX_SESSIONS, *flat]
        )
        return Begun(session, _token(bearer.id, session, secret), [other.decode() for other in ended])

    async def refresh(self, token: str) -> Refreshed:
        """The next refresh token of a session, and whose it is."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return Refreshed(Refreshing.UNKNOWN)
        identity, session, secret = parts.groups()
        keys = _keys(identity, session)
        known: list[Any] = await self._redis.hmget(keys[0], ["salt", "name", "tier", "account"])
        if None in known:
            return Refreshed(Refreshing.UNKNOWN)
        following = _following(known[0], secret)
        args: list[str | bytes | float] = [session, _hashed(secret), _hashed(following), GRACE_MS, self._lifetime_ms]
        outcome = Refreshing(await self._refresh(keys=keys, args=args))
        if outcome is not Refreshing.REFRESHED:
            return Refreshed(outcome, session if outcome is Refreshing.REUSED else "")
        bearer = Bearer(id=identity, name=known[1].decode(), tier=Tier(known[2].decode()), account=known[3] == b"1")
        return Refreshed(outcome, session, _token(identity, session, following), bearer)

    async def of(self, identity: str) -> list[Session]:
        """Somebody's sessions, latest use first."""
        found = []
        for session in await self._ids(identity):
            known: list[Any] = await self._redis.hmget(_keys(identity, session)[0], ["begun", "used"])
            begun, used = known
            if begun is not None and used is not None:
                found.append(Session(id=session, begun_at=_moment(begun), used_at=_moment(used)))
        return sorted(found, key=lambda session: session.used_at, reverse=True)

    async def end(self, identity: str, session: str) -> bool:
        """End a session; whether there was one. Its tokens are to be revoked as well (`state.revocations`)."""
        key, sessions = _keys(identity, session)
        await self._redis.zrem(sessions, session)
        return bool(await self._redis.delete(key))

    async def end_all(self, identity: str, *, but: str = "") -> list[str]:
        """End all of somebody's sessions, or all but one; their ids, whose tokens are to be revoked as well."""
        ids = [session for session in await self._ids(identity) if session != but]
        for session in ids:
            await self.end(identity, session)
        return ids

    async def describe(self, bearer: Bearer) -> None:
        """Have all sessions of somebody give out a new name and tier from now on."""
        fields: dict[Any, Any] = {
            "name": bearer.name,
            "tier": bearer.tier.value,
            "account": str(int(bearer.account)),
        }
        for session in await self._ids(bearer.id):
            key = _keys(bearer.id, session)[0]
            # One that has just ended must not begin again by this.
            if await self._redis.exists(key):
                await self._redis.hset(key, mapping=fields)
                await self._redis.pexpire(key, self._lifetime_ms)

    async def _ids(self, identity: str) -> list[str]:
        sessions: list[Any] = await self._redis.zrange(identity_keys(identity, "sessions")[0], 0, -1)
        return [session.decode() for session in sessions]


def _keys(identity: str, session: str) -> list[str]:
    return identity_keys(identity, f"session:{session}", "sessions")


def _token(identity: str, session: str, secret: str) -> str:
    return f"{PREFIX}{identity}.{session}.{secret}"


def _hashed(secret: str) -> str:
    # A secret of 256 random bits needs no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _following(salt: bytes, secret: str) -> str:
    return urlsafe_b64encode(hmac.digest(salt, secret.encode(), "sha256")).rstrip(b"=").decode()


def _moment(milliseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
