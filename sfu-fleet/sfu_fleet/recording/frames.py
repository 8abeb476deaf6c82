"""Puts the ordered packets of a video layer together to frames; after a loss it is silent until the next keyframe."""

from collections.abc import Callable
from typing import Protocol

from sfu_fleet.recording.depacketize import Depacketizer, Frame

# Larger than any frame that a publisher may sensibly send; a stream without frame ends must not fill the memory.
MAX_PACKETS = 4_096


class VideoPacket(Protocol):
    """What is asked of a packet."""

    @property
    def ssrc(self) -> int:
        """Its source."""

    @property
    def timestamp(self) -> int:
        """Its place in time, on the layer's timeline."""

    @property
    def marker(self) -> bool:
        """Whether a frame ends here."""

    @property
    def payload(self) -> bytes:
        """What it carries."""


class FrameAssembler:
    """The frames of one layer. `need_keyframe` is called when nothing can be used until one comes."""

    def __init__(self, depacketizer: Depacketizer, need_keyframe: Callable[[], None]) -> None:
        self._depacketize = depacketizer
        self._need_keyframe = need_keyframe
        self._payloads: list[bytes] = []
        self._timestamp = 0
        self._ssrc: int | None = None
        self._waiting = True
        self._broken = False
        self.dropped = 0

    def take(self, packet: VideoPacket, *, gap: bool) -> tuple[Frame, int] | None:
        """Take the next packet, `gap` if some before it are missing. The frame that it completes, and its timestamp."""
        new_source = self._ssrc is not None and packet.ssrc != self._ssrc
        new_frame = new_source or packet.timestamp != self._timestamp
        # A frame whose end was not marked may be whole or not: nobody knows.
        if gap or new_source or (new_frame and self._payloads):
            self._lose()
        if new_frame:
            self._broken = False
        elif gap:
            # What follows of this frame is of no use. The beginning of another one is told by its payload.
            self._broken = True
        self._ssrc, self._timestamp = packet.ssrc, packet.timestamp
        if packet.payload:
            self._payloads.append(packet.payload)
        if len(self._payloads) > MAX_PACKETS:
            self._lose()
            self._broken = True
        if not packet.marker:
            return None
        payloads, self._payloads = self._payloads, []
        broken, self._broken = self._broken, False
        return self._finish(payloads, packet.timestamp) if payloads and not broken else None

    def _finish(self, payloads: list[bytes], timestamp: int) -> tuple[Frame, int] | None:
        try:
            frame = self._depacketize(payloads)
        except ValueError:
            self._lose()
            return None
        if self._waiting and not frame.keyframe:
            self.dropped += 1
            return None
        self._waiting = False
        return frame, timestamp

    def _lose(self) -> None:
        self.dropped += 1
        self._payloads.clear()
        self._waiting = True
        self._need_keyframe()
