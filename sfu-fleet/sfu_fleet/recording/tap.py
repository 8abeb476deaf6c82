"""The recorder's ear at a publisher: which packets go into the file. Runs on the event loop for every packet."""

from sfu_fleet.publisher import Publisher
from sfu_fleet.recording.pipeline import AUDIO, Media, Report
from sfu_fleet.recording.writer import RecordingWriter
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.switching import Clock
from sfu_fleet.uplink import Layer

LOOK_S = 0.5
# A layer has to be so much better to be worth a switch: bitrates of neighbours come close to each other at times.
BETTER_BY = 1.5


class RecordingTap:
    """Takes the sound and one layer of the picture: the given one, else the best that is being sent."""

    def __init__(self, publisher: Publisher, writer: RecordingWriter, layer: str | None) -> None:
        self._publisher = publisher
        self._writer = writer
        self._audio = next((track.layers[0] for track in publisher.tracks if track.kind == "audio"), None)
        video = next((track for track in publisher.tracks if track.kind == "video"), None)
        self._layers = {found.name: found for found in video.layers} if video is not None else {}
        self._fixed = self._layers[layer] if layer is not None else None
        self._current: Layer | None = None
        self._wanted: Layer | None = None
        self._looked_at = float("-inf")
        self._reported: set[str] = set()
        publisher.taps.append(self)

    def packet(
        self, layer: Layer, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool, now: float
    ) -> None:
        """A packet of the publisher, which has been forwarded already."""
        if now - self._looked_at >= LOOK_S:
            self._look(now)
        if layer is self._audio:
            name = AUDIO
        elif layer is self._current:
            name = layer.name
        elif layer is self._wanted and keyframe:
            self._current = layer
            name = layer.name
        else:
            return
        if name not in self._reported:
            # Until now the layer's reports went unheard.
            self._reported.add(name)
            self._report(layer)
        if not self._writer.offer(Media(name, packet, sequence, timestamp, now, layer.codec.clock_rate)):
            self._publisher.context.metrics.drop("recording_behind")

    def report(self, layer: Layer) -> None:
        """A sender report came."""
        if layer is self._audio or layer is self._current:
            self._report(layer)

    def ended(self) -> None:
        """The stream is over: nobody is left to be asked for a keyframe."""
        self._current = None
        self._writer.stop("stream_ended")

    def need_keyframe(self, name: str) -> None:
        """The writer can use nothing of a layer until it sends a keyframe."""
        layer = self._layers.get(name)
        if layer is not None and layer is self._current:
            layer.request_keyframe()

    def leave(self) -> None:
        """Hear no more."""
        if self in self._publisher.taps:
            self._publisher.taps.remove(self)

    def _look(self, now: float) -> None:
        self._looked_at = now
        best = self._fixed or self._best(now)
        if best is not None and best is not self._wanted:
            self._wanted = best
            if best is not self._current:
                best.request_keyframe()

    def _best(self, now: float) -> Layer | None:
        sent = [layer for layer in self._layers.values() if layer.active(now)]
        if not sent:
            return None
        best = max(sent, key=lambda layer: layer.rate.rate(now))
        present = self._wanted
        if present in sent and best.rate.rate(now) < BETTER_BY * present.rate.rate(now):
            return present
        return best

    def _report(self, layer: Layer) -> None:
        if layer.sender_report is None:
            return
        report, at = layer.sender_report
        name = AUDIO if layer is self._audio else layer.name
        self._writer.offer(Report(name, Clock.of(report, layer.timeline.timestamp_shift), at))
