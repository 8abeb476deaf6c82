"""From a publisher's packets to the blocks of a file: order, frames, times, interleaving. On the writer's thread."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from sfu_fleet.recording.clocks import LayerClock, PublisherClock
from sfu_fleet.recording.depacketize import DEPACKETIZERS
from sfu_fleet.recording.frames import FrameAssembler
from sfu_fleet.recording.interleave import Block, Interleaver
from sfu_fleet.recording.matroska import MatroskaWriter, TrackEntry, opus_head
from sfu_fleet.recording.ordering import Reorderer
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.switching import Clock

OPUS_CHANNELS = 2


class Plan(msgspec.Struct, frozen=True):
    """What is recorded: the encodings as in SDP, None for what the publisher does not send."""

    video: str | None
    audio: str | None

    @property
    def encodings(self) -> list[str]:
        """Those that there are, in the order of the file's tracks."""
        return [encoding for encoding in (self.video, self.audio) if encoding is not None]


class Media(msgspec.Struct, frozen=True, gc=False):
    """A packet with its place in its layer's timeline and the time of its arrival. `layer` is "audio" for sound."""

    layer: str
    packet: RtpPacket
    sequence: int
    timestamp: int
    at: float
    rate: int

    @property
    def ssrc(self) -> int:
        """Its source."""
        return self.packet.ssrc

    @property
    def marker(self) -> bool:
        """Whether a frame ends here."""
        return self.packet.marker

    @property
    def payload(self) -> bytes:
        """What it carries."""
        return self.packet.payload


class Report(msgspec.Struct, frozen=True):
    """A sender report of a layer, moved onto the layer's timeline."""

    layer: str
    clock: Clock
    at: float


AUDIO = "audio"


class Pipeline:
    """Owns the file's content. `need_keyframe` is called with the name of the layer that has to send one."""

    def __init__(self, plan: Plan, file: BinaryIO, need_keyframe: Callable[[str], None]) -> None:
        self._plan = plan
        self._file = file
        self._need_keyframe = need_keyframe
        self._publisher_clock = PublisherClock()
        self._clocks: dict[str, LayerClock] = {}
        self._early_reports: dict[str, Report] = {}
        self._order: dict[str, Reorderer[Media]] = {}
        self._frames: FrameAssembler | None = None
        self._video_layer: str | None = None
        self._interleaver = Interleaver()
        self._writer: MatroskaWriter | None = None
        self._zero = 0.0
        self._last_ms: dict[int, int] = {}
        self._dropped_before = 0
        self.frames_written = 0

    @property
    def duration_s(self) -> float:
        """How long the file is."""
        return self._writer.duration_ms / 1_000 if self._writer else 0.0

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._writer.size if self._writer else 0

    @property
    def dropped_frames(self) -> int:
        """Frames of video that were incomplete, or that came between a loss and the next keyframe."""
        return self._dropped_before + (self._frames.dropped if self._frames else 0)

    def media(self, media: Media) -> None:
        """Take a packet."""
        if media.layer not in self._clocks:
            clock = LayerClock(self._publisher_clock, media.rate, media.timestamp, media.at)
            self._clocks[media.layer] = clock
            early = self._early_reports.pop(media.layer, None)
            if early is not None:
                clock.report(early.clock, early.at)
        if media.layer not in (AUDIO, self._video_layer):
            self._go_over_to(media.layer)
        order = self._order.setdefault(media.layer, Reorderer())
        for ordered, gap in order.push(media.sequence, media, media.at):
            self._write(self._blocks(ordered, gap=gap))

    def report(self, report: Report) -> None:
        """Take a sender report. That of a layer which has sent nothing here yet is for its first packet."""
        clock = self._clocks.get(report.layer)
        if clock is None:
            self._early_reports[report.layer] = report
        else:
            clock.report(report.clock, report.at)

    def idle(self) -> None:
        """Nothing comes at the moment: put into the file what is here."""
        self._write(self._interleaver.rest())
        if self._writer is not None:
            self._writer.flush()

    def finish(self) -> None:
        """Nothing comes any more."""
        self.idle()
        if self._writer is not None:
            self._writer.finish()

    def _go_over_to(self, layer: str) -> None:
        """Another layer feeds the picture from here on; when it was the one before, it begins anew all the same."""
        if self._frames is not None:
            self._dropped_before += self._frames.dropped
        if self._video_layer is not None:
            self._order.pop(self._video_layer, None)
        self._video_layer = layer
        encoding = self._plan.video
        if encoding is not None:
            self._frames = FrameAssembler(DEPACKETIZERS[encoding], lambda: self._need_keyframe(layer))

    def _blocks(self, media: Media, *, gap: bool) -> Iterator[Block]:
        clock = self._clocks[media.layer]
        if media.layer == AUDIO:
            if media.payload:
                track = 0 if self._plan.video is None else 1
                yield from self._interleaver.push(Block(track, clock.time_of(media.timestamp), media.payload, True))
        elif self._frames is not None:
            found = self._frames.take(media, gap=gap)
            if found is not None:
                frame, timestamp = found
                at = clock.time_of(timestamp)
                yield from self._interleaver.push(Block(0, at, frame.data, frame.keyframe, frame.format))

    def _write(self, blocks: Iterator[Block]) -> None:
        for block in blocks:
            if self._writer is None and not self._open(block):
                continue
            at_ms = round((block.at - self._zero) * 1_000)
            last = self._last_ms.get(block.track, -1)
            if at_ms < 0 and last < 0:
                continue  # sound from before the first picture
            # Milliseconds are coarse, and a clock that is put right may stand still for a moment.
            at_ms = max(at_ms, last + 1)
            self._last_ms[block.track] = at_ms
            if self._writer is not None:
                self._writer.write(block.track, at_ms, block.data, keyframe=block.keyframe)
                self.frames_written += 1

    def _open(self, block: Block) -> bool:
        """Begin the file with this block, if it may be the first: a keyframe, where there is video."""
        tracks: list[TrackEntry] = []
        if self._plan.video is not None:
            if block.format is None:
                return False
            known = block.format
            tracks.append(TrackEntry(self._plan.video, known.width, known.height, private=known.private))
        if self._plan.audio is not None:
            tracks.append(TrackEntry(self._plan.audio, channels=OPUS_CHANNELS, private=opus_head(OPUS_CHANNELS)))
        self._zero = block.at
        self._writer = MatroskaWriter(self._file, tracks)
        return True
