"""Server-side scripts: each is one atomic step on one room or one fleet."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load_script(redis: Redis, name: str) -> AsyncScript:
    """The script `name`.lua, run by digest and loaded again by itself when the server has forgotten it."""
    folder = files(__name__)
    # Redis has no libraries that work on every server we support, so the common part is put in front.
    prelude = folder.joinpath("prelude.lua").read_text(encoding="utf-8")
    return redis.register_script(prelude + folder.joinpath(f"{name}.lua").read_text(encoding="utf-8"))
