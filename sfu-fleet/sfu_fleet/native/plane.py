"""`NativePlane`: the packet plane whose packets are encrypted and sent by the thread of plane.c.

Python decides: which viewer has which track, what a packet looks like in each format, what was asked for again. The
thread does what happens for every packet of every viewer. Viewers over TCP are few and have no datagrams: the Python
plane serves them beside it.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]
from structlog import get_logger

from sfu_fleet import picture_ids
from sfu_fleet.congestion.estimator import Controller
from sfu_fleet.dtls import RtpContext
from sfu_fleet.forwarder import Counters, DownTrack, Position, PythonPlane, Splice, Track
from sfu_fleet.ice import Address, IceAgent, MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.native.addresses import sockaddr
from sfu_fleet.native.build import NotBuiltError, load
from sfu_fleet.native.congestion import NativeCongestion, NativeDepartures
from sfu_fleet.packet_format import PacketFormat
from sfu_fleet.rtp import RtpPacket

# The longest that a packet of video waits for others to go with; the end of a frame and audio end the wait.
WINDOW_NS: Final = 4_000_000
REFRESH_S: Final = 0.1

_INTERFACE: Final = """
struct counters { uint64_t packets, octets, resent; uint32_t rtx_sequence; };
struct totals { uint64_t packets_out, bytes_out, packets_resent, send_failures, protect_failures, nack_unknown,
    nack_budget, queue_overflows, system_calls, trains, waits, batches, turns, padding_bytes, pending, packets_probed,
    processed; };
struct plane *plane_open(int fd, int64_t window_ns, int use_gso, int padding);
void plane_close(struct plane *);
int plane_uses_trains(const struct plane *);
void plane_totals(struct plane *, struct totals *);
struct lane *plane_lane(void);
struct viewer *plane_attach(struct plane *, struct lane *, void *srtp, void *protect, int srtp_size, int fd,
    const char *address, int address_size, uint32_t ssrc, int64_t first, int64_t sequence_offset,
    uint32_t timestamp_offset, uint16_t picture_shift, uint16_t base_shift, uint8_t rtx_type, uint32_t rtx_ssrc,
    int64_t next, uint32_t since, uint32_t until, uint32_t speed, struct counters *, struct departures *);
int plane_begin(struct plane *, struct viewer *, int64_t first, int64_t sequence_offset);
int plane_detach(struct plane *, struct viewer *);
int plane_move(struct plane *, struct viewer *, int fd, const char *address, int address_size);
int plane_discard(struct plane *, struct lane *);
int plane_forward(struct plane *, struct lane *, const char *body, int size, int payload_size, int64_t sequence,
    uint32_t timestamp, int picture_at, int wide, int base_at, int transport_at, int64_t keep, int urgent);
int plane_store(struct plane *, struct lane *, const char *body, int size, int payload_size, int64_t sequence,
    uint32_t timestamp, int picture_at, int wide, int base_at, int transport_at);
int plane_resend(struct plane *, struct viewer *, const uint16_t *numbers, int count);
int plane_probe(struct plane *, struct viewer *, int bytes);
"""
# Totals of the thread -> counters of `Traffic`, and -> reasons of drops.
_TRAFFIC: Final = ("packets_out", "bytes_out", "packets_resent", "packets_probed", "send_failures")
_DROPS: Final = {
    "protect_failures": "srtp_protect",
    "nack_unknown": "nack_unknown",
    "nack_budget": "nack_budget",
    "queue_overflows": "plane_queue",
}

log = get_logger(__name__)
ffi: Any = FFI()
ffi.cdef(_INTERFACE)


class _Lane:
    """One rewritten stream of a track, and its viewers."""

    def __init__(self, handle: Any, since: int) -> None:  # noqa: ANN401 - a cffi pointer
        self.handle = handle
        self.viewers = 0
        # It has been given all that the track remembers from here on.
        self.since = since
        # Those that begin with the next packet that may be begun with.
        self.waiting: list[DownTrack] = []


class _Viewer:
    """One down track on the thread. The thread uses `context`, `counters` and `departures`: they live as long."""

    def __init__(
        self,
        track: Track,
        lane: _Lane,
        context: RtpContext,
        counters: Any,  # noqa: ANN401 - a cffi struct
        departures: NativeDepartures | None,
        remote: Address,
    ) -> None:
        self.track = track
        self.lane = lane
        self.context = context
        self.counters = counters
        self.departures = departures
        self.remote = remote
        self.handle: Any = None


class NativePlane:
    """See `sfu_fleet.forwarder.PacketPlane`. `close` it before its socket."""

    def __init__(
        self,
        media_socket: MediaSocket,
        metrics: Metrics,
        *,
        trains: bool = True,
        padding: bool = True,
        window_ns: int = WINDOW_NS,
    ) -> None:
        """Start the thread.

        Raises:
            NotBuiltError: there is no native plane on this machine.
        """
        self._lib = load(ffi)
        self._metrics = metrics
        self._socket = media_socket
        self._python = PythonPlane(media_socket, metrics)
        # Those that the Python plane has, and those that it may have when the thread has let go of them.
        self._streamed: dict[DownTrack, Track] = {}
        self._changing: dict[DownTrack, Track] = {}
        self._by_agent: dict[IceAgent, set[DownTrack]] = {}
        media_socket.on_moved = self._moved
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            self._handle = self._lib.plane_open(probe.fileno(), window_ns, int(trains), int(padding))
        if self._handle == ffi.NULL:
            raise NotBuiltError("the thread could not be started")
        self._lanes: dict[Track, dict[PacketFormat, _Lane]] = {}
        self._viewers: dict[DownTrack, _Viewer] = {}
        # Viewers whose last job has been queued, with the number of jobs after which the thread has let go of them.
        self._leaving: deque[tuple[int, DownTrack, _Viewer]] = deque()
        self.queued = 0
        """Jobs given to the thread so far."""
        self._seen = self.totals
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(REFRESH_S, self._tick)

    @property
    def uses_trains(self) -> bool:
        """Whether the kernel takes several packets to one viewer as one (UDP_SEGMENT)."""
        return bool(self._lib.plane_uses_trains(self._handle))

    @property
    def totals(self) -> dict[str, int]:
        """What the thread counts."""
        now = ffi.new("struct totals *")
        self._lib.plane_totals(self._handle, now)
        return {name: int(getattr(now, name)) for name, _ in ffi.typeof("struct totals").fields}

    def attach(self, track: Track, down: DownTrack, splice: Splice | None = None) -> None:
        """Let a viewer have a track."""
        outbound, remote = down.transport.outbound, down.transport.agent.remote
        if outbound is None or remote is None or down in self._viewers or down in self._streamed:
            return
        if splice is not None:
            down.join(splice, track.highest)
        self._by_agent.setdefault(down.transport.agent, set()).add(down)
        fd = self._socket.descriptor(remote)
        if fd is None:
            if self._is_held(down):
                # The next `refresh` hands it over.
                self._changing[down] = track
            else:
                self._stream(track, down)
            return
        lane = self._lanes.setdefault(track, {}).get(down.format)
        if lane is None:
            lane = self._lanes[track][down.format] = _Lane(self._made(self._lib.plane_lane()), track.highest + 1)
        if 0 <= down.next < lane.since:
            self._fill(lane, track, down)
        _give_counters(down)
        departures = down.departures if isinstance(down.departures, NativeDepartures) else None
        viewer = _Viewer(track, lane, outbound.rtp_context, down.counters, departures, remote)
        haste = down.haste
        address = sockaddr(remote)
        viewer.handle = self._made(
            self._lib.plane_attach(
                self._handle,
                lane.handle,
                ffi.cast("void *", viewer.context.address),
                ffi.cast("void *", viewer.context.function),
                viewer.context.size,
                fd,
                address,
                len(address),
                down.ssrc,
                down.first,
                down.sequence_offset,
                down.timestamp_offset,
                down.shift.picture,
                down.shift.base,
                down.rtx.payload_type if down.rtx is not None else 0,
                down.rtx.ssrc if down.rtx is not None else 0,
                down.next,
                *((haste.since, haste.until, haste.speed) if haste is not None else (0, 0, 0)),
                viewer.counters,
                ffi.cast("struct departures *", departures.address if departures is not None else 0),
            )
        )
        self.queued += 1
        # From here on the thread knows how far it is.
        down.next = -1
        lane.viewers += 1
        if down.first < 0:
            lane.waiting.append(down)
        self._viewers[down] = viewer

    def detach(self, track: Track, down: DownTrack) -> Position | None:
        """Stop sending a track to a viewer."""
        agents = self._by_agent.get(down.transport.agent, set())
        agents.discard(down)
        if not agents:
            self._by_agent.pop(down.transport.agent, None)
        if self._streamed.pop(down, None) is not None:
            return self._python.detach(track, down)
        if self._changing.pop(down, None) is not None:
            return track.position(down)
        viewer = self._viewers.pop(down, None)
        if viewer is None:
            return None
        lane = viewer.lane
        if down in lane.waiting:
            lane.waiting.remove(down)
        self._lib.plane_detach(self._handle, viewer.handle)
        self.queued += 1
        self._leaving.append((self.queued, down, viewer))
        lane.viewers -= 1
        if lane.viewers == 0:
            self._lib.plane_discard(self._handle, lane.handle)
            self.queued += 1
            lanes = self._lanes[track]
            del lanes[down.format]
            if not lanes:
                del self._lanes[track]
        return track.position(down)

    def forward(self, track: Track, packet: RtpPacket, sequence: int, timestamp: int, *, keyframe: bool) -> None:
        """Send a packet to all viewers of a track."""
        # The thread keeps what it sends; what the track remembers is for positions.
        if track.viewers:
            self._python.forward(track, packet, sequence, timestamp, keyframe=keyframe)
        elif not track.remember(sequence, timestamp, packet, keyframe=keyframe):
            self._metrics.drop("late")
            return
        lanes = self._lanes.get(track)
        if lanes is None:
            return
        # Nothing of this frame comes after its last packet, and audio waits for nobody.
        urgent = int(packet.marker or not track.starts_at_keyframe)
        keep = track.keep if track.keep >= 0 else sequence
        for packet_format, lane in lanes.items():
            if lane.waiting and (keyframe or not track.starts_at_keyframe):
                self._begin(lane, sequence)
            body, size, *marks = _rewritten(track, packet_format, packet)
            status = self._lib.plane_forward(
                self._handle, lane.handle, body, len(body), size, sequence, timestamp & 0xFFFFFFFF, *marks, keep, urgent
            )
            if status:
                self._metrics.drop("plane_refused")
            else:
                self.queued += 1

    def _fill(self, lane: _Lane, track: Track, down: DownTrack) -> None:
        """Give a lane what was sent before there was one."""
        for sequence in range(down.next, lane.since):
            entry = track.remembered(sequence)
            if entry is None:
                continue
            _, timestamp, packet = entry
            body, size, *marks = _rewritten(track, down.format, packet)
            status = self._lib.plane_store(
                self._handle, lane.handle, body, len(body), size, sequence, timestamp & 0xFFFFFFFF, *marks
            )
            self.queued += status == 0
        lane.since = down.next

    def _begin(self, lane: _Lane, sequence: int) -> None:
        for down in lane.waiting:
            down.begin(sequence)
            self._lib.plane_begin(self._handle, self._viewers[down].handle, down.first, down.sequence_offset)
            self.queued += 1
        lane.waiting.clear()

    def resend(self, track: Track, down: DownTrack, sequences: Iterable[int], now: float) -> int:
        """Send packets again that a viewer misses; how many the thread was asked for."""
        if down in self._streamed:
            return self._python.resend(track, down, sequences, now)
        viewer = self._viewers.get(down)
        numbers = [number & 0xFFFF for number in sequences]
        if viewer is None or not numbers:
            return 0
        if self._lib.plane_resend(self._handle, viewer.handle, numbers, len(numbers)):
            return 0
        self.queued += 1
        return len(numbers)

    def probe(self, track: Track, down: DownTrack, size: int) -> None:
        """Send a burst of a probe."""
        if down in self._streamed:
            self._python.probe(track, down, size)
        elif (viewer := self._viewers.get(down)) is not None:
            self.queued += not self._lib.plane_probe(self._handle, viewer.handle, size)

    def congestion(self) -> Controller:
        """Make what estimates the way to one viewer, from a log that the thread writes."""
        return NativeCongestion()

    def close(self) -> None:
        """Send what is queued and end the thread."""
        self._timer.cancel()
        for lanes in self._lanes.values():
            for lane in lanes.values():
                self._lib.plane_discard(self._handle, lane.handle)
        self._lanes.clear()
        self._count()
        self._lib.plane_close(self._handle)
        self._python.close()
        self._viewers.clear()
        self._by_agent.clear()
        self._leaving.clear()

    def refresh(self) -> None:
        """Count what the thread did, and let go of viewers that it has forgotten."""
        processed = self._count()
        while self._leaving and self._leaving[0][0] <= processed:
            self._leaving.popleft()
        for down, track in list(self._changing.items()):
            if not self._is_held(down):
                del self._changing[down]
                self.attach(track, down)

    def _moved(self, agent: IceAgent) -> None:
        """A peer is reached at another address from now on."""
        remote = agent.remote
        if remote is None:
            return
        over_udp = self._socket.descriptor(remote) is not None
        for down in list(self._by_agent.get(agent, ())):
            if down in self._viewers:
                self._follow(down, self._viewers[down], remote)
            elif over_udp and (track := self._streamed.pop(down, None)) is not None:
                self._python.detach(track, down)
                self.attach(track, down)

    def _follow(self, down: DownTrack, viewer: _Viewer, remote: Address) -> None:
        fd = self._socket.descriptor(remote)
        if fd is None:
            # From UDP to TCP.
            self.detach(viewer.track, down)
            self.attach(viewer.track, down)
            return
        viewer.remote = remote
        address = sockaddr(remote)
        self._lib.plane_move(self._handle, viewer.handle, fd, address, len(address))
        self.queued += 1

    def _is_held(self, down: DownTrack) -> bool:
        """Whether the thread may still encrypt for it: two threads in one SRTP session would break it."""
        return any(leaving is down for _, leaving, _ in self._leaving)

    def _stream(self, track: Track, down: DownTrack) -> None:
        _take_counters(down)
        self._streamed[down] = track
        self._python.attach(track, down)

    @staticmethod
    def _made(pointer: Any) -> Any:  # noqa: ANN401 - a cffi pointer
        if pointer == ffi.NULL:
            raise MemoryError
        return pointer

    def _tick(self) -> None:
        self._timer = self._loop.call_later(REFRESH_S, self._tick)
        self.refresh()

    def _count(self) -> int:
        now, traffic = self.totals, self._metrics.traffic
        for name in _TRAFFIC:
            setattr(traffic, name, getattr(traffic, name) + now[name] - self._seen[name])
        for name, reason in _DROPS.items():
            if count := now[name] - self._seen[name]:
                self._metrics.drop(reason, count)
        self._seen = now
        return now["processed"]


def _rewritten(track: Track, packet_format: PacketFormat, packet: RtpPacket) -> tuple[bytes, int, int, bool, int, int]:
    """A packet in a format, the size of its payload, and where its numbers are as plane.c takes it."""
    body, payload_size = packet_format.apply(packet)
    start = len(body) - payload_size
    marks = picture_ids.read(track.encoding, packet)
    picture_at = start + marks.picture_at if marks.picture_at >= 0 else 0
    base_at = start + marks.base_at if marks.base_at >= 0 else 0
    return body, payload_size, picture_at, marks.wide, base_at, packet_format.transport_at(body)


def _give_counters(down: DownTrack) -> None:
    """Let the thread count, from where Python stopped. Whoever counts also numbers what is sent again."""
    old = down.counters
    if isinstance(old, ffi.CData):
        return
    last = down.rtx.sequence if down.rtx is not None else 0
    down.counters = ffi.new("struct counters *", (old.packets, old.octets, old.resent, last))


def _take_counters(down: DownTrack) -> None:
    """Let Python count, from where the thread stopped, which has let go of the viewer."""
    old: Any = down.counters
    if not isinstance(old, ffi.CData):
        return
    down.counters = Counters()
    down.counters.packets, down.counters.octets, down.counters.resent = old.packets, old.octets, old.resent
    if down.rtx is not None:
        down.rtx.sequence = old.rtx_sequence & 0xFFFF
