"""The recordings of a worker: begins, ends, lists, reads and deletes them. At most one goes on in a room."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from redis.exceptions import RedisError
from structlog import get_logger

from sfu_fleet.errors import (
    AlreadyRecording,
    NotRecording,
    RecordingInProgress,
    UnknownLayer,
    UnknownRecording,
)
from sfu_fleet.metrics import Metrics
from sfu_fleet.publisher import Publisher
from sfu_fleet.recording.finishing import Finisher
from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.recording.matroska import is_webm
from sfu_fleet.recording.pipeline import Plan
from sfu_fleet.recording.reporting import Reporter
from sfu_fleet.recording.tap import RecordingTap
from sfu_fleet.recording.writer import Limits, RecordingWriter
from shared.object_store import ObjectStore
from shared.state.recordings import Recording, RecordingEnd, RecordingReports

# How often functions hear how long and large a recording is that goes on.
PROGRESS_S = 2.0
# How often it is asked whether somebody deleted a recording while this host was away.
DISOWNED_S = 10.0
# An answer waits so long for its report at most: a list that is asked for next then has it.
REPORT_WAIT_S = 1.0

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
    """A recording's id begins with the id of the worker that made it.

    `announce` makes functions know of `host` at once, when it has become known here.
    """

    def __init__(
        self,
        worker_id: str,
        folder: RecordingFolder,
        store: ObjectStore | None,
        upload_bitrate: int,
        reports: RecordingReports,
        metrics: Metrics,
        announce: Callable[[], Awaitable[None]],
    ) -> None:
        self._worker_id = worker_id
        self._announce = announce
        self._folder = folder
        self._reports = reports
        self._reporter = Reporter(reports, self._on_reported)
        self._loop = asyncio.get_running_loop()
        self._active: dict[str, _Active] = {}
        loop = self._loop
        self._finisher = Finisher(
            folder,
            store,
            bitrate=upload_bitrate,
            report=lambda recording: _tell(loop, self._reporter.note, recording),
            count=lambda outcome: _tell(loop, metrics.upload, outcome),
        )
        self.host = folder.host()

    async def start(self, publisher: Publisher, layer: str | None, limits: Limits) -> Recording:
        """Record a publisher's stream from its next keyframe on.

        Raises:
            AlreadyRecording, UnknownLayer: as their names say.
        """
        room = publisher.room
        if room in self._active:
            raise AlreadyRecording("this room is being recorded already")
        plan = _plan(publisher)
        names = [found.name for track in publisher.tracks if track.kind == "video" for found in track.layers]
        if layer is not None and layer not in names:
            raise UnknownLayer(f"the layers are: {', '.join(names)}")
        known_host, recording = self.host, self._new(room, plan)
        loop = self._loop
        writer = RecordingWriter(
            recording,
            self._folder,
            plan,
            limits,
            state_after=self._finisher.state_after,
            need_keyframe=lambda name: _tell(loop, tap.need_keyframe, name),
            on_end=lambda ended: _tell(loop, self._on_end, ended),
        )
        tap = RecordingTap(publisher, writer, layer)
        self._active[room] = _Active(recording, writer, tap)
        writer.start()
        log.info("recording_started", recording=recording.id, room=room, session=publisher.id, codecs=plan.encodings)
        self._reporter.note(recording)
        if recording.host != known_host:
            await self._announce()
        await self._reported()
        return recording

    async def stop(self, room: str, end: RecordingEnd = "asked") -> Recording:
        """End a room's recording; when this returns, its file is finished.

        Raises:
            NotRecording: there is none.
        """
        active = self._active.get(room)
        if active is None:
            raise NotRecording("this room is not being recorded")
        active.tap.leave()
        active.writer.stop(end)
        ended = await asyncio.shield(active.done)
        await self._reported()
        return ended

    async def of_room(self, room: str) -> list[Recording]:
        """A room's recordings whose documents are on this host, oldest first."""
        return [self._now(found) for found in await asyncio.to_thread(self._folder.of_room, room)]

    async def find(self, room: str, identifier: str) -> Recording:
        """One whose file is on this host, as large as it is now.

        Raises:
            UnknownRecording: there is no such file.
        """
        found = await asyncio.to_thread(self._folder.find, room, identifier)
        if found is None or found.stored:
            raise UnknownRecording("no file of this host has this id")
        return self._now(found)

    async def read(self, recording: Recording, first: int, count: int) -> Iterator[bytes]:
        """Bytes of its file, in pieces; to be iterated on a thread.

        Raises:
            UnknownRecording: the file has just gone, to the object store or for good.
        """
        try:
            return await asyncio.to_thread(self._folder.read, recording, first, count)
        except FileNotFoundError:
            raise UnknownRecording("the file is not on this host any more") from None

    async def delete(self, room: str, identifier: str) -> None:
        """Delete a recording from this host; an upload of it is given up.

        Raises:
            UnknownRecording, RecordingInProgress: as their names say.
        """
        found = await asyncio.to_thread(self._folder.find, room, identifier)
        if found is None:
            raise UnknownRecording("no recording of this host has this id")
        if found.state == "recording":
            raise RecordingInProgress("end it first")
        await asyncio.to_thread(self._folder.remove, found)
        log.info("recording_deleted", recording=identifier, room=room)

    def duties(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What has to be done for as long as the worker runs, by name. Each is to be cancelled by itself."""
        return {
            "recording-reports": self._report,
            "recording-progress": self._tell_progress,
            "recordings-disowned": self._delete_disowned,
        }

    async def finish(self) -> None:
        """End all recordings, and wait until their files are where they are to be."""
        for room in list(self._active):
            try:
                await self.stop(room, "stream_ended")
            except NotRecording:
                continue
        self._finisher.wake()
        while not await asyncio.to_thread(self._finisher.wait, 0.1):
            pass
        await self._reported()

    async def close(self) -> None:
        """End all recordings; what is not uploaded then is left to the next worker."""
        for active in list(self._active.values()):
            active.tap.leave()
            active.writer.stop("stream_ended")
            await asyncio.shield(active.done)
        await asyncio.to_thread(self._finisher.stop)
        await self._reported()

    def _new(self, room: str, plan: Plan) -> Recording:
        try:
            self.host = self._folder.make()
        except OSError as error:
            # The writer meets the same, and says so of this recording.
            log.warning("recordings_folder", error=str(error))
        identifier = f"{self._worker_id}-{secrets.token_hex(11)}"
        webm = is_webm(plan.encodings)
        kind = "video" if plan.video else "audio"
        return Recording(
            id=identifier,
            room=room,
            host=self.host,
            started_at=datetime.now(UTC),
            state="recording",
            media_type=f"{kind}/webm" if webm else f"{kind}/x-matroska",
            file=f"{identifier}.{'webm' if webm else 'mkv'}",
            codecs=plan.encodings,
        )

    def _now(self, recording: Recording) -> Recording:
        """The documents are written at the start and at the end only: in between the file says how long it is."""
        if recording.state != "recording":
            return recording
        elapsed = (datetime.now(UTC) - recording.started_at).total_seconds()
        size = self._folder.size(recording)
        return msgspec.structs.replace(recording, bytes=size, duration_s=round(elapsed, 1))

    async def _report(self) -> None:
        for recording in await asyncio.to_thread(self._folder.all):
            self._reporter.note(recording)
        # What it finds to do is newer than that.
        self._finisher.start()
        await self._reporter.run()

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            for active in list(self._active.values()):
                self._reporter.note(await asyncio.to_thread(self._now, active.recording))

    async def _delete_disowned(self) -> None:
        while True:
            try:
                here = {recording.id: recording for recording in await asyncio.to_thread(self._folder.all)}
                for identifier in await self._reports.unwanted(list(here)):
                    await asyncio.to_thread(self._folder.remove, here[identifier])
                    await self._reports.deleted(identifier)
                    log.info("recording_deleted", recording=identifier, room=here[identifier].room)
            except (RedisError, OSError) as error:
                log.warning("disowned_unknown", error=type(error).__name__)
            await asyncio.sleep(DISOWNED_S)

    async def _reported(self) -> None:
        try:
            async with asyncio.timeout(REPORT_WAIT_S):
                await self._reporter.flush()
        except TimeoutError:
            log.warning("recording_report_delayed")

    async def _on_reported(self, recording: Recording) -> None:
        if recording.stored:
            # Functions know of it, and the object store has it: nothing is left to be done here.
            try:
                await asyncio.to_thread(self._folder.remove, recording)
            except OSError as error:
                log.warning("recording_not_removed", recording=recording.id, error=str(error))

    def _on_end(self, recording: Recording) -> None:
        active = self._active.get(recording.room)
        if active is None or active.recording.id != recording.id:
            return
        active.tap.leave()
        del self._active[recording.room]
        self._reporter.note(recording)
        self._finisher.wake()
        active.done.set_result(recording)


def _plan(publisher: Publisher) -> Plan:
    encodings: dict[str, str] = {}
    for track in publisher.tracks:
        encodings.setdefault(track.kind, track.codec.encoding)
    return Plan(encodings.get("video"), encodings.get("audio"))


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], argument: T) -> None:
    """From another thread to the loop's, unless the worker is gone already."""
    try:
        loop.call_soon_threadsafe(callback, argument)
    except RuntimeError:
        log.warning("recording_outlived_its_worker")
