"""A room's audience over time: counted once in ten seconds over all processes, kept by the minute in MongoDB."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from pymongo import AsyncMongoClient, ReadPreference, UpdateOne, WriteConcern
from redis.asyncio import Redis, RedisCluster

from shared.state.documents import Document
from shared.state.keys import room_keys
from shared.state.log_script import LIFETIME_S
from shared.state.notices import Sample
from shared.state.scripts import load_script

SLOT_S = 10
SLOTS_PER_MINUTE = 60 // SLOT_S
MAX_MINUTES = 2 * 24 * 60
"""More are not read at once."""

_qualities = msgspec.msgpack.Decoder(dict[int, int])


class AudienceSampler:
    """Counts. One per process; raises `redis.exceptions.RedisError` when the server cannot be reached in time."""

    def __init__(self, redis: Redis | RedisCluster, instance: str) -> None:
        self._instance = instance
        self._sample = load_script(redis, "sample")

    async def sample(self, room: str, qualities: Mapping[int, int]) -> Sample | None:
        """Say what this process's viewers of a room get; the sample, where this is the first call in this slot.

        `qualities` are height in lines → viewers.
        """
        answer = await self._sample(
            keys=room_keys(room, "viewers", "info", "visitors", "sampling"),
            args=[SLOT_S, LIFETIME_S, self._instance, msgspec.msgpack.encode(dict(qualities))],
        )
        if answer is None:
            return None
        slot, viewers, peak, visitors, messages, watch_s, before, *said = answer
        together: dict[int, int] = {}
        for packed in said:
            for height, count in _qualities.decode(packed).items():
                together[height] = together.get(height, 0) + count
        return Sample(room, slot, viewers, max(peak, viewers), visitors, messages, watch_s, before, together)


class Minute(NamedTuple):
    """A minute of a room. `viewers` are of each slot that was counted, `messages` all that were ever said until then.

    `qualities` are height in lines → viewers, as the mean over the slots that have any.
    """

    at: datetime
    viewers: list[int]
    messages: int
    qualities: dict[int, float]


class AudienceHistory:
    """The minutes in MongoDB, collection `room_minutes`: `note` writes, `sweep` deletes, the others read.

    Every method raises `pymongo.errors.PyMongoError` when no primary (for reads: no member) can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._minutes = client[database].get_collection(
            "room_minutes", write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )
        self._reading = self._minutes.with_options(read_preference=ReadPreference.PRIMARY_PREFERRED)

    async def note(self, samples: Sequence[Sample]) -> None:
        """Keep samples; again has the same result."""
        writes = [write for sample in samples for write in _writes(sample)]
        if writes:
            await self._minutes.bulk_write(writes, ordered=False)

    async def read(self, room: str, start: datetime, end: datetime) -> list[Minute]:
        """The minutes between two times in which somebody was there, oldest first, at most `MAX_MINUTES`."""
        span = {"$gte": minute_id(room, _minute(start)), "$lt": minute_id(room, _minute(end))}
        found = self._reading.find({"_id": span}, sort=[("_id", 1)], limit=MAX_MINUTES)
        return [_described(document) async for document in found]

    async def messages_before(self, room: str, start: datetime) -> int:
        """How many messages had been said in a room before a time."""
        span = {"$gte": minute_id(room, 0), "$lt": minute_id(room, _minute(start))}
        found = self._reading.find({"_id": span}, {"messages": 1}, sort=[("_id", -1)], limit=1)
        return max([document.get("messages", 0) async for document in found], default=0)

    async def sweep(self, room: str) -> None:
        """Delete all of a room."""
        await self._minutes.delete_many({"_id": {"$gte": minute_id(room, 0), "$lt": f"{room};"}})


def minute_id(room: str, minute: int) -> str:
    """The id of a minute since 1970; nine digits last until the year 3871, so ids of a room sort by time."""
    return f"{room}:{minute:09d}"


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _writes(sample: Sample) -> list[UpdateOne]:
    writes = [_write(sample.room, sample.slot, "samples", sample.viewers, {"$max": {"messages": sample.messages}})]
    if sample.qualities and sample.slot - sample.qualities_slot <= SLOTS_PER_MINUTE:
        # Field names are text.
        qualities = {str(height): count for height, count in sample.qualities.items()}
        writes.append(_write(sample.room, sample.qualities_slot, "qualities", qualities, {}))
    return writes


def _write(room: str, slot: int, kind: str, value: object, more: Document) -> UpdateOne:
    minute, part = divmod(slot, SLOTS_PER_MINUTE)
    values = {"room": room, "at": datetime.fromtimestamp(minute * 60, UTC), f"{kind}.{part}": value}
    return UpdateOne({"_id": minute_id(room, minute)}, {"$set": values, **more}, upsert=True)


def _described(document: Document) -> Minute:
    samples = document.get("samples", {})
    slots = document.get("qualities", {}).values()
    qualities: dict[int, float] = {}
    for slot in slots:
        for height, count in slot.items():
            qualities[int(height)] = qualities.get(int(height), 0.0) + count / len(slots)
    viewers = [samples[part] for part in sorted(samples)]
    return Minute(document["at"], viewers, document.get("messages", 0), qualities)
