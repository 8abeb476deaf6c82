"""Sizes of pictures, read from the headers of VP8, VP9 and H.264 keyframes: a container has to say them."""


class BitReader:
    """Reads unsigned numbers from bytes, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, count: int) -> int:
        """The next `count` bits.

        Raises:
            ValueError: there are not so many.
        """
        end = self._position + count
        if end > len(self._data) * 8:
            raise ValueError("the header is truncated")
        value = 0
        for position in range(self._position, end):
            value = value << 1 | self._data[position >> 3] >> (7 - position % 8) & 1
        self._position = end
        return value

    def unsigned(self) -> int:
        """ue(v), an Exp-Golomb number (ITU-T H.264, section 9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("a number in the header is too long")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """se(v), the same with a sign (section 9.1.1)."""
        value = self.unsigned()
        return (value + 1) // 2 if value % 2 else -(value // 2)


def vp8_size(frame: bytes) -> tuple[int, int]:
    """Width and height of a VP8 keyframe (RFC 6386, section 9.1).

    Raises:
        ValueError: it is not one.
    """
    if len(frame) < 10 or frame[0] & 0x01 or frame[3:6] != b"\x9d\x01\x2a":
        raise ValueError("not a VP8 keyframe")
    return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF


def vp9_size(frame: bytes) -> tuple[int, int]:
    """Width and height of a VP9 keyframe (bitstream specification, section 6.2).

    Raises:
        ValueError: it is not one.
    """
    bits = BitReader(frame)
    if bits.read(2) != 2:
        raise ValueError("not a VP9 frame")
    profile = bits.read(1) | bits.read(1) << 1
    if profile == 3:
        bits.read(1)
    if bits.read(1) or bits.read(1):
        raise ValueError("not a VP9 keyframe")
    bits.read(2)  # show_frame, error_resilient_mode
    if bits.read(24) != 0x498342:
        raise ValueError("not a VP9 keyframe")
    if profile >= 2:
        bits.read(1)  # bit depth
    subsampled = profile in {1, 3}
    if bits.read(3) != 7:
        bits.read(4 if subsampled else 1)  # range, and which subsampling
    elif subsampled:
        bits.read(1)
    return bits.read(16) + 1, bits.read(16) + 1


# Profiles whose parameter sets say how colour is sampled (ITU-T H.264, section 7.3.2.1.1).
_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def h264_size(parameter_set: bytes) -> tuple[int, int]:
    """Width and height that a sequence parameter set of H.264 tells (ITU-T H.264, section 7.3.2.1.1).

    Raises:
        ValueError: it is malformed.
    """
    bits = BitReader(parameter_set[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile = bits.read(8)
    bits.read(16)
    bits.unsigned()  # seq_parameter_set_id
    chroma = _chroma_format(bits) if profile in _WITH_CHROMA else 1
    bits.unsigned()  # log2_max_frame_num
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.read(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    bits.read(1)
    width, height = bits.unsigned() + 1, bits.unsigned() + 1
    frames_only = bits.read(1)
    if not frames_only:
        bits.read(1)
    bits.read(1)
    left, right, top, bottom = (bits.unsigned() for _ in range(4)) if bits.read(1) else (0, 0, 0, 0)
    unit_x = 2 if chroma in {1, 2} else 1
    unit_y = (2 if chroma == 1 else 1) * (2 - frames_only)
    found = width * 16 - (left + right) * unit_x, height * 16 * (2 - frames_only) - (top + bottom) * unit_y
    if not (0 < found[0] <= 16_384 and 0 < found[1] <= 16_384):
        raise ValueError("the size of the picture makes no sense")
    return found


def _chroma_format(bits: BitReader) -> int:
    chroma = bits.unsigned()
    if chroma == 3:
        bits.read(1)
    bits.unsigned()
    bits.unsigned()
    bits.read(1)
    if bits.read(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
