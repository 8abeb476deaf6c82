"""Which layer a viewer gets: a pure machine that is fed what was observed and says what to do, and why.

There is no clock and no I/O in here, and no chance: the same inputs give the same decisions, so that a decision that
somebody doubts can be replayed from its inputs.

What is known of the way to a viewer is an estimate, made from delays in the manner of Google congestion control by us
(from transport-wide feedback) or by the receiver (REMB), and the loss and round trip times in its reports. Neither can
see more bandwidth than is used: an estimate ends at one and a half times what arrives. Where the next layer costs more
than that, waiting for the estimate is waiting for ever. Ours is raised by probes. With a receiver's, a viewer who has
been well for a while is given the next layer on trial, and what follows is judged by signs of congestion alone; failed
trials become rarer.

Where not even the cheapest layer is carried, sound goes on alone: `starvation`. What may be given at all: `ceilings`.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from sfu_fleet.ceilings import Bounds, Ceiling, Ladder, ladder
from sfu_fleet.starvation import Starvation

# Until anything is known: the middle layer of three, usually.
INITIAL_BITRATE = 500_000
# draft-ietf-rmcat-gcc-02, section 6: more loss than the one is congestion, less than the other is none.
LOSS_HIGH, LOSS_LOW = 0.10, 0.02
# With more than that a step at a time takes too long: there is no picture meanwhile.
LOSS_MOST = 0.5
LOSS_WINDOW_S = 1.0
LOSS_WINDOW_PACKETS = 20
# An estimate that falls by this share was lowered by the receiver because of delay.
OVERUSE_FALL = 0.03
# It is then set to 0.85 of what arrives (draft-ietf-rmcat-gcc-02, section 5.5): at that share of what is sent all of it
# arrived, and only well below it does the way carry less.
OVERUSE_SHARE = 0.75
# A round trip that is longer than the shortest by this is a queue; once may be chance.
QUEUE_MS = 250.0
QUEUE_REPORTS = 2
# The shortest round trip is forgotten after one to two such spans: routes change.
RTT_SPAN_S = 30.0
# The estimate must exceed a layer's cost by this share, for so long.
HEADROOM = 1.15
FITS_FOR_S = 1.0
# So soon after a larger layer has begun, what arrives is still measured over a time that was of the smaller one.
RAMP_S = 1.5
# Reports that come so soon after a step down are about what was sent before it.
SETTLE_S = 3.0
# After so long without a sign of congestion the next layer is tried; after a failure twice as long, up to the maximum.
TRIAL_AFTER_S = 3.0
TRIAL_AFTER_MAX_S = 96.0
# A layer that was left within this time was a failure, one that was kept for the other a success.
FAILED_WITHIN_S = 15.0
PROVEN_AFTER_S = 30.0
# A layer's cost follows its bitrate upwards at once and downwards by this share of the difference.
COST_DECAY = 0.1


class Reason(StrEnum):
    """Why a decision was made."""

    START = "start"
    CHOICE = "choice"
    STOPPED = "layer_stopped"
    OVERUSE = "overuse"
    LOSS = "loss"
    QUEUE = "queue"
    FITS = "fits"
    TRIAL = "trial"
    TIER = "tier"
    VIEWPORT = "viewport"
    STARVED = "starved"


class Estimate(msgspec.Struct, frozen=True, tag="estimate"):
    """An estimate of the bit/s that the way to the viewer carries: ours, or the viewer's by REMB.

    With `probing` probes look for what the estimate cannot see, so that no layer need be given on trial.
    """

    at: float
    bitrate: int
    probing: bool = False


class Report(msgspec.Struct, frozen=True, tag="report"):
    """A receiver report about the video, as it came, and the round trip where it is known.

    The share lost that a report states itself is of the time since the one before, which may be of five packets.
    With `sound` it is about the audio: all that there is to go by while the video is away.
    """

    at: float
    highest_sequence: int
    lost: int
    rtt_ms: float | None
    sound: bool = False


class Layers(msgspec.Struct, frozen=True, tag="layers"):
    """What the publisher sends: bit/s of each layer in the order of the offer, 0 where it is switched off.

    `sent` is the layer that the viewer is really being sent: a decision waits for a keyframe. `heights` are in pixels,
    0 where it is not known. The first `whole` of the layers come with all their frames, the others are the same at a
    lower frame rate; with 0 all are whole.
    """

    at: float
    bitrates: tuple[int, ...]
    sent: int | None
    heights: tuple[int, ...] = ()
    whole: int = 0


class Choice(msgspec.Struct, frozen=True, tag="choice"):
    """What the viewer wants: at most this layer, or no video at all. With neither it is ours to choose."""

    at: float
    layer: int | None = None
    paused: bool = False


Input = Estimate | Report | Layers | Choice | Bounds


class Decision(msgspec.Struct, frozen=True):
    """To go from one layer to another (None is no video), with all that it was decided on."""

    at: float
    reason: Reason
    before: int | None
    layer: int | None
    estimate: int
    loss: float
    rtt_ms: float | None
    costs: tuple[int, ...]
    trial_after_s: float
    ceiling: Ceiling | None = None


class ShortestRoundTrip:
    """The minimum over a sliding span."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._present = self._before = float("inf")

    def note(self, at: float, rtt_ms: float) -> float:
        """The shortest lately, with this one."""
        if at - self._since > RTT_SPAN_S:
            self._since, self._before, self._present = at, self._present, float("inf")
        self._present = min(self._present, rtt_ms)
        return min(self._present, self._before)


class LossWindow:
    """The share lost over a second at least, and over enough packets that one is not a tenth of them."""

    def __init__(self) -> None:
        self._first: Report | None = None

    def note(self, report: Report) -> float | None:
        """The share since the window began, where it ends with this report."""
        first = self._first or report
        self._first = first
        expected = report.highest_sequence - first.highest_sequence & 0xFFFFFFFF
        if report.at - first.at < LOSS_WINDOW_S or expected < LOSS_WINDOW_PACKETS:
            return None
        self._first = report
        return min(1.0, max(0.0, (report.lost - first.lost) / expected))


class Adaptation:
    """Decides for one viewer's video. `layer` is what was decided last."""

    def __init__(self) -> None:
        self.layer: int | None = None
        self._started = False
        self._choice = Choice(0.0)
        self._bounds = Bounds(0.0)
        self._heights: tuple[int, ...] = ()
        self._allowed = Ladder((), None)
        self._starvation = Starvation()
        self._costs: tuple[float, ...] = ()
        self._bitrates: tuple[int, ...] = ()
        self._whole = 0
        self._sent: int | None = None
        self._sent_since = float("-inf")
        self._estimate = INITIAL_BITRATE
        self._estimated = False
        self._probing = False
        self._loss = 0.0
        self._losses = LossWindow()
        self._sound_losses = LossWindow()
        self._rtt_ms: float | None = None
        self._shortest = ShortestRoundTrip()
        self._long_round_trips = 0
        self._trial_after_s = TRIAL_AFTER_S
        # Since when there has been no sign of congestion, and since when the next layer fits the estimate.
        self._well_since: float | None = None
        self._fits_since: float | None = None
        self._went_up_at = float("-inf")
        self._went_down_at = float("-inf")

    @property
    def wanted(self) -> float:
        """The estimate from which on the next whole layer would be given; 0.0 where there is none to give."""
        above = self._above() if self.layer in self._ladder() else ()
        return HEADROOM * self._cost(next((index for index in above if index < self._whole), None))

    @property
    def needed(self) -> float:
        """The bit/s of what was decided last, as a peak of late; 0.0 for nothing."""
        return self._cost(self.layer)

    @property
    def sound_alone(self) -> bool:
        """Whether the video is away because the way does not carry it."""
        return self._starvation.alone

    @property
    def ceiling(self) -> Ceiling | None:
        """What keeps the viewer below the best layer, where it is not the way."""
        return self._allowed.ceiling if self.at_best else None

    @property
    def at_best(self) -> bool:
        """Whether the viewer is given the most that they may have."""
        return self.layer in self._ladder()[-1:]

    def feed(self, observed: Input) -> Decision | None:
        """Take an input; a decision, where it changes the layer."""
        match observed:
            case Layers():
                return self._on_layers(observed)
            case Choice():
                before, self._choice = self._choice, observed
                self._allow()
                return self._on_choice(observed.at, (before.layer, before.paused))
            case Bounds():
                self._bounds = observed
                self._allow()
                return self._bound(observed.at)
            case Estimate():
                return self._on_estimate(observed) or self._starve(observed.at)
            case Report():
                return self._on_report(observed) or self._starve(observed.at)

    @property
    def estimate(self) -> int | None:
        """The bit/s that the way carries; None before anybody has said."""
        return self._estimate if self._estimated else None

    def _on_layers(self, observed: Layers) -> Decision | None:
        before = self._costs or tuple(float(bitrate) for bitrate in observed.bitrates)
        self._costs = tuple(
            float(bitrate) if bitrate >= cost or bitrate == 0 else cost - COST_DECAY * (cost - bitrate)
            for cost, bitrate in zip(before, observed.bitrates, strict=True)
        )
        self._bitrates = observed.bitrates
        self._whole = observed.whole or len(observed.bitrates)
        self._heights = observed.heights
        self._allow()
        at = observed.at
        if observed.sent != self._sent:
            self._sent, self._sent_since = observed.sent, at
        if self._choice.paused or not self._ladder():
            return None
        if not self._started:
            self._started = True
            return self._go(at, self._fitting(self._estimate, whole=True), Reason.START)
        if self._starvation.alone:
            well_since = at if self._well_since is None else self._well_since
            return self._resume(at, Reason.TRIAL) if self._starvation.over(at, well_since) else None
        if self._cost(self.layer) <= 0:
            return self._go(at, self._fitting(self._estimate, whole=True), Reason.STOPPED)
        return self._bound(at) or self._try_up(at)

    def _on_choice(self, at: float, before: tuple[int | None, bool]) -> Decision | None:
        if self._choice.paused:
            self._starvation.end(at)
            return self._go(at, None, Reason.CHOICE)
        if not self._started or not self._ladder() or self.layer in self._ladder():
            return None
        if self._starvation.alone:
            # Who chooses anew wants to see whether it goes by now.
            anew = before != (self._choice.layer, self._choice.paused)
            return self._resume(at, Reason.CHOICE) if anew else None
        return self._go(at, self._fitting(self._estimate, whole=True), Reason.CHOICE)

    def _bound(self, at: float) -> Decision | None:
        """Down at once to what may be given."""
        allowed = self._allowed
        if self.layer is None or allowed.ceiling is None or self.layer in allowed.layers:
            return None
        return self._go(at, self._fitting(self._estimate, whole=True), Reason(allowed.ceiling.value))

    def _starve(self, at: float) -> Decision | None:
        """Give the video up where the cheapest layer has been too much for long enough."""
        if self.layer is None or self._sent != self.layer or self.layer not in self._ladder()[:1]:
            self._starvation.clear()
            return None
        if self._bounds.sound and self._starvation.due(at, self._sent_since):
            self._starvation.begin(at)
            self._sound_losses, self._well_since = LossWindow(), at
            return self._go(at, None, Reason.STARVED)
        return None

    def _resume(self, at: float, reason: Reason) -> Decision | None:
        self._starvation.end(at)
        self._losses, self._long_round_trips = LossWindow(), 0
        self._well_since = self._went_up_at = at
        return self._go(at, self._ladder()[0], reason)

    def _on_estimate(self, observed: Estimate) -> Decision | None:
        before, self._estimate = self._estimate, observed.bitrate
        self._probing = observed.probing
        fell = self._estimated and observed.bitrate < before * (1 - OVERUSE_FALL)
        self._estimated = True
        self._starvation.estimated(observed.at, observed.bitrate, self._sending())
        # Of sound alone an estimate rises and falls with what is said.
        if fell and not self._starvation.alone:
            self._well_since = observed.at
            ramping = observed.at - self._sent_since < RAMP_S
            if not ramping and observed.bitrate < OVERUSE_SHARE * self._sending():
                return self._step_down(observed.at, observed.bitrate, Reason.OVERUSE)
        return None

    def _on_report(self, observed: Report) -> Decision | None:
        if observed.sound:
            loss = self._sound_losses.note(observed)
            if loss is not None and loss > LOSS_HIGH:
                self._well_since = observed.at
            return None
        if observed.rtt_ms is not None:
            self._rtt_ms = observed.rtt_ms
            queued = observed.rtt_ms - self._shortest.note(observed.at, observed.rtt_ms) > QUEUE_MS
            self._long_round_trips = self._long_round_trips + 1 if queued else 0
        loss = self._losses.note(observed)
        if loss is not None:
            self._loss = loss
            self._starvation.lost(observed.at, loss)
        if loss is not None and loss > LOSS_HIGH:
            # draft-ietf-rmcat-gcc-02, section 6, with the cost of the layer for what is sent.
            carried = self._carrying() * (1 - 0.5 * loss)
            # With less it need not be the way that loses, and an estimate ends at what was sent.
            carried = self._getting_through(carried) if loss >= LOSS_MOST else carried
            return self._step_down(observed.at, carried, Reason.LOSS)
        if self._long_round_trips >= QUEUE_REPORTS:
            return self._step_down(observed.at, self._getting_through(self._carrying() - 1), Reason.QUEUE)
        if loss is not None and loss > LOSS_LOW:
            self._well_since = observed.at
        return None

    def _step_down(self, at: float, carried: float, reason: Reason) -> Decision | None:
        """Congestion: at once to what is carried, unless the last step has not shown its effect yet."""
        self._well_since, self._fits_since = at, None
        if self.layer is None or not self._ladder() or at - self._went_down_at < SETTLE_S:
            return None
        target = self._fitting(min(carried, self._carrying() - 1))
        if target == self.layer:
            return None
        self._went_down_at = at
        if at - self._went_up_at < FAILED_WITHIN_S:
            self._trial_after_s = min(TRIAL_AFTER_MAX_S, 2 * self._trial_after_s)
        self._long_round_trips = 0
        return self._go(at, target, reason)

    def _getting_through(self, carried: float) -> float:
        """No more than our estimate, which knows already what gets through; a receiver's comes late."""
        return min(carried, self._estimate) if self._probing else carried

    def _try_up(self, at: float) -> Decision | None:
        if at - self._went_up_at > PROVEN_AFTER_S and self._went_down_at < self._went_up_at:
            self._trial_after_s = TRIAL_AFTER_S
        if self._well_since is None:
            self._well_since = at
        candidate = self._candidate()
        if candidate is None:
            self._fits_since = None
            return None
        fits = self._fits(candidate)
        self._fits_since = (at if self._fits_since is None else self._fits_since) if fits else None
        if self._fits_since is not None and at - max(self._fits_since, self._well_since) >= FITS_FOR_S:
            return self._go_up(at, candidate, Reason.FITS)
        if not self._probing and at - max(self._well_since, self._went_up_at) >= self._trial_after_s:
            return self._go_up(at, candidate, Reason.TRIAL)
        return None

    def _candidate(self) -> int | None:
        """What would be given next on the way up; None where there is nothing above.

        A lower frame rate is for those at the edge of their way: who has not failed yet, or has room, is given the next
        whole layer.
        """
        above = self._above()
        whole = next((index for index in above if index < self._whole), None)
        if whole is not None and (self._trial_after_s <= TRIAL_AFTER_S or self._fits(whole)):
            return whole
        return above[0] if above else None

    def _above(self) -> Sequence[int]:
        ladder = self._ladder()
        return ladder[ladder.index(self.layer) + 1 if self.layer in ladder else 0 :]

    def _fits(self, layer: int) -> bool:
        return self._estimated and self._estimate >= HEADROOM * self._cost(layer)

    def _go_up(self, at: float, candidate: int, reason: Reason) -> Decision | None:
        self._went_up_at = at
        self._fits_since = None
        return self._go(at, candidate, reason)

    def _go(self, at: float, target: int | None, reason: Reason) -> Decision | None:
        before, self.layer = self.layer, target
        if before == target:
            return None
        return Decision(
            round(at, 3),
            reason,
            before,
            target,
            self._estimate,
            round(self._loss, 3),
            self._rtt_ms,
            tuple(round(cost) for cost in self._costs),
            self._trial_after_s,
            self._allowed.ceiling,
        )

    def _cost(self, layer: int | None) -> float:
        return self._costs[layer] if layer is not None and layer < len(self._costs) else 0.0

    def _sending(self) -> float:
        """What the viewer is being sent at this moment: a cost remembers the peaks, an estimate does not."""
        layer = self.layer if self._sent is None else self._sent
        return self._bitrates[layer] if layer is not None and layer < len(self._bitrates) else 0.0

    def _carrying(self) -> float:
        """What the viewer is being sent, or soon will be where that is less."""
        return min(self._cost(layer) for layer in (self.layer, self._sent if self._sent is not None else self.layer))

    def _allow(self) -> None:
        """See anew which layers may be given: more often than it changes it is asked for."""
        self._allowed = ladder(self._costs, self._heights, self._choice.layer, self._bounds, self._whole)

    def _ladder(self) -> Sequence[int]:
        return self._allowed.layers

    def _fitting(self, bitrate: float, *, whole: bool = False) -> int:
        """The dearest layer, or whole layer, that the bitrate pays for, else the cheapest. There must be one."""
        ladder = self._ladder()
        if whole:
            ladder = [index for index in ladder if index < self._whole] or ladder
        return next((index for index in reversed(ladder) if self._costs[index] <= bitrate), ladder[0])
