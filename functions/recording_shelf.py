"""A room's recordings, wherever they are: in the object store, on the host of a worker, or on one that is away.

Workers report (`shared.state.recordings`); this joins what waits in Redis with what MongoDB keeps, so that a list needs
no worker, and finds who can read or delete a file.
"""

import asyncio
from typing import Literal

import msgspec

from functions.settings import Settings
from functions.sfu_client import SfuClient, SfuError
from shared.object_store import STORE_ERRORS, ObjectStore
from shared.security.tokens import AUDIENCE_RECORDING, Claims, Grant, Tokens
from shared.state.fleet import Fleet, Worker
from shared.state.recordings import Recording, RecordingCatalogue, RecordingReports
from shared.telemetry.problems import Problem

# A link in a page is good for a long recording, and for a pause in it.
LINK_LIFETIME_S = 4 * 3600

ShownState = Literal["recording", "uploading", "ready", "failed", "lost"]


class Shown(msgspec.Struct, frozen=True):
    """A recording, and the state that it is in as seen from here: lost is one whose only copy is on an absent host."""

    recording: Recording
    state: ShownState


class Allowance(msgspec.Struct, frozen=True):
    """How long and large a new recording may become; 0 is no limit."""

    longest_s: float
    largest_bytes: int


class RecordingShelf:
    """Lists, finds, links and deletes.

    Every method raises `pymongo.errors.PyMongoError` or `redis.exceptions.RedisError` when these cannot be reached.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: RecordingCatalogue,
        reports: RecordingReports,
        fleet: Fleet,
        sfu: SfuClient,
        tokens: Tokens,
        store: ObjectStore | None,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._reports = reports
        self._fleet = fleet
        self._sfu = sfu
        self._tokens = tokens
        self._store = store

    async def of_room(self, room: str) -> list[Shown]:
        """A room's recordings, oldest first."""
        # Redis first: a report that moves to MongoDB in between is seen twice, not never.
        waiting = await self._reports.waiting()
        kept, deleted = await self._catalogue.of_room(room)
        found = {recording.id: recording for recording in kept}
        for recording in (report.recording for report in waiting):
            if recording.room != room or recording.id in deleted:
                continue
            known = found.get(recording.id)
            if known is None or known.revision <= recording.revision:
                found[recording.id] = recording
        hosts = {worker.recordings for worker in await self._fleet.workers()}
        return [
            Shown(recording, _state(recording, hosts))
            for recording in sorted(found.values(), key=lambda known: known.started_at)
        ]

    async def find(self, room: str, identifier: str) -> Shown:
        """One of them.

        Raises:
            Problem: 404 where there is none.
        """
        for shown in await self.of_room(room):
            if shown.recording.id == identifier:
                return shown
        raise unknown()

    async def host_of(self, recording: Recording) -> Worker | None:
        """A worker that can read the file of a recording that is not stored: the one that made it, or a neighbour."""
        there = [worker for worker in await self._fleet.workers() if worker.recordings == recording.host]
        made_by = recording.id.partition("-")[0]
        return min(there, key=lambda worker: worker.id != made_by, default=None)

    async def store_link(self, recording: Recording, *, download: bool) -> str:
        """A URL of the object store under which a recording can be read without a token for a while.

        Raises:
            Problem: 503 when this process has no object store, or no credentials for it.
        """
        if self._store is None:
            raise _no_store("this process is not configured for the object store")
        disposition = f'{"attachment" if download else "inline"}; filename="{recording.file}"'
        try:
            # On a thread: credentials of a role are fetched when they are needed.
            return await asyncio.to_thread(
                self._store.link,
                recording.key,
                lifetime_s=LINK_LIFETIME_S,
                media_type=recording.media_type,
                disposition=disposition,
            )
        except STORE_ERRORS as error:
            raise _no_store(type(error).__name__) from None

    def own_link(self, recording: Recording, claims: Claims, *, download: bool) -> str:
        """A path of our API that reads a recording without a header, since a media element sends none, for a while."""
        bearer = Claims(sub=claims.sub, name=claims.name, room=recording.room, grants=frozenset({Grant.MODERATE}))
        token = self._tokens.sign(bearer, audience=_audience(recording.id), lifetime_s=LINK_LIFETIME_S)
        path = f"/v1/rooms/{recording.room}/recordings/{recording.id}?token={token}"
        return f"{path}&download=true" if download else path

    def claims_of_link(self, token: str, room: str, identifier: str) -> Claims:
        """Who a link was made for.

        Raises:
            TokenError: it is not for this recording, or it has expired.
            Problem: it is for another room.
        """
        claims = self._tokens.verify(token, audience=_audience(identifier))
        if claims.room != room:
            raise unknown()
        return claims

    async def allowance(self, claims: Claims) -> Allowance:
        """Whether a room may have one more recording, and how large; makes room for it where that is wanted.

        Raises:
            Problem: 409, with the limit that is reached.
        """
        settings = self._settings
        there = await self.of_room(claims.room)
        while (problem := self._full(there)) is not None:
            oldest = next((shown for shown in there if shown.state != "recording"), None)
            if not settings.recordings_prune or oldest is None:
                raise problem
            await self.delete(claims, oldest)
            there.remove(oldest)
        left = settings.recordings_max_bytes - _used(there) if settings.recordings_max_bytes else 0
        # Where old ones make way for new ones, a new one may be as large as all of them.
        largest = settings.recordings_max_bytes if settings.recordings_prune else left
        return Allowance(settings.recording_max_s, largest)

    async def delete(self, claims: Claims, shown: Shown) -> None:
        """Delete a recording wherever it is.

        Raises:
            Problem: 409 while it goes on, 503 when the object store does not let us.
            SfuError: the worker that has its file did not answer.
        """
        recording = shown.recording
        if shown.state == "recording":
            raise Problem(409, "recording_in_progress", "The recording goes on", "end it first")
        worker = await self.host_of(recording)
        if not recording.stored and worker is not None:
            await self._delete_file(worker, claims, recording)
        elif not recording.stored:
            await self._reports.disown(recording.id)
        if self._store is not None:
            # Also of one that is not said to be stored: its upload may have come to its end a moment ago.
            key = recording.key or self._store.key(recording.room, recording.file)
            try:
                await asyncio.to_thread(self._store.delete, key)
            except STORE_ERRORS as error:
                raise _no_store(type(error).__name__) from None
        elif recording.stored:
            raise _no_store("this process is not configured for the object store")
        await self._catalogue.delete(recording)

    async def _delete_file(self, worker: Worker, claims: Claims, recording: Recording) -> None:
        try:
            await self._sfu.delete_recording(worker, claims, recording.id)
        except SfuError as error:
            if error.code != "unknown_recording":
                raise

    def _full(self, there: list[Shown]) -> Problem | None:
        settings = self._settings
        if settings.recordings_max_count and len(there) >= settings.recordings_max_count:
            detail = f"the room has {len(there)} recordings, and may have {settings.recordings_max_count}: delete some"
            return Problem(409, "too_many_recordings", "No room for another recording", detail)
        used = _used(there)
        if settings.recordings_max_bytes and used >= settings.recordings_max_bytes:
            detail = f"the room's recordings have {used} bytes, of {settings.recordings_max_bytes}: delete some"
            return Problem(409, "recordings_too_large", "No room for another recording", detail)
        return None


def unknown() -> Problem:
    """There is no such recording."""
    return Problem(404, "unknown_recording", "Unknown recording", "no recording of this room has this id")


def _state(recording: Recording, hosts: set[str]) -> ShownState:
    alone = not recording.stored and recording.host not in hosts
    return "lost" if alone and recording.state != "failed" else recording.state


def _used(there: list[Shown]) -> int:
    return sum(shown.recording.bytes for shown in there)


def _audience(recording: str) -> str:
    return f"{AUDIENCE_RECORDING}:{recording}"


def _no_store(why: str) -> Problem:
    detail = f"the object store cannot be used: {why}"
    return Problem(503, "no_object_store", "Unavailable", detail, {"retry-after": "5"})
