"""The recordings of a worker: begins, ends, lists and reads them. At most one goes on in a room."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from structlog import get_logger

from sfu_fleet.errors import AlreadyRecording, NotRecording, UnknownLayer, UnknownRecording, Unrecordable
from sfu_fleet.publisher import Publisher
from sfu_fleet.recording.depacketize import DEPACKETIZERS
from sfu_fleet.recording.matroska import is_webm
from sfu_fleet.recording.pipeline import Plan
from sfu_fleet.recording.storage import Recording, Storage
from sfu_fleet.recording.tap import RecordingTap
from sfu_fleet.recording.writer import RecordingWriter

T = TypeVar("T")

log = get_logger(__name__)


class _Active:
    """A recording that goes on."""

    def __init__(self, recording: Recording, writer: RecordingWriter, tap: RecordingTap) -> None:
        self.recording = recording
        self.writer = writer
        self.tap = tap
        self.done: asyncio.Future[Recording] = asyncio.get_running_loop().create_future()


class Recordings:
    """A recording's id begins with its worker's, so that any function finds it."""

    def __init__(self, worker_id: str, storage: Storage) -> None:
        self._worker_id = worker_id
        self._storage = storage
        self._loop = asyncio.get_running_loop()
        self._active: dict[str, _Active] = {}

    def start(self, publisher: Publisher, layer: str | None) -> Recording:
        """Record a publisher's stream from its next keyframe on.

        Raises:
            AlreadyRecording, UnknownLayer, Unrecordable: as their names say.
        """
        room = publisher.room
        if room in self._active:
            raise AlreadyRecording("this room is being recorded already")
        plan = _plan(publisher)
        names = [found.name for track in publisher.tracks if track.kind == "video" for found in track.layers]
        if layer is not None and layer not in names:
            raise UnknownLayer(f"the layers are: {', '.join(names)}")
        identifier = f"{self._worker_id}-{secrets.token_hex(11)}"
        webm = is_webm(plan.encodings)
        kind = "video" if plan.video else "audio"
        recording = Recording(
            id=identifier,
            room=room,
            started_at=datetime.now(UTC),
            state="recording",
            media_type=f"{kind}/webm" if webm else f"{kind}/x-matroska",
            file=f"{identifier}.{'webm' if webm else 'mkv'}",
            codecs=plan.encodings,
        )
        loop = self._loop
        writer = RecordingWriter(
            recording,
            self._storage,
            plan,
            need_keyframe=lambda name: _tell(loop, tap.need_keyframe, name),
            on_end=lambda ended: _tell(loop, self._on_end, ended),
        )
        tap = RecordingTap(publisher, writer, layer)
        self._active[room] = _Active(recording, writer, tap)
        writer.start()
        log.info("recording_started", recording=identifier, room=room, session=publisher.id, codecs=plan.encodings)
        return recording

    async def stop(self, room: str) -> Recording:
        """End a room's recording; when this returns, its file is finished.

        Raises:
            NotRecording: there is none.
        """
        active = self._active.get(room)
        if active is None:
            raise NotRecording("this room is not being recorded")
        active.tap.leave()
        active.writer.stop()
        return await asyncio.shield(active.done)

    async def of_room(self, room: str) -> list[Recording]:
        """A room's recordings that this worker made, oldest first."""
        found = await asyncio.to_thread(self._storage.of_room, room)
        return [self._now(recording) for recording in found if self._is_ours(recording.id)]

    async def find(self, room: str, identifier: str) -> Recording:
        """One of them.

        Raises:
            UnknownRecording: this worker has made none with that id in that room.
        """
        found = await asyncio.to_thread(self._storage.find, identifier) if self._is_ours(identifier) else None
        if found is None or found.room != room:
            raise UnknownRecording("no recording has this id")
        return self._now(found)

    @property
    def storage(self) -> Storage:
        """Where the files are."""
        return self._storage

    async def close(self) -> None:
        """Finish all files."""
        for room in list(self._active):
            try:
                await self.stop(room)
            except NotRecording:
                continue

    def _now(self, recording: Recording) -> Recording:
        active = self._active.get(recording.room)
        if recording.state == "recording" and (active is None or active.recording.id != recording.id):
            return msgspec.structs.replace(recording, state="interrupted")
        return recording

    def _is_ours(self, identifier: str) -> bool:
        return identifier.startswith(f"{self._worker_id}-")

    def _on_end(self, recording: Recording) -> None:
        active = self._active.get(recording.room)
        if active is None or active.recording.id != recording.id:
            return
        active.tap.leave()
        del self._active[recording.room]
        active.done.set_result(recording)


def _plan(publisher: Publisher) -> Plan:
    encodings: dict[str, str] = {}
    for track in publisher.tracks:
        encodings.setdefault(track.kind, track.codec.encoding)
    video = encodings.get("video")
    if video is not None and video not in DEPACKETIZERS:
        raise Unrecordable(f"{video} is not recorded yet")
    return Plan(video, encodings.get("audio"))


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], argument: T) -> None:
    """From the writer's thread to the loop's, unless the worker is gone already."""
    try:
        loop.call_soon_threadsafe(callback, argument)
    except RuntimeError:
        log.warning("recording_outlived_its_worker")
