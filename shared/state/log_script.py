"""Running the scripts that write to a room's log: their common arguments, and what they may ask for first."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from shared.state.keys import room_keys
from shared.state.news import News
from shared.state.scripts import Script, load_script

LIFETIME_S = 7 * 24 * 3600
HISTORY_EVENTS = 1000
HISTORY_S = 24 * 3600
HELD_EVENTS = 100_000
_TRIES = 5


class Bounds(msgspec.Struct, frozen=True):
    """How much of a room's log Redis keeps: about `events` of them and none older than `age_s`, whichever is less.

    Beyond that, up to `held` events are kept that are not in MongoDB yet: what bounds an outage of MongoDB that loses
    nothing of the history. 0: nothing is archived.
    """

    events: int = HISTORY_EVENTS
    age_s: float = HISTORY_S
    held: int = HELD_EVENTS


class LogScripts:
    """Loads and runs scripts that begin with log.lua."""

    def __init__(self, redis: Redis | RedisCluster, bounds: Bounds) -> None:
        self._redis = redis
        self._bounds = bounds
        self._news = News(redis)

    def load(self, name: str) -> Script:
        """The script `name`.lua."""
        return load_script(self._redis, name, "log")

    async def run(self, script: Script, room: str, names: Sequence[str], args: Sequence[str | bytes | float]) -> Any:  # noqa: ANN401 - the script's own answer
        """Run it on the keys of those names.

        A log that is at rest is announced to the archivers first: that costs two more calls, once.
        """
        keys, token = room_keys(room, *names), ""
        for _ in range(_TRIES):
            answer = await script(keys=keys, args=[*self._header(token), *args])
            if not (isinstance(answer, list) and answer and answer[0] == b"UNANNOUNCED"):
                return answer
            await self._news.announce(room)
            token = answer[1].decode()
        message = f"the archivers went to rest over {room} {_TRIES} times in a row"
        raise ResponseError(message)

    def _header(self, token: str) -> list[str | float]:
        bounds = self._bounds
        return [new_epoch(), bounds.events, int(bounds.age_s * 1_000_000), bounds.held, LIFETIME_S, token]


def new_epoch() -> str:
    """A random name for a log, or for a version of something in it."""
    return secrets.token_hex(8)
