"""RTCP: the packets that a worker reads and writes (RFC 3550, RFC 4585, RFC 5104, draft-alvestrand-rmcat-remb-03).

A compound is read packet by packet: one that is unknown, or whose body is wrong, is skipped and the rest still counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct

import msgspec

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, BYE, APPLICATION = 200, 201, 202, 203, 204
TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 205, 206
_NACK, _TRANSPORT_WIDE = 1, 15
_PLI, _FIR, _APPLICATION = 1, 4, 15

_U32 = Struct("!I")
_TWO_U32 = Struct("!II")
_NACK_ITEM = Struct("!HH")
_SENDER_INFO = Struct("!QIII")
_REPORT = Struct("!IIIIII")


class ReceptionReport(msgspec.Struct, frozen=True):
    """A report block (RFC 3550, section 6.4.1). `lost` is cumulative, `jitter` in timestamp units."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest_sequence: int
    jitter: int
    last_report: int
    delay: int


class SenderReport(msgspec.Struct, frozen=True):
    """SR (RFC 3550, section 6.4.1): `ntp` is 32.32 fixed point seconds since 1900."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    reports: tuple[ReceptionReport, ...] = ()


class ReceiverReport(msgspec.Struct, frozen=True):
    """RR (RFC 3550, section 6.4.2)."""

    ssrc: int
    reports: tuple[ReceptionReport, ...]


class Nack(msgspec.Struct, frozen=True):
    """Generic NACK (RFC 4585, section 6.2.1): sequence numbers that the receiver misses."""

    media_ssrc: int
    sequences: tuple[int, ...]


class KeyframeRequest(msgspec.Struct, frozen=True):
    """PLI (RFC 4585, section 6.3.1) or FIR (RFC 5104, section 4.3.1)."""

    media_ssrc: int


class Bye(msgspec.Struct, frozen=True):
    """BYE (RFC 3550, section 6.6)."""

    ssrcs: tuple[int, ...]


class BitrateEstimate(msgspec.Struct, frozen=True):
    """REMB (draft-alvestrand-rmcat-remb-03): what a receiver believes that its way here carries, in bit/s."""

    bitrate: int
    ssrcs: tuple[int, ...]


class TransportFeedback(msgspec.Struct, frozen=True):
    """Transport-wide feedback, as it came: `transport_feedback` reads it, or the estimator in C."""

    packet: bytes


class Application(msgspec.Struct, frozen=True):
    """APP (RFC 3550, section 6.7): what workers tell each other beside media. `name` has four characters."""

    ssrc: int
    name: str
    data: bytes


Packet = (
    Application | SenderReport | ReceiverReport | Nack | KeyframeRequest | BitrateEstimate | TransportFeedback | Bye
)


def is_transport_feedback(data: bytes) -> bool:
    """Whether a compound is one packet of transport-wide feedback, which is most of what a viewer sends."""
    if len(data) < 4 or data[0] & 0xDF != 0x80 | _TRANSPORT_WIDE or data[1] != TRANSPORT_FEEDBACK:
        return False
    return len(data) == 4 + 4 * (data[2] << 8 | data[3])


def parse(data: bytes) -> tuple[list[Packet], int]:
    """The packets of a compound that we know, and how many were skipped as unknown or malformed."""
    found: list[Packet] = []
    skipped = 0
    for kind, count, body, whole in _split(data):
        if body is None:
            skipped += 1
            continue
        if kind == TRANSPORT_FEEDBACK and count == _TRANSPORT_WIDE:
            found.append(TransportFeedback(whole))
            continue
        packets = _application(body) if kind == APPLICATION else list(_read(kind, count, body))
        found += packets
        skipped += not packets and kind != SOURCE_DESCRIPTION
    return found, skipped


def _split(data: bytes) -> Iterator[tuple[int, int, bytes | None, bytes]]:
    """(packet type, count or format, body without header and padding, all of it); body None where it is broken."""
    position, size = 0, len(data)
    while position < size:
        if position + 4 > size or data[position] >> 6 != 2:
            yield 0, 0, None, b""
            return
        first, kind = data[position], data[position + 1]
        end = position + 4 + 4 * (data[position + 2] << 8 | data[position + 3])
        if end > size:
            yield kind, 0, None, b""
            return
        body: bytes | None = data[position + 4 : end]
        if first & 0x20 and body is not None:
            padding = body[-1] if body else 0
            body = body[:-padding] if 0 < padding <= len(body) else None
        yield kind, first & 0x1F, body, data[position:end]
        position = end


def _read(kind: int, count: int, body: bytes) -> Iterator[Packet]:
    size = len(body)
    if kind == SENDER_REPORT and size >= 24 + 24 * count:
        ntp, timestamp, packets, octets = _SENDER_INFO.unpack_from(body, 4)
        ssrc = _U32.unpack_from(body)[0]
        yield SenderReport(ssrc, ntp, timestamp, packets, octets, _reports(body, 24, count))
    elif kind == RECEIVER_REPORT and size >= 4 + 24 * count:
        yield ReceiverReport(_U32.unpack_from(body)[0], _reports(body, 4, count))
    elif kind == TRANSPORT_FEEDBACK and count == _NACK and size >= 12:
        yield Nack(_U32.unpack_from(body, 4)[0], _lost(body[8 : size - size % 4]))
    elif kind == PAYLOAD_FEEDBACK and count == _PLI and size >= 8:
        yield KeyframeRequest(_U32.unpack_from(body, 4)[0])
    elif kind == PAYLOAD_FEEDBACK and count == _FIR and size >= 16:
        for offset in range(8, size - 7, 8):
            yield KeyframeRequest(_U32.unpack_from(body, offset)[0])
    elif kind == PAYLOAD_FEEDBACK and count == _APPLICATION and size >= 16 and body[8:12] == b"REMB":
        value = _U32.unpack_from(body, 12)[0]
        ssrcs = tuple(_U32.unpack_from(body, at)[0] for at in range(16, min(size - 3, 16 + 4 * body[12]), 4))
        yield BitrateEstimate((value & 0x3FFFF) << (value >> 18 & 0x3F), ssrcs)
    elif kind == BYE and size >= 4 * count:
        yield Bye(tuple(_U32.unpack_from(body, 4 * index)[0] for index in range(count)))


def _application(body: bytes) -> list[Packet]:
    length = int.from_bytes(body[8:10], "big")
    if not 10 <= 10 + length <= len(body) or not body[4:8].isascii():
        return []
    return [Application(_U32.unpack_from(body)[0], body[4:8].decode("ascii"), body[10 : 10 + length])]


def _reports(body: bytes, offset: int, count: int) -> tuple[ReceptionReport, ...]:
    found = []
    for index in range(count):
        ssrc, loss, highest, jitter, last, delay = _REPORT.unpack_from(body, offset + 24 * index)
        lost = loss & 0xFFFFFF
        found.append(ReceptionReport(ssrc, loss >> 24, lost - (lost >> 23 << 24), highest, jitter, last, delay))
    return tuple(found)


def _lost(items: bytes) -> tuple[int, ...]:
    found = []
    for first, following in _NACK_ITEM.iter_unpack(items):
        found.append(first)
        found += [(first + 1 + bit) & 0xFFFF for bit in range(16) if following >> bit & 1]
    return tuple(found)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return bytes((0x80 | count, kind)) + (len(body) // 4).to_bytes(2, "big") + body


def pack_sender_report(report: SenderReport) -> bytes:
    """SR without report blocks: what we send, we do not also receive."""
    info = _SENDER_INFO.pack(report.ntp, report.timestamp, report.packets & 0xFFFFFFFF, report.octets & 0xFFFFFFFF)
    return _packet(SENDER_REPORT, 0, _U32.pack(report.ssrc) + info)


def pack_receiver_report(ssrc: int, reports: Sequence[ReceptionReport]) -> bytes:
    """RR with up to 31 blocks. Cumulative loss is clamped to 24 bits signed."""
    body = _U32.pack(ssrc)
    for report in reports:
        lost = max(-0x800000, min(0x7FFFFF, report.lost)) & 0xFFFFFF
        body += _REPORT.pack(
            report.ssrc,
            report.fraction_lost << 24 | lost,
            report.highest_sequence & 0xFFFFFFFF,
            report.jitter & 0xFFFFFFFF,
            report.last_report,
            report.delay & 0xFFFFFFFF,
        )
    return _packet(RECEIVER_REPORT, len(reports), body)


def pack_source_description(ssrc: int, cname: str) -> bytes:
    """SDES with the CNAME alone (RFC 3550, section 6.5); every compound but a reduced-size one needs it."""
    name = cname.encode()
    chunk = _U32.pack(ssrc) + bytes((1, len(name))) + name
    return _packet(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))


def pack_bye(ssrcs: Sequence[int]) -> bytes:
    """BYE for up to 31 sources."""
    return _packet(BYE, len(ssrcs), b"".join(map(_U32.pack, ssrcs)))


def pack_application(ssrc: int, name: str, data: bytes) -> bytes:
    """APP of ours: the data with its length before it, since a packet is a multiple of four octets."""
    body = _U32.pack(ssrc) + name.encode("ascii") + len(data).to_bytes(2, "big") + data
    return _packet(APPLICATION, 0, body + bytes(-len(body) % 4))


def pack_nack(sender: int, media: int, sequences: Iterable[int]) -> bytes:
    """Generic NACK; `sequences` in ascending order (modulo 2^16) share an item where they lie within 16."""
    items: list[list[int]] = []
    for sequence in sequences:
        distance = (sequence - items[-1][0]) & 0xFFFF if items else 0
        if items and 1 <= distance <= 16:
            items[-1][1] |= 1 << distance - 1
        else:
            items.append([sequence, 0])
    body = _TWO_U32.pack(sender, media) + b"".join(_NACK_ITEM.pack(*item) for item in items)
    return _packet(TRANSPORT_FEEDBACK, _NACK, body)


def pack_pli(sender: int, media: int) -> bytes:
    """Picture loss indication."""
    return _packet(PAYLOAD_FEEDBACK, _PLI, _TWO_U32.pack(sender, media))


def pack_fir(sender: int, media: int, command: int) -> bytes:
    """Full intra request; `command` is the sequence number of the request, modulo 256."""
    return _packet(PAYLOAD_FEEDBACK, _FIR, _TWO_U32.pack(sender, 0) + _TWO_U32.pack(media, command << 24))


def pack_remb(sender: int, bitrate: int, ssrcs: Sequence[int]) -> bytes:
    """Receiver estimated maximum bitrate: an 18 bit mantissa and a 6 bit exponent."""
    exponent = max(0, bitrate.bit_length() - 18)
    value = len(ssrcs) << 24 | exponent << 18 | bitrate >> exponent
    body = _TWO_U32.pack(sender, 0) + b"REMB" + _U32.pack(value) + b"".join(map(_U32.pack, ssrcs))
    return _packet(PAYLOAD_FEEDBACK, _APPLICATION, body)
