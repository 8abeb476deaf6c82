"""The thread that writes one recording, and the bounded queue in front of it: forwarding never waits for a disk.

It looks into the queue ten times a second instead of being woken for each packet, and lets go of the interpreter
between small batches, so that the event loop's thread always comes first.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec
from structlog import get_logger

from sfu_fleet.recording.pipeline import Media, Pipeline, Plan, Report
from sfu_fleet.recording.storage import Recording, Storage

# Some seconds of a stream, about 10 MB: a disk that is slower for longer costs a gap in the file.
MAX_WAITING = 8_192
LOOK_S = 0.1
BATCH = 16
IDLE_S = 1.0

log = get_logger(__name__)


class RecordingWriter:
    """`on_end` is called on the writer's thread, with the state that the recording ended in."""

    def __init__(
        self,
        recording: Recording,
        storage: Storage,
        plan: Plan,
        *,
        need_keyframe: Callable[[str], None],
        on_end: Callable[[Recording], None],
    ) -> None:
        self._recording = recording
        self._storage = storage
        self._plan = plan
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

    def stop(self) -> None:
        """Write what is queued, finish the file, end. Does not wait for it."""
        self._stopping.set()

    def _run(self) -> None:
        recording = msgspec.structs.replace(self._recording, state="failed")
        try:
            with self._storage.create(self._recording) as file:
                pipeline = Pipeline(self._plan, file, self._need_keyframe)
                self._work(pipeline)
                pipeline.finish()
                size = file.tell()
            recording = msgspec.structs.replace(
                recording,
                state="complete" if pipeline.frames_written else "failed",
                duration_s=round(pipeline.duration_s, 3),
                bytes=size,
                dropped_frames=pipeline.dropped_frames,
            )
            self._storage.note(recording)
        except Exception:
            # Whatever it is, a full disk included, costs the recording and nothing else.
            log.exception("recording_failed", recording=recording.id, room=recording.room)
        finally:
            self._stopping.set()
            self._waiting.clear()
            log.info("recording_ended", recording=recording.id, room=recording.room, state=recording.state)
            self._on_end(recording)

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
