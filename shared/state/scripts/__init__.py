"""Server-side scripts: each is one atomic step on one room, one identity or one fleet."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError


class Script:
    """A script, run by its digest."""

    def __init__(self, redis: Redis | RedisCluster, source: str) -> None:
        self._redis = redis
        self._source = source
        self._digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:  # noqa: ANN401 - the script's
        """Run it; `keys` are all that it touches, so that a cluster finds the shard.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached in time, or the script failed.
        """
        try:
            return await self._redis.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:
            # Forgotten by SCRIPT FLUSH or a failover. This loads and runs it on the right server in one step.
            return await self._redis.eval(self._source, len(keys), *keys, *args)


def load_script(redis: Redis | RedisCluster, name: str, *common: str) -> Script:
    """The script `name`.lua, with prelude.lua and the `common` parts in front."""
    # Redis has no libraries that work on every server we support, so what scripts share is put in front.
    return Script(redis, "".join(_source(part) for part in ("prelude", *common, name)))


@cache
def _source(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
