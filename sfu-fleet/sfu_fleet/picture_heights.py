"""How tall a layer's pictures are, read from the first packet of a keyframe where that costs next to nothing."""

from collections.abc import Callable

from sfu_fleet.recording import depacketize
from sfu_fleet.recording.bits import h264_size
from sfu_fleet.rtp import RtpPacket

_NAL_SPS, _NAL_STAP_A = 7, 24


def _vp8(payload: bytes) -> int:
    found = depacketize.vp8([payload]).format
    return found.height if found else 0


def _vp9(payload: bytes) -> int:
    found = depacketize.vp9([payload]).format
    return found.height if found else 0


def _h264(payload: bytes) -> int:
    """Of a sequence parameter set, alone or first in an aggregate (RFC 6184, sections 5.6 and 5.7.1)."""
    kind = payload[0] & 0x1F
    unit = payload[3 : 3 + int.from_bytes(payload[1:3], "big")] if kind == _NAL_STAP_A else payload
    return h264_size(unit)[1] if unit and unit[0] & 0x1F == _NAL_SPS else 0


_READERS: dict[str, Callable[[bytes], int]] = {"vp8": _vp8, "vp9": _vp9, "h264": _h264}


def height(encoding: str, packet: RtpPacket) -> int:
    """Pixels; 0 where the packet does not tell."""
    reader = _READERS.get(encoding)
    payload = packet.data[packet.payload_start : packet.payload_end]
    if reader is None or not payload:
        return 0
    try:
        return reader(payload)
    except ValueError:
        return 0
