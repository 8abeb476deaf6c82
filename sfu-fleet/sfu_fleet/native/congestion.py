"""`NativeCongestion`: the estimate of a way to a viewer, made by congestion.c."""

from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]

from sfu_fleet.congestion.estimator import Estimate
from sfu_fleet.congestion.sent import FIRST
from sfu_fleet.congestion.trendline import Signal
from sfu_fleet.native.build import load

_INTERFACE: Final = """
struct departures { uint64_t next, probe_end; uint64_t entries[2048]; };
struct estimate { double bitrate, acknowledged, loss; int64_t acknowledged_bytes, highest;
    int32_t signal, feedbacks, refused, decreases; };
struct congestion *congestion_new(void);
void congestion_free(struct congestion *);
void congestion_note_rtt(struct congestion *, double);
double congestion_feed(struct congestion *, struct departures *, const char *packet, int size, int64_t now_us);
double congestion_probed(struct congestion *, struct departures *, int64_t first, int64_t end, int64_t now_us);
void congestion_raise_to(struct congestion *, double);
void congestion_attend(struct congestion *, double below, int64_t every_us);
int congestion_due(struct congestion *, int64_t now_us);
void congestion_estimate(struct congestion *, struct estimate *);
int congestion_departed(struct departures *, int64_t now_us, int size);
void congestion_departed_probe(struct departures *);
"""

ffi: Any = FFI()
ffi.cdef(_INTERFACE)


class NativeDepartures:
    """The log of one transport, in memory that the plane's thread writes too (departures.h says how that is safe)."""

    def __init__(self, lib: Any, first: int) -> None:  # noqa: ANN401 - a cffi library
        self._lib = lib
        self.struct: Final = ffi.new("struct departures *", {"next": first, "probe_end": first})
        self.address: Final = int(ffi.cast("uintptr_t", self.struct))

    def add(self, now_us: int, size: int) -> int:
        """Note a packet; its number on the wire."""
        return int(self._lib.congestion_departed(self.struct, now_us, size))

    def probed(self) -> None:
        """What was noted last belongs to a probe."""
        self._lib.congestion_departed_probe(self.struct)

    @property
    def next(self) -> int:
        """The number (extended) that the next packet gets."""
        return int(self.struct.next)

    @property
    def probe_end(self) -> int:
        """The number behind the latest packet of a probe."""
        return int(self.struct.probe_end)


class NativeCongestion:
    """See `sfu_fleet.congestion.estimator.Controller`."""

    def __init__(self, first: int = FIRST) -> None:
        """Make one.

        Raises:
            NotBuiltError: there is no native plane on this machine.
        """
        self._lib = load(ffi)
        self.departures: Final = NativeDepartures(self._lib, first)
        self._state = ffi.gc(self._lib.congestion_new(), self._lib.congestion_free)
        if self._state == ffi.NULL:
            raise MemoryError
        self.address: Final = int(ffi.cast("uintptr_t", self._state))
        self._found = ffi.new("struct estimate *")
        # Called for every viewer up to twenty times a second.
        self._feed = self._lib.congestion_feed
        self._sent = self.departures.struct

    @property
    def highest(self) -> int:
        """The latest number (extended) that feedback has spoken of; -1 before any."""
        self._lib.congestion_estimate(self._state, self._found)
        return int(self._found.highest)

    def feed(self, packet: bytes, now_us: int) -> float:
        """Take one RTCP packet of feedback (FMT 15); the estimate, 0.0 where it is malformed, which changes nothing."""
        return self._feed(self._state, self._sent, packet, len(packet), now_us)  # type: ignore[no-any-return] # of cffi

    def note_rtt(self, rtt: float) -> None:
        """Take a round trip in milliseconds, of receiver reports."""
        self._lib.congestion_note_rtt(self._state, rtt)

    def probed(self, first: int, end: int, now_us: int) -> float:
        """What a probe found in bit/s, of which the packets from `first` up to `end` were; 0.0: nothing for sure."""
        return float(self._lib.congestion_probed(self._state, self.departures.struct, first, end, now_us))

    def raise_to(self, bitrate: float) -> None:
        """Take what a probe found for the estimate, where it is more."""
        self._lib.congestion_raise_to(self._state, bitrate)

    def attend(self, below: float, every_us: int) -> None:
        """Which estimates `due` is to let through from now on: see `telling`."""
        self._lib.congestion_attend(self._state, below, every_us)

    def due(self, now_us: int) -> bool:
        """Whether the estimate is to be told now; then it counts as told."""
        return bool(self._lib.congestion_due(self._state, now_us))

    def estimate(self) -> Estimate:
        """What is known now."""
        found = self._found
        self._lib.congestion_estimate(self._state, found)
        return Estimate(
            int(found.bitrate),
            int(found.acknowledged),
            found.loss,
            Signal(found.signal),
            found.feedbacks,
            found.refused,
            found.decreases,
            found.acknowledged_bytes,
        )
