"""Where a keyframe starts, told from the payload headers of VP8, VP9, H.264 and AV1 without decoding anything."""

from collections.abc import Callable

from sfu_fleet.rtp import RtpPacket

Detector = Callable[[RtpPacket], bool]

_NAL_IDR, _NAL_SPS, _NAL_STAP_A, _NAL_FU_A = 5, 7, 24, 28


def _vp8(packet: RtpPacket) -> bool:
    """RFC 7741, sections 4.2 and 4.3: start of partition 0, and the inverse keyframe bit clear."""
    data, position, end = packet.data, packet.payload_start, packet.payload_end
    if position >= end or data[position] & 0x1F != 0x10:
        return False
    extended = data[position] & 0x80
    position += 1
    if extended:
        if position >= end:
            return False
        flags = data[position]
        position += 1
        if flags & 0x80:
            if position >= end:
                return False
            position += 2 if data[position] & 0x80 else 1
        if flags & 0x40:
            position += 1
        if flags & 0x30:
            position += 1
    return position < end and not data[position] & 0x01


def _vp9(packet: RtpPacket) -> bool:
    """RFC 9628, section 4.2: beginning of a frame that is not inter-picture predicted, in the lowest spatial layer."""
    data, position, end = packet.data, packet.payload_start, packet.payload_end
    if position >= end:
        return False
    flags = data[position]
    if flags & 0x40 or not flags & 0x08:
        return False
    position += 1
    if flags & 0x80:
        if position >= end:
            return False
        position += 2 if data[position] & 0x80 else 1
    if flags & 0x20:
        return position < end and not data[position] & 0x0E
    return True


def _h264(packet: RtpPacket) -> bool:
    """RFC 6184, section 5: a sequence parameter set or the start of an IDR slice, alone, aggregated or fragmented."""
    data, position, end = packet.data, packet.payload_start, packet.payload_end
    if position >= end:
        return False
    kind = data[position] & 0x1F
    if kind in {_NAL_IDR, _NAL_SPS}:
        return True
    if kind == _NAL_FU_A:
        return position + 1 < end and bool(data[position + 1] & 0x80) and data[position + 1] & 0x1F == _NAL_IDR
    if kind == _NAL_STAP_A:
        position += 1
        while position + 2 < end:
            if data[position + 2] & 0x1F in {_NAL_IDR, _NAL_SPS}:
                return True
            position += 2 + (data[position] << 8 | data[position + 1])
    return False


def _av1(packet: RtpPacket) -> bool:
    """AV1 RTP payload, section 4.4: the N bit marks the first packet of a coded video sequence."""
    return packet.payload_start < packet.payload_end and bool(packet.data[packet.payload_start] & 0x08)


_DETECTORS: dict[str, Detector] = {"vp8": _vp8, "vp9": _vp9, "h264": _h264, "av1": _av1}


def detector(encoding: str) -> Detector:
    """The function that tells whether a packet of this encoding starts a keyframe."""
    return _DETECTORS[encoding]
