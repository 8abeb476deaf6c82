"""The second level: entries in a Valkey of their own, which evicts, through aiocache's Redis backend.

What aiocache does not have is in scripts: tags, leases, and sets that are refused when something was invalidated since
the load began. Nobody else here knows aiocache or the names of the keys.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from aiocache import RedisCache  # type: ignore[import-untyped]
from aiocache.serializers import BaseSerializer  # type: ignore[import-untyped]
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.cache.entry import ALL_TAG, Found, parse
from shared.cache.scripts import load_script

CONNECT_TIMEOUT_S = 0.5
COMMAND_TIMEOUT_S = 0.5
QUEUE_TIMEOUT_S = 2.0
CONNECTIONS = 16
LEASE_MS = 3_000
VERSION_LIFETIME_S = 24 * 3600
CHANNEL = "cache:invalidated"
MAX_TAGS = 256


class Begun(msgspec.Struct, frozen=True):
    """`leased`: the caller is the one to load. `token` is where the clock of invalidations stood."""

    leased: bool
    token: str


class _Bytes(BaseSerializer):  # type: ignore[misc]
    """Leaves bytes as they are."""

    DEFAULT_ENCODING = None

    def dumps(self, value: Any) -> Any:  # noqa: ANN401 - aiocache's signature
        return value

    def loads(self, value: Any) -> Any:  # noqa: ANN401 - aiocache's signature
        return value


class SharedLevel:
    """One per process. `up` is whether it is used at the moment.

    Every method raises `redis.exceptions.RedisError`, `OSError` or `TimeoutError` when the server cannot be reached in
    time. One server with its replicas, not a cluster: a script touches keys of several entries.
    """

    def __init__(self, url: str) -> None:
        """Connects at the first command.

        Raises:
            ValueError: the URL cannot be used.
        """
        self._cache = _connect(url)
        self.redis = cast("Redis", self._cache.client)
        self._begin, self._fill, self._release, self._invalidate, self._beat, self._greet, self._heat = (
            load_script(self.redis, name)
            for name in ("begin", "fill", "release", "invalidate", "beat", "greet", "heat")
        )
        self.up = False

    async def read(self, names: Sequence[tuple[str, str]]) -> list[Found | None]:
        """The valid ones of these entries (key, own tag), in one round trip where they have no tags beside those."""
        keys = [key for entry, tag in names for key in (f"cache:entry:{entry}", _version(tag))]
        everything, *values = await self._cache.multi_get([_version(ALL_TAG), *keys])
        found = [parse(entry) for entry in values[::2]]
        known = {ALL_TAG: everything} | {tag: value for (_, tag), value in zip(names, values[1::2], strict=True)}
        beside = sorted({tag for one in found if one for tag in one.versions} - set(known))
        if beside:
            # Read later than the entries, which is as good: a version never comes back.
            known |= zip(beside, await self._cache.multi_get([_version(tag) for tag in beside]), strict=True)
        return [
            one if one and all(known[tag] == version.encode() for tag, version in one.versions.items()) else None
            for one in found
        ]

    async def begin(self, entry: str, tag: str) -> Begun:
        """Begin to load an entry; of all processes one gets the lease, for `LEASE_MS` at most."""
        keys = ["cache:clock", f"cache:lease:{entry}", _version(ALL_TAG), _version(tag)]
        leased, token = await self._begin(keys, [_nonce(), LEASE_MS, VERSION_LIFETIME_S])
        return Begun(bool(leased), token.decode())

    async def fill(
        self, entry: str, token: str, tags: Mapping[str, str], body: bytes, lifetime_ms: int
    ) -> dict[str, str]:
        """Keep what was loaded; the versions of its tags, or nothing when one was invalidated since `begin`.

        `tags` map each tag to the version at which it was read, '' where that was after `begin`. `body` is `entry.body`
        with the tags in this order.
        """
        keys = ["cache:clock", f"cache:entry:{entry}", f"cache:lease:{entry}", *map(_version, tags)]
        args: list[str | bytes | float] = [_nonce(), token, lifetime_ms, VERSION_LIFETIME_S, body, *tags.values()]
        header: bytes = await self._fill(keys, args)
        return dict(zip(tags, header.decode().split(" "), strict=True)) if header else {}

    async def release(self, entry: str, token: str) -> None:
        """Give the lease back: nothing was loaded."""
        await self._release([f"cache:lease:{entry}"], [token])

    async def invalidate(self, tags: Sequence[str], origin: str) -> int:
        """Make all entries with these tags invalid, and publish it; where the clock stands then."""
        args: list[str | float] = [_nonce(), VERSION_LIFETIME_S, CHANNEL, origin, *tags]
        return int(await self._invalidate(["cache:clock", *map(_version, tags)], args))

    async def beat(self, channel: str) -> None:
        """Have the clock published on a channel."""
        await self._beat(["cache:clock"], [_nonce(), channel])

    async def greet(self) -> bool:
        """Notice when the server is not the one that it was: then all that it has is invalid. True when it was so."""
        run = str((await self.redis.info("server"))["run_id"])
        keys = ["cache:clock", "cache:server", _version(ALL_TAG)]
        return bool(await self._greet(keys, [_nonce(), run, VERSION_LIFETIME_S, CHANNEL, ALL_TAG]))

    async def heat(
        self, window: int, lifetime_s: int, counts: Mapping[str, int], limit: int
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Add accesses of this process to a window; the most accessed of it and of the window before."""
        keys = [f"cache:heat:{window}", f"cache:heat:{window - 1}"]
        args: list[str | float] = [lifetime_s, limit]
        args += [part for pair in counts.items() for part in pair]
        current, before = await self._heat(keys, args)
        return _scores(current), _scores(before)

    async def close(self) -> None:
        """Close its connections."""
        await self.redis.aclose(close_connection_pool=True)


def _connect(url: str) -> RedisCache:
    options: dict[str, Any] = dict(parse_url(url))
    if "path" in options:
        raise ValueError("sockets in the file system are not supported")
    tls = options.pop("connection_class", None) is SSLConnection
    return RedisCache(
        endpoint=options.pop("host", "127.0.0.1"),
        port=options.pop("port", 6379),
        db=options.pop("db", 0),
        password=options.pop("password", None),
        ssl=tls,
        serializer=_Bytes(),
        # The connections have time-outs; aiocache's own would cost a task for each call.
        timeout=None,
        pool_max_size=CONNECTIONS,
        create_connection_timeout=CONNECT_TIMEOUT_S,
        connection_pool_class=BlockingConnectionPool,
        connection_pool_kwargs={
            **options,
            "timeout": QUEUE_TIMEOUT_S,
            "socket_timeout": COMMAND_TIMEOUT_S,
            "socket_keepalive": True,
            "protocol": 3,
            # One quick retry covers a connection that died while idle.
            "retry": Retry(NoBackoff(), 1, (RedisConnectionError,)),
        },
    )


def _version(tag: str) -> str:
    return f"cache:version:{tag}"


def _nonce() -> str:
    return secrets.token_hex(8)


def _scores(raw: Sequence[Any]) -> dict[str, float]:
    return {name.decode(): float(score) for name, score in zip(raw[::2], raw[1::2], strict=True)}
