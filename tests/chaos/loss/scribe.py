"""Copies a room's log out of Valkey as it grows, since its history is bounded, and looks whether any of it vanishes."""

import asyncio
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.protocol.messages import ChatEvent, decode_event
from shared.state.rooms import log_key

from .witness import Received

_BLOCK_MS: Final = 200
_RETRY_S: Final = 0.02


class Scribe:
    """Reads around every fault: on Valkey's own port, with nothing of the product in between."""

    def __init__(self, redis_url: str, room: str) -> None:
        self._redis_url = redis_url
        self._key = log_key(room)
        self._last = 0
        self.entries: dict[int, Received] = {}
        self.vanished: dict[int, Received] = {}

    async def run(self) -> None:
        """Copy for ever."""
        while True:
            redis = Redis.from_url(
                self._redis_url, protocol=3, socket_timeout=5.0, socket_connect_timeout=1.0, retry=None
            )
            try:
                while True:
                    # Valkey refuses to block on a key for a client that reads while it loads: the error is retried.
                    found: Any = await redis.xread({self._key: f"{self._last}-0"}, count=1000, block=_BLOCK_MS) or {}
                    for chunks in found.values():
                        for chunk in chunks:
                            self._copy(chunk)
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(_RETRY_S)
            finally:
                await redis.aclose()

    def follow(self, redis_url: str) -> None:
        """Read from there from now on: another one is the primary."""
        self._redis_url = redis_url

    async def compare(self) -> int:
        """Find what was copied and is there no more, though it was not trimmed: lost by Valkey. How many are new."""
        # Taken before the log is read: what is appended in between must not look lost.
        copied = dict(self.entries)
        async with Redis.from_url(self._redis_url, protocol=3) as redis:
            raw: Any = await redis.xrange(self._key)
        there = {_offset(entry_id) for entry_id, _ in raw}
        oldest = min(there, default=0)
        gone = {offset: entry for offset, entry in copied.items() if offset >= oldest and offset not in there}
        for offset, entry in gone.items():
            del self.entries[offset]
            self.vanished[offset] = entry
        self._copy(raw)
        return len(gone)

    def _copy(self, entries: Any) -> None:  # noqa: ANN401 - redis-py's answer
        for entry_id, fields in entries:
            offset = _offset(entry_id)
            self._last = max(self._last, offset)
            event = decode_event(fields[b"e"])
            if isinstance(event, ChatEvent):
                self.entries[offset] = Received(offset, event.sender, event.message_id, event.text)


def _offset(entry_id: bytes) -> int:
    return int(entry_id.split(b"-", 1)[0])
