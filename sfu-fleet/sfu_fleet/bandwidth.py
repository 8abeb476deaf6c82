"""What is known of the way to one viewer: estimates from transport-wide feedback, probes, else the viewer's REMB."""

import asyncio
from collections.abc import Callable

import msgspec

from sfu_fleet.adaptation import HEADROOM, Estimate
from sfu_fleet.congestion.estimator import Controller
from sfu_fleet.congestion.probing import BURSTS, RESULT_S, ProbeController, ProbeState
from sfu_fleet.congestion.telling import EVERY_US
from sfu_fleet.congestion.trendline import Signal

# After so long without feedback REMB counts again.
FRESH_S = 4.0
# How often an estimate is heard that is more than what is sent, where nothing more is wanted.
_EVERY_US_AT_EASE = 2_000_000
# By then the last burst of a probe has left.
_SENT_AFTER_S = 0.02


class BandwidthInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a way, for the control API: bit/s, a share for `loss`, and what the prober did.

    `source` is "transport-cc", "remb", or "" before either has come. `probe_found` is what the latest probe measured in
    bit/s, 0 where it could not be measured.
    """

    source: str = ""
    estimate: int | None = None
    acknowledged: int = 0
    loss: float = 0.0
    rtt_ms: float | None = None
    signal: str = ""
    feedbacks: int = 0
    feedbacks_refused: int = 0
    decreases: int = 0
    probe_state: str = ""
    probe_bitrate: int = 0
    probe_found: int = 0
    probes: int = 0
    probe_bytes: int = 0


class Bandwidth:
    """Owns the estimator and the probes of one viewer.

    `controller` is None where the viewer sends no transport-wide feedback. `send_burst` sends so many bytes again as a
    part of a probe; it is None where there is no stream of retransmissions.
    """

    def __init__(self, controller: Controller | None, now: float, send_burst: Callable[[int], None] | None) -> None:
        self.controller = controller
        self._send_burst = send_burst
        self._prober = ProbeController(now)
        self._heard_at = float("-inf")
        self._remb: int | None = None
        self._rtt_ms: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        # The numbers of the probe that is under way; the end is 0 until all of it has left.
        self._first = self._end = 0
        self._probed_at = 0.0
        self._probe_bitrate = 0

    def on_remb(self, bitrate: int, now: float) -> Estimate | None:
        """Take the viewer's own estimate; what follows from it, where there is no better one."""
        self._remb = bitrate
        return None if self._is_fresh(now) else Estimate(now, bitrate)

    def on_feedback(self, packet: bytes, now: float) -> Estimate | None:
        """Take a packet of feedback; an estimate, where it is time for one."""
        controller, now_us = self.controller, int(now * 1e6)
        if controller is None or not controller.feed(packet, now_us):
            return None
        self._heard_at = now
        return self.fed(now) if controller.due(now_us) else None

    def fed(self, now: float) -> Estimate | None:
        """The controller has had feedback, by `on_feedback` or by a native intake, and an estimate is due."""
        controller = self.controller
        if controller is None:
            return None
        self._heard_at = now
        if self._end and (controller.highest >= self._end - 1 or now - self._probed_at > RESULT_S):
            self._measure(controller, now)
        bitrate = controller.estimate().bitrate
        return Estimate(now, bitrate, probing=self._send_burst is not None and self._prober.conclusive)

    def on_round_trip(self, rtt_ms: float) -> None:
        """Take a round trip from a report."""
        self._rtt_ms = rtt_ms
        if self.controller is not None:
            self.controller.note_rtt(rtt_ms)

    def look(self, now: float, wanted: float, needed: float) -> None:
        """Probe, where more is wanted than is known to be there; hear of the estimate as often as it matters.

        `wanted` and `needed`, for what is sent, are in bit/s; 0.0 for nothing.
        """
        controller, send_burst = self.controller, self._send_burst
        if controller is None or not self._is_fresh(now):
            return
        if self._end and now - self._probed_at > RESULT_S:
            self._measure(controller, now)
        known, enough = controller.estimate(), HEADROOM * needed
        if wanted > 0.0 or known.bitrate < enough:
            controller.attend(float("inf"), EVERY_US)
        else:
            controller.attend(enough, _EVERY_US_AT_EASE)
        probe = self._prober.look(now, wanted, known) if send_burst is not None else None
        if probe is None or send_burst is None:
            return
        loop = asyncio.get_running_loop()
        self._first = controller.departures.next
        self._probe_bitrate = round(probe.bitrate)
        begun = loop.time()

        def burst(index: int) -> None:
            send_burst(probe.burst_bytes)
            if index + 1 < BURSTS:
                self._timer = loop.call_at(begun + (index + 1) * probe.interval_s, burst, index + 1)
            else:
                self._timer = loop.call_later(_SENT_AFTER_S, self._sent)

        burst(0)

    def close(self) -> None:
        """Probe no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._send_burst = None

    def known(self, now: float) -> int | None:
        """The bit/s that the way carries; None while nothing is known of it.

        Until a way was too narrow once, an estimate of ours says no more than how much was sent.
        """
        if self.controller is None or not self._is_fresh(now):
            return self._remb
        estimate = self.controller.estimate()
        return estimate.bitrate if estimate.decreases else None

    def info(self, now: float) -> BandwidthInfo:
        """What is known now."""
        if self.controller is None or not self._is_fresh(now):
            source = "" if self._remb is None else "remb"
            return BandwidthInfo(source=source, estimate=self._remb, rtt_ms=self._rtt_ms)
        known, prober = self.controller.estimate(), self._prober
        return BandwidthInfo(
            source="transport-cc",
            estimate=known.bitrate,
            acknowledged=known.acknowledged,
            loss=round(known.loss, 3),
            rtt_ms=self._rtt_ms,
            signal=known.signal.name.lower(),
            feedbacks=known.feedbacks,
            feedbacks_refused=known.refused,
            decreases=known.decreases,
            probe_state=(ProbeState.IDLE if self._send_burst is None else prober.state).value,
            probe_bitrate=self._probe_bitrate,
            probe_found=round(prober.found),
            probes=prober.probes,
            probe_bytes=prober.bytes,
        )

    def _is_fresh(self, now: float) -> bool:
        return now - self._heard_at <= FRESH_S

    def _sent(self) -> None:
        """All of the probe has left."""
        if self.controller is not None:
            self._end = max(self.controller.departures.probe_end, self._first + 1)
            self._probed_at = asyncio.get_running_loop().time()

    def _measure(self, controller: Controller, now: float) -> None:
        """Take the result of the probe."""
        found = controller.probed(self._first, self._end, round(now * 1e6))
        self._end = 0
        confirmed = self._prober.ended(now, found, overusing=controller.estimate().signal is Signal.OVERUSE)
        if confirmed > 0.0:
            controller.raise_to(confirmed)
