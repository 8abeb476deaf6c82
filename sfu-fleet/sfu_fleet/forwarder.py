"""The hot path: one packet of a publisher, rewritten and encrypted for every viewer.

`PacketPlane` is all that the rest of the worker knows of it. `PythonPlane` is the reference implementation; that of
`sfu_fleet.native` takes its place where it builds.

The contract
============

A `Track` is one source of a publisher: one layer, where there is a simulcast. Its packets have extended sequence
numbers and timestamps of the track's own timeline, and no number is ever given to two packets. A `DownTrack` is one
stream that a viewer sees: one SSRC for its whole life, whichever tracks it is fed from. A down track is attached to at
most one track at a time. While it is, a packet goes out as

    sequence + sequence_offset, timestamp + timestamp_offset, the down track's SSRC and format,
    and the picture numbers at the start of its payload moved by `shift` (`picture_ids`)

and all four stay what they are from attach to detach. So everything that differs between viewers of one format lies in
ten bytes of the header and in at most three bytes of the payload, at places that are the same for all of them.

A format may have room for a transport-wide number (draft-holmer-rmcat-transport-wide-cc-extensions-01). Each packet of
a transport then has one of its own, whichever stream it is of, at the same place for all viewers of the format, and
`departures` keeps when it left. A packet that is sent again as it was keeps its number with all the rest.

To go from one layer to another is to detach from one track, which returns the `Position` reached, and to attach to the
other with a `Splice` that follows from it. Both happen between two packets, before the keyframe of the new track with
which the splice begins is forwarded: a plane with threads of its own must keep that order. A splice must lie behind
the position, else a number goes out twice, which under SRTP with AES-GCM would give the key away.

A splice may also lie in the past, where the track still remembers it: the viewer then gets what is remembered from
there on, in order, and what is forwarded meanwhile behind it. With a `Haste` this takes a while, and the timestamps of
that time are drawn together: they are a function of the packet and of the splice, so that what is sent again is the
same. Nothing that has not gone out yet is sent again.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from sfu_fleet import picture_ids, rtp
from sfu_fleet.congestion.estimator import Congestion, Controller
from sfu_fleet.congestion.sent import Departures
from sfu_fleet.datagrams import datagrams
from sfu_fleet.dtls import MAX_PACKET, SrtpError
from sfu_fleet.haste import Haste
from sfu_fleet.ice import MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.packet_format import PacketFormat
from sfu_fleet.picture_ids import NO_SHIFT, Marks, Shift
from sfu_fleet.rtp import RtpPacket
from sfu_fleet.rtx import RetransmissionStream
from sfu_fleet.transport import PeerTransport

# A power of two: what a track remembers, if it came since its latest keyframe.
HISTORY_SIZE = 4_096
# Not larger than the replay window of SRTP: older packets could not be sent again.
RESENDABLE = 1_024
# How often those who catch up are looked after.
PACE_S = 0.005
# A viewer that reports more loss than this per second is not helped by sending more.
RESENDS_PER_SECOND = 400
# A probe sends the latest packets again, these more than once if it must, and no more than so many in a burst.
PROBE_HISTORY = 16
PROBE_PACKETS = 32
# Packets of a track that may wait for the others of one turn of the loop.
WAITING = 64


class Position(msgspec.Struct, frozen=True):
    """How far a viewer came with a track: its last outgoing number (extended), timestamp and picture."""

    sequence: int
    timestamp: int
    marks: Marks
    shift: Shift


class Splice(msgspec.Struct, frozen=True):
    """Where a viewer joins a track, and the offsets under which it goes on from where it was."""

    first: int
    sequence_offset: int
    timestamp_offset: int
    shift: Shift
    haste: Haste | None = None


class Counters:
    """What a plane counts for a down track: packets, octets of payload (RFC 3550, section 6.4.1), what was resent."""

    __slots__ = ("octets", "packets", "resent")

    def __init__(self) -> None:
        self.packets = 0
        self.octets = 0
        self.resent = 0


class DownTrack:
    """One track of one viewer: `first` is the track's number that it began with, -1 before it began.

    `next` is what comes next out of the past, for a viewer who catches up; -1 for all others.
    """

    __slots__ = (
        "counters",
        "departures",
        "first",
        "format",
        "haste",
        "next",
        "numbers",
        "probe_debt",
        "resend_budget",
        "resend_window",
        "rtx",
        "sequence_offset",
        "shift",
        "ssrc",
        "timestamp_offset",
        "transport",
    )

    def __init__(self, transport: PeerTransport, ssrc: int, packet_format: PacketFormat) -> None:
        self.transport = transport
        self.ssrc = ssrc
        self.format = packet_format
        self.first = -1
        self.next = -1
        self.haste: Haste | None = None
        self.sequence_offset = 0
        self.timestamp_offset = secrets.randbits(32)
        self.shift = NO_SHIFT
        self.counters = Counters()
        self.resend_window = 0.0
        self.resend_budget = 0
        # Where what is sent again goes; None: it is sent as it was, to the last bit.
        self.rtx: RetransmissionStream | None = None
        # What numbers and remembers the packets of the transport, where they have transport-wide numbers.
        self.departures: Departures | None = None
        # The track's number and the transport-wide one of what may be sent again as it was, by place among that.
        self.numbers: dict[int, tuple[int, int]] = {}
        # Bytes that a probe has asked for and not been given.
        self.probe_debt = 0

    def begin(self, sequence: int) -> None:
        """Begin with this number of the track.

        RFC 3711, section 3.3.1: below 2^15, so that losing the first packets around a wrap does not leave the viewer
        with another roll-over count.
        """
        self.first = sequence
        self.sequence_offset = secrets.randbits(15) - sequence

    def join(self, splice: Splice, highest: int) -> None:
        """Go on in another track, which has come to `highest`."""
        self.first = splice.first
        self.next = splice.first if splice.first <= highest else -1
        self.haste = splice.haste
        self.sequence_offset = splice.sequence_offset
        self.timestamp_offset = splice.timestamp_offset
        self.shift = splice.shift

    def timestamp(self, sequence: int, timestamp: int) -> int:
        """A packet's timestamp as this viewer sees it, before the offset."""
        haste = self.haste
        return timestamp if haste is None or sequence - self.first >= 2 * HISTORY_SIZE else haste.drawn(timestamp)


class Track:
    """One source of a publisher with its viewers, its latest packets, and all of them since the latest keyframe.

    `keyframe` is the number with which that one begins, -1 before there was any; `keyframes` counts them. `kept` and
    `octets` count what is remembered from there on. From `keep` on nothing is forgotten but for want of room: it is the
    keyframe before that one, since somebody may be catching up from there; -1 where there was none.
    """

    def __init__(self, *, starts_at_keyframe: bool, encoding: str = "") -> None:
        self.starts_at_keyframe = starts_at_keyframe
        self.encoding = encoding
        self.highest = -1
        self.viewers: dict[PacketFormat, list[DownTrack]] = {}
        self.history: list[tuple[int, int, RtpPacket] | None] = [None] * HISTORY_SIZE
        self.keyframe = self.keep = -1
        self.keyframes = 0
        self.kept = 0
        self.octets = 0

    def remember(self, sequence: int, timestamp: int, packet: RtpPacket, *, keyframe: bool = False) -> bool:
        """Keep a packet for those who will miss it; False for one that is too late for anybody."""
        if sequence <= self.highest - RESENDABLE:
            return False
        self.history[sequence % HISTORY_SIZE] = (sequence, timestamp, packet)
        self.highest = max(self.highest, sequence)
        if keyframe and sequence > self.keyframe:
            first = self.remembered(self.keyframe)
            # Parameter sets and picture may each look like a beginning: the keyframe begins with the first of them.
            if first is None or first[1] != timestamp:
                self.keep = self.keyframe if self.keyframe >= 0 else sequence
                self.keyframe = sequence
                self.keyframes += 1
                self.kept = self.octets = 0
        if 0 <= self.keyframe <= sequence:
            self.kept += 1
            self.octets += len(packet.data)
        old = self.highest - RESENDABLE
        if old < self.keep or self.keep < 0:
            self.history[old % HISTORY_SIZE] = None
        return True

    def remembered(self, sequence: int) -> tuple[int, int, RtpPacket] | None:
        """A packet with its number and timestamp, where it is still there."""
        entry = self.history[sequence % HISTORY_SIZE]
        return entry if entry is not None and entry[0] == sequence else None

    def position(self, down: DownTrack) -> Position | None:
        """How far a viewer came with this track; None when it has had nothing yet."""
        latest = self.history[self.highest % HISTORY_SIZE]
        if down.first < 0 or latest is None or self.highest < down.first:
            return None
        sequence, timestamp, packet = latest
        return Position(
            sequence + down.sequence_offset,
            (down.timestamp(sequence, timestamp) + down.timestamp_offset) & 0xFFFFFFFF,
            picture_ids.read(self.encoding, packet),
            down.shift,
        )


class PacketPlane(Protocol):
    """What moves packets from tracks to viewers."""

    def attach(self, track: Track, down: DownTrack, splice: Splice | None = None) -> None:
        """Let a viewer have a track: from the splice on, or where there is none, video from its next keyframe on."""

    def detach(self, track: Track, down: DownTrack) -> Position | None:
        """Stop sending a track to a viewer. Returns how far it came; None when it has had nothing yet."""

    def forward(self, track: Track, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool) -> None:
        """Send a packet to all viewers of a track under its place in the outgoing timeline."""

    def resend(self, track: Track, down: DownTrack, sequences: Iterable[int], now: float) -> int:
        """Send packets again that a viewer misses; `sequences` are the viewer's. Returns how many are being sent."""

    def probe(self, track: Track, down: DownTrack, size: int) -> None:
        """Send a burst of a probe: so many bytes of what the viewer has had lately, as retransmissions."""

    def congestion(self) -> Controller:
        """Make what estimates the way to one viewer; its `departures` are for the down tracks of the transport."""

    def close(self) -> None:
        """Send no more."""


class _Waiting(NamedTuple):
    """A packet with its place on the track's timeline; whether a viewer may begin with it."""

    packet: RtpPacket
    sequence: int
    timestamp: int
    may_start: bool


class PythonPlane:
    """The packet plane in Python, on the event loop's thread.

    What is forwarded waits until the loop has handed in all that it has read: packets to one viewer are then one train
    (`datagrams`). Whatever else is asked for comes behind what waits.
    """

    def __init__(self, media_socket: MediaSocket, metrics: Metrics) -> None:
        self._datagrams = datagrams(media_socket)
        self._metrics = metrics
        self._traffic = metrics.traffic
        # Those who catch up, with when they began.
        self._behind: dict[DownTrack, tuple[Track, float]] = {}
        self._pace: asyncio.TimerHandle | None = None
        self._waiting: dict[Track, list[_Waiting]] = {}
        self._soon: asyncio.Handle | None = None

    def attach(self, track: Track, down: DownTrack, splice: Splice | None = None) -> None:
        """Let a viewer have a track."""
        self._send_waiting()
        if splice is not None:
            down.join(splice, track.highest)
        down.numbers.clear()
        down.probe_debt = 0
        track.viewers.setdefault(down.format, []).append(down)
        if down.next >= 0:
            self._behind[down] = track, asyncio.get_running_loop().time()
            self._catch_up(down)

    def detach(self, track: Track, down: DownTrack) -> Position | None:
        """Stop sending a track to a viewer."""
        self._send_waiting()
        self._behind.pop(down, None)
        down.next = -1
        viewers = track.viewers.get(down.format, [])
        if down in viewers:
            viewers.remove(down)
        if not viewers:
            track.viewers.pop(down.format, None)
        return track.position(down)

    def forward(self, track: Track, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool) -> None:
        """Send a packet to all viewers of a track, together with what else the loop has read already."""
        if not track.remember(sequence, timestamp, packet, keyframe=keyframe):
            self._metrics.drop("late")
            return
        if not track.viewers:
            return
        waiting = self._waiting.setdefault(track, [])
        waiting.append(_Waiting(packet, sequence, timestamp, keyframe or not track.starts_at_keyframe))
        if len(waiting) == WAITING:
            self._send_waiting()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._send_waiting)

    def _send_waiting(self) -> None:
        """Send what has been forwarded: to one viewer after the other all that is theirs."""
        if self._soon is None and not self._waiting:
            return
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        waiting, self._waiting = self._waiting, {}
        for track, packets in waiting.items():
            for packet_format, viewers in track.viewers.items():
                self._send_to_all(track, packet_format, viewers, packets)
        self._flush()

    def _send_to_all(
        self, track: Track, packet_format: PacketFormat, viewers: list[DownTrack], packets: list["_Waiting"]
    ) -> None:
        written: list[tuple[_Waiting, bytes, int, int]] = []
        for waiting in packets:
            body, payload_size = packet_format.apply(waiting.packet)
            if len(body) > MAX_PACKET:
                self._metrics.drop("too_long")
            else:
                written.append((waiting, body, payload_size, packet_format.transport_at(body)))
        shifted: dict[Shift, list[bytes]] = {NO_SHIFT: [body for _, body, _, _ in written]}
        for down in viewers:
            bodies = shifted.get(down.shift)
            if bodies is None:
                bodies = shifted[down.shift] = [
                    self._shift(track, down.shift, waiting.packet, body) for waiting, body, _, _ in written
                ]
            for (waiting, _, payload_size, transport_at), body in zip(written, bodies, strict=True):
                sequence = waiting.sequence
                if down.first < 0:
                    if not waiting.may_start:
                        continue
                    down.begin(sequence)
                elif sequence < down.first or 0 <= down.next <= sequence:
                    # Before it began; or it catches up, and this one's turn will come.
                    continue
                if self._transmit(down, body, sequence, waiting.timestamp, transport_at):
                    down.counters.packets += 1
                    down.counters.octets += payload_size

    def resend(self, track: Track, down: DownTrack, sequences: Iterable[int], now: float) -> int:
        """Send packets again that a viewer misses."""
        self._send_waiting()
        if now - down.resend_window >= 1.0:
            down.resend_window, down.resend_budget = now, RESENDS_PER_SECOND
        sent = 0
        for number in sequences:
            # The latest outgoing number that this viewer saw as `number`.
            sequence = track.highest - ((track.highest + down.sequence_offset - number) & 0xFFFF)
            entry = track.remembered(sequence) if sequence > track.highest - RESENDABLE else None
            if down.first < 0 or sequence < down.first or 0 <= down.next <= sequence or entry is None:
                self._metrics.drop("nack_unknown")
                continue
            if not _can_be_repeated(down, sequence):
                self._metrics.drop("nack_unknown")
                continue
            if down.resend_budget <= 0:
                self._metrics.drop("nack_budget")
                continue
            down.resend_budget -= 1
            if self._again(track, down, entry):
                self._traffic.packets_resent += 1
                down.counters.resent += 1
                sent += 1
        self._flush()
        return sent

    def probe(self, track: Track, down: DownTrack, size: int) -> None:
        """Send a burst of a probe."""
        self._send_waiting()
        # Who catches up has not had all yet.
        latest = down.next - 1 if down.next >= 0 else track.highest
        if down.departures is None or down.rtx is None or not 0 <= down.first <= latest:
            return
        span = min(latest - down.first + 1, PROBE_HISTORY)
        down.probe_debt += size
        for index in range(PROBE_PACKETS):
            if down.probe_debt <= 0:
                break
            entry = track.remembered(latest - index % span)
            if entry is not None and (sent := self._again(track, down, entry)):
                down.probe_debt -= sent
                self._traffic.packets_probed += 1
        self._flush()
        down.probe_debt = min(0, down.probe_debt)
        down.departures.probed()

    def congestion(self) -> Controller:
        """Make what estimates the way to one viewer."""
        return Congestion()

    def close(self) -> None:
        """Send what waits, and no more."""
        self._send_waiting()
        self._behind.clear()
        if self._pace is not None:
            self._pace.cancel()
            self._pace = None

    def _flush(self) -> None:
        dropped = self._datagrams.flush()
        if dropped:
            # The send buffer is full, or there is no route. Loss is what RTCP is there to repair.
            self._traffic.send_failures += dropped
            self._traffic.packets_out -= dropped

    def _catch_up(self, down: DownTrack) -> None:
        """Send what is due out of the past; what is missing there may come yet, and is then sent at once."""
        self._send_past(down)
        self._flush()

    def _send_past(self, down: DownTrack) -> None:
        track, began = self._behind[down]
        elapsed = asyncio.get_running_loop().time() - began
        down.next = max(down.next, track.highest - HISTORY_SIZE + 1)
        while down.next <= track.highest:
            entry = track.remembered(down.next)
            if entry is not None:
                sequence, timestamp, packet = entry
                if down.haste is not None and down.haste.due(timestamp) > elapsed:
                    if self._pace is None:
                        self._pace = asyncio.get_running_loop().call_later(PACE_S, self._catch_up_all)
                    return
                body, payload_size = down.format.apply(packet)
                body = self._shift(track, down.shift, packet, body)
                transport_at = down.format.transport_at(body)
                if len(body) <= MAX_PACKET and self._transmit(down, body, sequence, timestamp, transport_at):
                    down.counters.packets += 1
                    down.counters.octets += payload_size
            down.next += 1
        down.next = -1
        del self._behind[down]

    def _catch_up_all(self) -> None:
        self._send_waiting()
        self._pace = None
        for down in list(self._behind):
            self._catch_up(down)

    @staticmethod
    def _shift(track: Track, by: Shift, packet: RtpPacket, body: bytes) -> bytes:
        payload_start = len(body) - (packet.payload_end - packet.payload_start)
        return picture_ids.apply(picture_ids.read(track.encoding, packet), by, body, payload_start)

    def _again(self, track: Track, down: DownTrack, entry: tuple[int, int, RtpPacket]) -> int:
        """Send a packet of the history again; the bytes of what was sent, 0 where nothing was."""
        sequence, timestamp, packet = entry
        body, payload_size = down.format.apply(packet)
        body = self._shift(track, down.shift, packet, body)
        transport_at = down.format.transport_at(body)
        if down.rtx is not None:
            number = sequence + down.sequence_offset
            body = down.rtx.wrap(body, payload_size, number)
        if len(body) > MAX_PACKET or not self._transmit(down, body, sequence, timestamp, transport_at, down.rtx):
            return 0
        self._traffic.packets_out -= 1
        return len(body)

    def _transmit(
        self,
        down: DownTrack,
        body: bytes,
        sequence: int,
        timestamp: int,
        transport_at: int,
        rtx: RetransmissionStream | None = None,
    ) -> bool:
        outbound, address = down.transport.outbound, down.transport.agent.remote
        if outbound is None or address is None:
            return False
        size, outgoing = len(body), self._datagrams
        view, place = outgoing.view, outgoing.place()
        view[place : place + size] = body
        rtp.IDENTITY.pack_into(
            view,
            place + 2,
            (sequence + down.sequence_offset) & 0xFFFF if rtx is None else rtx.next_number(),
            (down.timestamp(sequence, timestamp) + down.timestamp_offset) & 0xFFFFFFFF,
            down.ssrc if rtx is None else rtx.ssrc,
        )
        if transport_at and down.departures is not None:
            number = _transport_number(down, down.departures, sequence, size)
            view[place + transport_at : place + transport_at + 2] = number.to_bytes(2, "big")
        try:
            length = outgoing.add(outbound, size, address)
        except SrtpError:
            self._metrics.drop("srtp_protect")
            return False
        if not length:
            return False
        self._traffic.packets_out += 1
        self._traffic.bytes_out += length
        return True


def _can_be_repeated(down: DownTrack, sequence: int) -> bool:
    """Whether a packet can be sent again: as it was it must have the transport-wide number that it had."""
    if down.rtx is not None or down.departures is None or not down.format.transport_id:
        return True
    return down.numbers.get(sequence % RESENDABLE, (-1, 0))[0] == sequence


def _transport_number(down: DownTrack, departures: Departures, sequence: int, size: int) -> int:
    """A packet's transport-wide number: a new one, unless it has one already and goes out as it was."""
    if down.rtx is None:
        known = down.numbers.get(sequence % RESENDABLE)
        if known is not None and known[0] == sequence:
            return known[1]
    number = departures.add(time.monotonic_ns() // 1_000, size)
    if down.rtx is None:
        down.numbers[sequence % RESENDABLE] = sequence, number
    return number
