"""What all processes remember of HTTP requests: budgets of those who ask, and answers to requests with a key."""

from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.state.limits import Rate
from shared.state.scripts import load_script

PENDING_MS = 60_000
KEPT_S = 24 * 3600
MAX_ANSWER_BYTES = 256 * 1024


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a request with a key; `status` 0: it is being worked on. `request` is the request's digest."""

    request: bytes
    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class Begun(NamedTuple):
    """`kept` is what there is under the key already; None: it is ours to answer."""

    kept: Kept | None


_decoder = msgspec.msgpack.Decoder(Kept)


class Answers:
    """Answers by key. Every method raises `redis.exceptions.RedisError` when the server cannot be reached in time."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._redis = redis

    async def begin(self, key: str, request: bytes) -> Begun:
        """Take a key for a request, for `PENDING_MS`; or see what there is."""
        pending = msgspec.msgpack.encode(Kept(request))
        found: Any = await self._redis.set(_key(key), pending, nx=True, px=PENDING_MS, get=True)
        return Begun(None if found is None else _decoder.decode(found))

    async def keep(self, key: str, kept: Kept) -> None:
        """Keep the answer for a day."""
        await self._redis.set(_key(key), msgspec.msgpack.encode(kept), ex=KEPT_S)

    async def release(self, key: str) -> None:
        """Nothing was done under the key: the next request may try."""
        await self._redis.delete(_key(key))


class Budgets:
    """Budgets by name and holder."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._spend = load_script(redis, "spend", "budget")

    async def spend(self, name: str, holder: str, rate: Rate) -> int:
        """Spend one; 0 when that was within the budget, else the ms to wait.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached in time.
        """
        return int(await self._spend(keys=[f"rate:{{{holder}}}:{name}"], args=list(rate)))


def _key(key: str) -> str:
    return f"idempotency:{{{key}}}"
