"""The thread that writes one recording, and the bounded queue in front of it: forwarding never waits for a disk.

It looks into the queue ten times a second instead of being woken for each packet, and lets go of the interpreter
between small batches, so that the event loop's thread always comes first.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from structlog import get_logger

from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.recording.pipeline import Media, Pipeline, Plan, Report
from shared.state.recordings import Recording, RecordingEnd, RecordingState

# Some seconds of a stream, about 10 MB: a disk that is slower for longer costs a gap in the file.
MAX_WAITING = 8_192
LOOK_S = 0.1
BATCH = 16
IDLE_S = 1.0

log = get_logger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """Where a recording ends by itself, within a second of the limit; 0 is no limit."""

    longest_s: float = 0.0
    largest_bytes: int = 0

    def reached(self, pipeline: Pipeline) -> RecordingEnd:
        """Which of them is reached, if any."""
        if self.longest_s and pipeline.duration_s >= self.longest_s:
            return "longest"
        return "largest" if self.largest_bytes and pipeline.size >= self.largest_bytes else ""


class RecordingWriter:
    """`on_end` is called on the writer's thread, with the recording as it ended: in `state_after`, or failed."""

    def __init__(
        self,
        recording: Recording,
        folder: RecordingFolder,
        plan: Plan,
        limits: Limits,
        *,
        state_after: RecordingState,
        need_keyframe: Callable[[str], None],
        on_end: Callable[[Recording], None],
    ) -> None:
        self._recording = recording
        self._folder = folder
        self._plan = plan
        self._limits = limits
        self._state_after = state_after
        self._end: RecordingEnd = ""
        self._need_keyframe = need_keyframe
        self._on_end = on_end
        self._waiting: deque[Media | Report] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recording-{recording.id}", daemon=True)
        self.refused = 0

    def start(self) -> None:
        """Open the file and take packets."""
        self._thread.start()

    def offer(self, item: Media | Report) -> bool:
        """Queue an item; never blocks. False when there is no room, or no more writing."""
        if len(self._waiting) >= MAX_WAITING or self._stopping.is_set():
            self.refused += 1
            return False
        self._waiting.append(item)
        return True

    def stop(self, end: RecordingEnd) -> None:
        """Write what is queued, finish the file, end. Does not wait for it; `end` says why."""
        self._end = self._end or end
        self._stopping.set()

    def _run(self) -> None:
        recording = msgspec.structs.replace(self._recording, state="failed")
        try:
            with self._folder.create(self._recording) as file:
                pipeline = Pipeline(self._plan, file, self._need_keyframe)
                self._work(pipeline)
                pipeline.finish()
                recording = msgspec.structs.replace(
                    recording,
                    state=self._state_after if pipeline.frames_written else "failed",
                    duration_s=round(pipeline.duration_s, 3),
                    bytes=file.tell(),
                    dropped_frames=pipeline.dropped_frames,
                )
                # Before the lock goes with the file: nobody is to take it for one that was left.
                recording = self._folder.note(self._ended(recording))
        except Exception:
            # Whatever it is, a full disk included, costs the recording and nothing else.
            log.exception("recording_failed", recording=recording.id, room=recording.room)
            recording = self._ended(msgspec.structs.replace(recording, state="failed"))
            with suppress(OSError):
                recording = self._folder.note(recording)
        finally:
            self._stopping.set()
            self._waiting.clear()
            log.info("recording_ended", recording=recording.id, room=recording.room, state=recording.state)
            self._on_end(recording)

    def _ended(self, recording: Recording) -> Recording:
        return msgspec.structs.replace(recording, ended_at=datetime.now(UTC), end=self._end)

    def _work(self, pipeline: Pipeline) -> None:
        heard_at = time.monotonic()
        while True:
            stopping = self._stopping.wait(LOOK_S)
            if self._waiting:
                heard_at = time.monotonic()
                self._drain(pipeline)
            elif time.monotonic() - heard_at >= IDLE_S:
                pipeline.idle()
                heard_at = time.monotonic()
            if not stopping and (reached := self._limits.reached(pipeline)):
                self.stop(reached)
                return
            if stopping:
                return

    def _drain(self, pipeline: Pipeline) -> None:
        taken = 0
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Media):
                pipeline.media(item)
            else:
                pipeline.report(item)
            taken += 1
            if taken % BATCH == 0:
                time.sleep(0)
