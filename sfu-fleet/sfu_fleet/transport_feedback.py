"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): written and read.

The sender numbers all packets of a transport in a header extension; the receiver says when each of them came, and the
sender's estimate of the way follows from that. Times here are seconds of one steady clock.
"""

from collections.abc import Mapping
from struct import Struct, error

import msgspec

from sfu_fleet.rtcp import TRANSPORT_FEEDBACK
from sfu_fleet.rtp import sequence_delta

FORMAT = 15
# A tick of the deltas, and of the reference time.
_TICKS_PER_SECOND = 4_000
TICKS_PER_REFERENCE = 256
# More numbers than this in one packet are refused: no sender remembers so many (see `congestion.sent`).
MAX_TOLD = 2_048
# Numbers in one packet: it stays below 1,200 bytes even when each delta takes two bytes.
_MAX_NUMBERS = 400
# What the wire can say of one delta.
_MAX_DELTA = 0x7FFF
_SYMBOLS_PER_VECTOR = 7
_MAX_RUN = 0x1FFF
_LOST, _SMALL, _LARGE = 0, 1, 2

_HEADER = Struct("!IIHH")
_U16 = Struct("!H")
_S16 = Struct("!h")


class Feedback(msgspec.Struct, frozen=True):
    """What one feedback packet says: for each number from `base` on, when it came, or None.

    `ticks` are of 250 us on the receiver's clock, counted from `reference`, which is in units of 64 ms and wraps.
    """

    base: int
    count: int
    reference: int
    ticks: tuple[int | None, ...]


class Arrivals:
    """Collects the arrivals of one transport until they are told."""

    def __init__(self) -> None:
        self._highest = -1
        self._count = 0
        # The number after the last one that has been told.
        self._next = -1
        # Extended number -> tick, of what has not been told yet.
        self._untold: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._untold)

    def arrived(self, sequence: int, now: float) -> None:
        """Note a packet."""
        # One cycle up, so that a packet from before the first does not go below zero.
        extended = 0x10000 + sequence if self._highest < 0 else self._highest
        extended += sequence_delta(sequence, extended & 0xFFFF)
        self._highest = max(self._highest, extended)
        self._untold.setdefault(extended, round(now * _TICKS_PER_SECOND))

    def take(self, sender: int, media: int) -> list[bytes]:
        """Feedback packets about everything that has not been told yet."""
        packets = []
        while self._untold:
            packets.append(self._pack(sender, media))
        return packets

    def _pack(self, sender: int, media: int) -> bytes:
        first = base = min(self._untold)
        if 0 <= self._next < first:
            # What is missing since the last packet is told as well, else nobody learns of losses in between.
            base = max(self._next, first - _MAX_NUMBERS + 1)
        reference = self._untold[first] // TICKS_PER_REFERENCE
        last = reference * TICKS_PER_REFERENCE
        symbols: list[int] = []
        deltas = b""
        for extended in sorted(self._untold):
            if extended - base >= _MAX_NUMBERS:
                break
            delta = self._untold[extended] - last
            if abs(delta) > _MAX_DELTA:
                break
            last = self._untold.pop(extended)
            symbols += [_LOST] * (extended - base - len(symbols))
            self._next = max(self._next, extended + 1)
            small = 0 <= delta <= 0xFF
            symbols.append(_SMALL if small else _LARGE)
            deltas += bytes((delta,)) if small else _S16.pack(delta)
        body = _HEADER.pack(sender, media, base & 0xFFFF, len(symbols))
        body += ((reference & 0xFFFFFF) << 8 | self._count).to_bytes(4, "big")
        body += _chunks(symbols) + deltas
        self._count = (self._count + 1) & 0xFF
        padding = -len(body) % 4
        if padding:
            body += bytes(padding - 1) + bytes((padding,))
        first = 0x80 | (0x20 if padding else 0) | FORMAT
        return bytes((first, TRANSPORT_FEEDBACK)) + _U16.pack(len(body) // 4) + body


def _chunks(symbols: list[int]) -> bytes:
    """Packet status chunks (section 3.1.2): a run where one is worth it, else a vector of two-bit symbols."""
    packed = b""
    position = 0
    while position < len(symbols):
        symbol = symbols[position]
        end = position + 1
        while end < len(symbols) and symbols[end] == symbol and end - position < _MAX_RUN:
            end += 1
        if end - position >= _SYMBOLS_PER_VECTOR:
            packed += _U16.pack(symbol << 13 | end - position)
            position = end
            continue
        chunk = 0b11 << 14
        for index, value in enumerate(symbols[position : position + _SYMBOLS_PER_VECTOR]):
            chunk |= value << 12 - 2 * index
        packed += _U16.pack(chunk)
        position += _SYMBOLS_PER_VECTOR
    return packed


def parse(packet: bytes) -> Feedback:
    """The content of one whole RTCP packet.

    Raises:
        ValueError: it is another kind of packet, or breaks the format.
    """
    size = len(packet)
    if size < 20 or packet[0] & 0xDF != 0x80 | FORMAT or packet[1] != TRANSPORT_FEEDBACK:
        raise ValueError("not a packet of transport-wide feedback")
    if size != 4 + 4 * _U16.unpack_from(packet, 2)[0]:
        raise ValueError("the packet is not as long as it says")
    if not packet[0] & 0x20:
        return read(packet[4:])
    padding = packet[-1]
    if not 0 < padding <= size - 20:
        raise ValueError("the padding is longer than what it pads")
    return read(packet[4 : size - padding])


def read(body: bytes) -> Feedback:
    """The content of a feedback packet, without RTCP header and padding.

    Raises:
        ValueError: it breaks the format, or speaks of more packets than anybody remembers.
    """
    try:
        _, _, base, number = _HEADER.unpack_from(body)
        if not 0 < number <= MAX_TOLD:
            raise ValueError("no packets, or more than are remembered")
        symbols, position = _symbols(body, 16, number)
        found: list[int | None] = []
        ticks = 0
        for symbol in symbols:
            if symbol == _LOST:
                found.append(None)
                continue
            if symbol == _SMALL:
                ticks += body[position]
                position += 1
            elif symbol == _LARGE:
                ticks += _S16.unpack_from(body, position)[0]
                position += 2
            else:
                raise ValueError("a reserved symbol")
            found.append(ticks)
        reference = int.from_bytes(body[12:15], "big", signed=True)
    except (error, IndexError):
        raise ValueError("transport-wide feedback is truncated") from None
    # Some senders fill the last word with zeros and do not call it padding.
    if len(body) - position >= 4:
        raise ValueError("something follows the feedback")
    return Feedback(base, body[15], reference, tuple(found))


def _symbols(body: bytes, position: int, number: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    while len(symbols) < number:
        chunk = _U16.unpack_from(body, position)[0]
        position += 2
        if not chunk & 0x8000:
            if not chunk & _MAX_RUN:
                raise ValueError("a run of no packets")
            symbols += [chunk >> 13 & 0b11] * min(chunk & _MAX_RUN, number - len(symbols))
        elif chunk & 0x4000:
            symbols += [chunk >> 12 - 2 * index & 0b11 for index in range(7)]
        else:
            symbols += [chunk >> 13 - index & 1 for index in range(14)]
    return symbols[:number], position


def by_number(feedback: Feedback) -> Mapping[int, float | None]:
    """Arrival in seconds on the receiver's clock, by 16-bit number."""
    start = feedback.reference * TICKS_PER_REFERENCE
    return {
        (feedback.base + index) & 0xFFFF: None if ticks is None else (start + ticks) / _TICKS_PER_SECOND
        for index, ticks in enumerate(feedback.ticks)
    }
