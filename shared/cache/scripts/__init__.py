"""Server-side scripts of the cache: each is one atomic step."""

from functools import cache
from importlib.resources import files

from redis.asyncio import Redis

from shared.state.scripts import Script


def load_script(redis: Redis, name: str) -> Script:
    """The script `name`.lua, with clock.lua in front."""
    return Script(redis, _source("clock") + _source(name))


@cache
def _source(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
