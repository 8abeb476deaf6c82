"""What becomes of a recording after its last packet: mended if its worker was lost, uploaded if there is a store.

One thread, one file at a time. The work is not queued anywhere: it is what the documents in the folder say is left to
do, so a crash forgets nothing and any worker of the host takes up what another has left.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

import msgspec
from structlog import get_logger

from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.recording.mending import mend
from sfu_fleet.recording.uploading import PART_BYTES, UploadAbandonedError, UploadMismatchError, abandon, upload
from shared.object_store import STORE_ERRORS, ObjectStore
from shared.state.recordings import Recording, RecordingState

# How soon a file is found that another worker of this host has left.
LOOK_S = 5.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
STOP_S = 5.0

_TROUBLE: tuple[type[Exception], ...] = (*STORE_ERRORS, UploadMismatchError, OSError)

log = get_logger(__name__)


class Finisher:
    """`report` is told of every change, and `count` of the outcome of every attempt to upload; both on the thread.

    Uploads take `bitrate` bit/s on average, or what they can when it is 0.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        store: ObjectStore | None,
        *,
        bitrate: int,
        report: Callable[[Recording], None],
        count: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._store = store
        self._part_s = PART_BYTES * 8 / bitrate if bitrate else 0.0
        self._next_part_at = 0.0
        self._report = report
        self._count = count
        self._again: dict[str, tuple[float, float]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording-finisher", daemon=True)

    @property
    def state_after(self) -> RecordingState:
        """The state of a recording whose file is finished."""
        return "ready" if self._store is None else "uploading"

    def start(self) -> None:
        """Look after the folder from now on."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do. Does not wait for it."""
        self._idle.clear()
        self._wake.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is nothing left that could be done now; whether that is so."""
        return self._idle.wait(timeout_s)

    def stop(self) -> None:
        """End with the part that is on its way; the next worker of this host goes on from there.

        Waits for that, but not for a store that does not answer: the thread ends with the process.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                for recording in self._folder.all():
                    if self._stopping.is_set():
                        return
                    self._finish(recording)
            except Exception:
                # Whatever it is, it must not end the care for all the others.
                log.exception("recordings_not_finished")
            if not self._wake.is_set():
                self._idle.set()
            self._wake.wait(LOOK_S if not self._again else min(LOOK_S, FIRST_WAIT_S))

    def _finish(self, recording: Recording) -> None:
        uploads = self._store is not None and recording.state in {"uploading", "ready"} and not recording.stored
        keeps = self._store is None and recording.state == "uploading"
        if recording.state != "recording" and not uploads and not keeps:
            return
        if time.monotonic() < self._again.get(recording.id, (0.0, 0.0))[0]:
            return
        file = self._folder.take(recording)
        if file is None:
            return
        with file:
            # What it was before the lock was ours may be over.
            present = self._folder.find(recording.room, recording.id)
            if present is None or present.stored:
                return
            if present.state == "recording":
                present = self._mended(present, file)
            elif keeps:
                present = self._noted(msgspec.structs.replace(present, state="ready"))
            if self._store is not None and present.state in {"uploading", "ready"}:
                self._upload(self._store, present, file)

    def _mended(self, recording: Recording, file: BinaryIO) -> Recording:
        """Finish the file of a worker that did not."""
        ended_at = self._folder.changed_at(recording)
        ending = None
        try:
            ending = mend(file)
        except ValueError as error:
            log.warning("recording_not_mended", recording=recording.id, room=recording.room, reason=str(error))
        found = msgspec.structs.replace(
            recording, state="failed", end="interrupted", ended_at=ended_at, bytes=self._folder.size(recording)
        )
        if ending is not None:
            duration_s = round(ending.duration_ms / 1000, 3)
            found = msgspec.structs.replace(found, state=self.state_after, duration_s=duration_s)
        log.info("recording_mended", recording=recording.id, room=recording.room, state=found.state)
        return self._noted(found)

    def _upload(self, store: ObjectStore, recording: Recording, file: BinaryIO) -> None:
        key = store.key(recording.room, recording.file)
        if recording.state == "ready":
            recording = self._noted(msgspec.structs.replace(recording, state="uploading"))
        try:
            size = upload(store, file, key, recording.media_type, lambda: self._goes_on(recording))
        except UploadAbandonedError:
            self._count("abandoned")
            if not self._folder.wanted(recording):
                self._cleared(store, key)
            return
        except _TROUBLE as error:
            self._count("failed")
            self._postpone(recording, error)
            return
        if not self._folder.wanted(recording):
            self._cleared(store, key)
            return
        self._again.pop(recording.id, None)
        self._count("done")
        stored = self._noted(msgspec.structs.replace(recording, state="ready", stored=True, key=key, bytes=size))
        self._folder.drop_file(stored)
        log.info("recording_stored", recording=recording.id, room=recording.room, bytes=size)

    def _goes_on(self, recording: Recording) -> bool:
        """Wait until the next part may be sent; whether it is to be."""
        now = time.monotonic()
        self._stopping.wait(max(0.0, self._next_part_at - now))
        self._next_part_at = max(now, self._next_part_at) + self._part_s
        return not self._stopping.is_set() and self._folder.wanted(recording)

    def _noted(self, recording: Recording) -> Recording:
        noted = self._folder.note(recording)
        self._report(noted)
        return noted

    def _cleared(self, store: ObjectStore, key: str) -> None:
        """The recording was deleted while it was being uploaded."""
        try:
            abandon(store, key)
        except STORE_ERRORS as error:
            log.warning("upload_left_behind", key=key, error=type(error).__name__)

    def _postpone(self, recording: Recording, error: Exception) -> None:
        _, before = self._again.get(recording.id, (0.0, 0.0))
        wait = min(LONGEST_WAIT_S, max(FIRST_WAIT_S, 2 * before))
        # Not all at once, when a store that many wait for is back.
        jitter = wait * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, protects nothing
        self._again[recording.id] = (time.monotonic() + jitter, wait)
        log.warning(
            "upload_postponed", recording=recording.id, room=recording.room, error=type(error).__name__, wait_s=wait
        )
