"""The Redis side of archiving: one consumer group per room log, shared by all archivers.

What an archiver has read and not acknowledged belongs to it until it has been silent about it for `CLAIM_IDLE_MS`;
then whoever looks at the room next takes it over. Nothing is acknowledged before it is in MongoDB.
"""

from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from shared.state.keys import log_key, room_keys
from shared.state.log_script import Bounds, LogScripts
from shared.state.rooms import Entry
from shared.state.scripts import load_script

GROUP = "archive"
# Encoding a batch for MongoDB holds up every socket of this process for as long as it takes: 20 µs an event.
BATCH_EVENTS = 200
CLAIM_IDLE_MS = 10_000
SILENCE_BEFORE_REST_S = 30.0


class ArchiveReader:
    """Reads what is to be archived. `consumer` names this archiver and must be new at each start.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis | RedisCluster, consumer: str, bounds: Bounds | None = None) -> None:
        self._redis = redis
        self._consumer = consumer
        self._scripts = LogScripts(redis, bounds or Bounds())
        self._archived = self._scripts.load("archived")
        self._rest = load_script(redis, "rest")
        self._tell_lost = load_script(redis, "tell_lost")
        # Rooms of which this archiver may have read something that it did not get written.
        self._unsettled: set[str] = set()

    async def read(self, room: str) -> list[Entry]:
        """The next events of a room to archive; empty when there are none. Call `settled` with them next."""
        if room in self._unsettled:
            again = await self._read(room, "0")
            if again:
                return again
            self._unsettled.discard(room)
        # From here on an answer may be lost.
        self._unsettled.add(room)
        entries = await self._take_over(room) or await self._read(room, ">")
        if not entries:
            self._unsettled.discard(room)
        return entries

    async def settled(self, room: str, entries: list[Entry]) -> int:
        """Say that events are in MongoDB; the offset up to which everything is."""
        ids = [f"{offset}-0" for offset, _ in entries]
        frontier = await self._scripts.run(self._archived, room, ("log", "info"), [GROUP, *ids])
        self._unsettled.discard(room)
        return int(frontier)

    async def epoch(self, room: str) -> str:
        """The epoch of a room's log."""
        (info,) = room_keys(room, "info")
        found: Any = await self._redis.hget(info, "epoch")
        return found.decode() if found else ""

    async def lost(self, room: str) -> int:
        """How many events were cut off unarchived since any archiver asked this: each is told once."""
        return int(await self._tell_lost(keys=room_keys(room, "info"), args=[]))

    async def rest(self, room: str) -> bool:
        """Whether the room needs no archiver until it is announced again: all is archived and nobody says anything."""
        return bool(
            await self._rest(keys=room_keys(room, "log", "info"), args=[GROUP, int(SILENCE_BEFORE_REST_S * 1_000_000)])
        )

    async def _read(self, room: str, position: str) -> list[Entry]:
        key = log_key(room)
        for _ in range(2):
            try:
                found: Any = await self._redis.xreadgroup(GROUP, self._consumer, {key: position}, count=BATCH_EVENTS)
            except ResponseError as error:
                if not await self._made_group(room, error):
                    return []
            else:
                return _entries(next(iter(found.values()))[0]) if found else []
        return []

    async def _take_over(self, room: str) -> list[Entry]:
        """What an archiver that died had read."""
        try:
            _, claimed, *_ = await self._redis.xautoclaim(
                log_key(room), GROUP, self._consumer, CLAIM_IDLE_MS, count=BATCH_EVENTS
            )
        except ResponseError as error:
            await self._made_group(room, error)
            return []
        return _entries(claimed)

    async def _made_group(self, room: str, error: ResponseError) -> bool:
        """Make the consumer group that was missing; False when there is no log either."""
        if not str(error).startswith("NOGROUP"):
            raise error
        try:
            await self._redis.xgroup_create(log_key(room), GROUP, id="0")
        except ResponseError as refused:
            if "BUSYGROUP" in str(refused):
                return True  # another archiver was quicker
            if "requires the key to exist" in str(refused):
                return False
            raise
        return True


def _entries(raw: Any) -> list[Entry]:  # noqa: ANN401 - redis-py's own shape
    return [(int(entry_id.split(b"-", 1)[0]), fields[b"e"]) for entry_id, fields in raw if fields]
