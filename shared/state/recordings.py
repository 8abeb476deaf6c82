"""Recordings as workers and functions know them: what one is, the way of a report, and where it is kept for good.

A worker reports into Redis, where the newest report of each recording waits; a function moves it into MongoDB
(`functions.archive.recordings`). Reading looks at both, so nothing that was reported is missed. Each report is a whole
recording with a revision, so that an old one never undoes a new one, and one that comes twice changes nothing.
"""

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec
from pymongo import ASCENDING, AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import DuplicateKeyError
from redis.asyncio import Redis

from shared.state.documents import Document
from shared.state.scripts import load_script

_REPORTS, _UNWANTED = "{recordings}:reports", "{recordings}:unwanted"
# More than any quota that can sensibly be set; a page must not fill the memory.
MAX_OF_ROOM = 10_000

RecordingState = Literal["recording", "uploading", "ready", "failed"]
RecordingEnd = Literal["", "asked", "stream_ended", "longest", "largest", "interrupted"]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A recording.

    `host` is the id of the folder that its file was made in; `stored` says that the object store has it, under `key`.
    `end` is why it ended: `longest` and `largest` are limits, interrupted is one whose worker ended first.
    """

    id: str
    room: str
    host: str
    started_at: datetime
    state: RecordingState
    media_type: str
    file: str
    codecs: list[str]
    ended_at: datetime | None = None
    end: RecordingEnd = ""
    duration_s: float = 0.0
    bytes: int = 0
    dropped_frames: int = 0
    stored: bool = False
    key: str = ""
    revision: int = 0


class Report(NamedTuple):
    """A report that waits, and the bytes that it has to be settled with."""

    recording: Recording
    raw: bytes


class RecordingReports:
    """The Redis side.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._report = load_script(redis, "report_recording")
        self._settle = load_script(redis, "settle_recording")

    async def report(self, recording: Recording) -> None:
        """Say what a recording is now; a report of an earlier revision changes nothing."""
        await self._report(keys=[_REPORTS], args=[recording.id, msgspec.json.encode(recording), recording.revision])

    async def waiting(self) -> list[Report]:
        """All reports that are not in MongoDB yet."""
        found: dict[Any, Any] = await self._redis.hgetall(_REPORTS)
        return [Report(msgspec.json.decode(raw, type=Recording), raw) for raw in found.values()]

    async def settle(self, report: Report) -> None:
        """A report is in MongoDB: forget it, unless a newer one took its place."""
        await self._settle(keys=[_REPORTS], args=[report.recording.id, report.raw])

    async def disown(self, recording: str) -> None:
        """Ask the host that has the file of a recording to delete it when it comes back."""
        await self._redis.sadd(_UNWANTED, recording)

    async def unwanted(self, recordings: list[str]) -> list[str]:
        """Those of the given recordings whose files are to be deleted."""
        if not recordings:
            return []
        found = await self._redis.smismember(_UNWANTED, recordings)
        return [recording for recording, wanted in zip(recordings, found, strict=True) if wanted]

    async def deleted(self, recording: str) -> None:
        """The file of an unwanted recording is gone."""
        await self._redis.srem(_UNWANTED, recording)


class RecordingCatalogue:
    """The MongoDB side: collection `recordings`, one document each.

    Every method raises `pymongo.errors.PyMongoError` when no primary can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._recordings = client[database].get_collection(
            "recordings", write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )

    async def note(self, recording: Recording) -> None:
        """Keep what is known of a recording, unless something newer is kept, or it was deleted."""
        values = msgspec.to_builtins(recording, builtin_types=(datetime,))
        del values["id"]
        older = {"_id": recording.id, "revision": {"$lte": recording.revision}, "deleted_at": {"$exists": False}}
        try:
            await self._recordings.update_one(older, {"$set": values}, upsert=True)
        except DuplicateKeyError:
            # A newer revision, or the tombstone, is kept already.
            return

    async def of_room(self, room: str) -> tuple[list[Recording], frozenset[str]]:
        """A room's recordings, oldest first, and the ids of those that were deleted."""
        found = self._recordings.find({"room": room}, sort=[("started_at", ASCENDING)], limit=MAX_OF_ROOM)
        documents = [document async for document in found]
        deleted = frozenset(document["_id"] for document in documents if "deleted_at" in document)
        kept = [document for document in documents if document["_id"] not in deleted]
        return [msgspec.convert({**document, "id": document["_id"]}, Recording) for document in kept], deleted

    async def delete(self, recording: Recording) -> None:
        """Forget a recording, and remember for a while that it is to stay forgotten."""
        tombstone = {"_id": recording.id, "room": recording.room, "deleted_at": datetime.now(UTC)}
        await self._recordings.replace_one({"_id": recording.id}, tombstone, upsert=True)
