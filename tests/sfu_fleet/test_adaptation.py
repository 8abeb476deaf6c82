"""Which layer a viewer gets: down at once, up with patience, and the same again from the same inputs."""

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet.adaptation import (
    FAILED_WITHIN_S,
    HEADROOM,
    PROVEN_AFTER_S,
    RAMP_S,
    SETTLE_S,
    TRIAL_AFTER_MAX_S,
    TRIAL_AFTER_S,
    Adaptation,
    Choice,
    Decision,
    Estimate,
    Input,
    Layers,
    Reason,
    Report,
)
from sfu_fleet.ceilings import Bounds, TierLimit

RATES = (150_000, 500_000, 2_000_000)
STEP_S = 0.2


class Viewer:
    """Feeds a controller five times a second, as Chromium's reports come, and keeps the trace."""

    def __init__(self, rates: tuple[int, ...] = RATES, *, whole: int = 0) -> None:
        self.adaptation = Adaptation()
        self.trace: list[Input] = []
        self.decisions: list[Decision] = []
        self.rates = rates
        self.whole = whole
        self.heights: tuple[int, ...] = ()
        self.now = 100.0
        self.highest = 1_000
        self.lost = 0

    @property
    def layer(self) -> int | None:
        return self.adaptation.layer

    @property
    def reasons(self) -> list[Reason]:
        return [decision.reason for decision in self.decisions]

    def feed(self, observed: Input) -> None:
        self.trace.append(observed)
        decision = self.adaptation.feed(observed)
        if decision is not None:
            self.decisions.append(decision)

    def passes(
        self, seconds: float, *, estimate: int | None = None, loss: float = 0.0, rtt_ms: float | None = 20.0
    ) -> None:
        """Time with steady observations."""
        for _ in range(round(seconds / STEP_S)):
            self.now = round(self.now + STEP_S, 3)
            self.highest += 20
            self.lost += round(20 * loss)
            if estimate is not None:
                self.feed(Estimate(self.now, estimate))
            self.feed(Report(self.now, self.highest, self.lost, rtt_ms))
            self.feed(Layers(self.now, self.rates, self.layer, self.heights, self.whole))

    def sees(self, bitrate: int) -> None:
        self.feed(Estimate(self.now, bitrate))


def started(layer: int, rates: tuple[int, ...] = RATES, *, whole: int = 0) -> Viewer:
    """A viewer who has that layer, and has had it long enough for nothing to be settling."""
    viewer = Viewer(rates, whole=whole)
    viewer.feed(Choice(viewer.now, layer))
    for _ in range(200):
        if viewer.layer == layer:
            break
        viewer.passes(1, estimate=3_000_000)
    viewer.passes(20, estimate=3_000_000)
    viewer.feed(Choice(viewer.now))
    viewer.decisions.clear()
    return viewer


# The three layers, and each without its highest temporal layer.
HALVED = (*RATES, 90_000, 300_000, 1_200_000)


def test_a_way_that_becomes_too_narrow_costs_half_the_frames_before_it_costs_the_size() -> None:
    viewer = started(2, HALVED, whole=3)
    viewer.sees(1_300_000)
    assert (viewer.layer, viewer.reasons) == (5, [Reason.OVERUSE])
    viewer.passes(SETTLE_S, estimate=1_300_000)
    viewer.sees(600_000)
    assert viewer.layer == 1
    viewer.passes(SETTLE_S, estimate=600_000)
    viewer.sees(320_000)
    assert viewer.layer == 4


def test_the_way_up_is_by_whole_layers_until_one_has_failed() -> None:
    viewer = Viewer(HALVED, whole=3)
    viewer.feed(Layers(viewer.now, HALVED, None, whole=3))
    assert viewer.layer == 1, "half the frames of a larger one would fit"
    viewer.passes(TRIAL_AFTER_S + 1)
    assert viewer.layer == 2
    while viewer.layer == 2:
        viewer.passes(STEP_S, loss=0.3)
    failed = viewer.layer
    assert failed in {1, 4, 5}
    while viewer.layer == failed:
        viewer.passes(STEP_S)
    assert (viewer.reasons[-1], viewer.layer) == (Reason.TRIAL, {4: 1, 1: 5, 5: 2}[failed])


def fallen_from_a_trial() -> Viewer:
    """A viewer who was given the largest layer, could not take it, and has the middle one."""
    viewer = Viewer(HALVED, whole=3)
    viewer.feed(Layers(viewer.now, HALVED, None, whole=3))
    viewer.passes(TRIAL_AFTER_S + 1)
    while viewer.layer == 2:
        viewer.passes(STEP_S, loss=0.5)
    viewer.passes(SETTLE_S + STEP_S, estimate=1_200_000)
    viewer.sees(600_000)
    assert viewer.layer == 1
    viewer.decisions.clear()
    return viewer


def test_who_has_room_goes_up_by_whole_layers_even_after_a_failure() -> None:
    viewer = fallen_from_a_trial()
    viewer.feed(Estimate(viewer.now, 600_000, probing=True))
    assert viewer.adaptation.wanted == HEADROOM * RATES[2], "a probe is for the whole one"
    for _ in range(20):
        viewer.feed(Estimate(viewer.now, 2_400_000, probing=True))
        viewer.passes(STEP_S)
    assert [(decision.layer, decision.reason) for decision in viewer.decisions] == [(2, Reason.FITS)]


def test_what_a_probe_finds_that_is_too_little_for_the_whole_layer_gives_half_its_frames_to_who_has_failed() -> None:
    viewer = fallen_from_a_trial()
    for _ in range(20):
        viewer.feed(Estimate(viewer.now, 1_500_000, probing=True))
        viewer.passes(STEP_S)
    assert [(decision.layer, decision.reason) for decision in viewer.decisions] == [(5, Reason.FITS)]
    assert viewer.adaptation.wanted == HEADROOM * RATES[2]


def test_sound_alone_comes_after_half_the_frames_of_the_smallest() -> None:
    viewer = started(1, HALVED, whole=3)
    for _ in range(200):
        if viewer.layer is None:
            break
        viewer.passes(STEP_S, loss=0.5)
    assert [decision.layer for decision in viewer.decisions[-2:]] == [3, None]
    assert viewer.reasons[-1] is Reason.STARVED


def test_a_viewer_of_whom_nothing_is_known_begins_in_the_middle() -> None:
    viewer = Viewer()
    viewer.feed(Layers(viewer.now, RATES, None))
    assert (viewer.layer, viewer.reasons) == (1, [Reason.START])


def test_an_estimate_with_room_brings_the_next_layer_after_a_moment_and_not_at_once() -> None:
    viewer = Viewer()
    viewer.feed(Layers(viewer.now, RATES, None))
    viewer.passes(0.8, estimate=2_400_000)
    assert viewer.layer == 1
    viewer.passes(0.6, estimate=2_400_000)
    assert (viewer.layer, viewer.reasons[-1]) == (2, Reason.FITS)


def test_an_estimate_without_headroom_does_not() -> None:
    viewer = Viewer()
    viewer.feed(Layers(viewer.now, RATES, None))
    viewer.passes(TRIAL_AFTER_S - 0.4, estimate=2_100_000)
    assert viewer.layer == 1


def test_a_fall_of_the_estimate_below_what_is_sent_takes_the_viewer_down_at_once() -> None:
    viewer = started(2)
    viewer.sees(400_000)
    assert (viewer.layer, viewer.reasons) == (0, [Reason.OVERUSE])


def test_an_estimate_that_is_low_because_little_is_sent_is_no_reason_to_go_down() -> None:
    viewer = Viewer()
    viewer.feed(Layers(viewer.now, RATES, None))
    for bitrate in range(200_000, 230_000, 2_000):
        viewer.passes(STEP_S, estimate=bitrate)
    assert Reason.OVERUSE not in viewer.reasons
    assert viewer.layer != 0


def test_an_estimate_that_falls_while_all_that_is_sent_arrives_only_puts_trials_off() -> None:
    """A receiver that sees delay says 0.85 of what arrives, whatever is the reason of the delay."""
    viewer = started(1)
    viewer.sees(600_000)
    viewer.sees(425_000)
    viewer.passes(TRIAL_AFTER_S - 2 * STEP_S, estimate=425_000)
    assert (viewer.layer, viewer.reasons) == (1, [])
    viewer.passes(1, estimate=425_000)
    assert viewer.reasons == [Reason.TRIAL]


def test_an_estimate_made_of_the_smaller_layer_says_nothing_of_the_larger_one() -> None:
    viewer = started(0)
    viewer.sees(220_000)
    viewer.passes(TRIAL_AFTER_S + 2 * STEP_S, estimate=220_000)
    assert (viewer.layer, viewer.reasons) == (1, [Reason.TRIAL])
    viewer.sees(130_000)
    assert viewer.layer == 1
    viewer.passes(RAMP_S + 2 * STEP_S, estimate=200_000)
    viewer.sees(130_000)
    assert (viewer.layer, viewer.reasons[-1]) == (0, Reason.OVERUSE)


def test_loss_takes_the_viewer_down_after_a_second_of_it_and_one_lost_packet_does_not() -> None:
    viewer = started(2)
    viewer.lost += 1
    viewer.passes(4)
    assert viewer.layer == 2
    viewer.passes(2.4, loss=0.3)
    assert (viewer.layer, viewer.reasons) == (1, [Reason.LOSS])


def test_a_queue_takes_the_viewer_down_and_one_late_report_does_not() -> None:
    viewer = started(2)
    viewer.passes(STEP_S, rtt_ms=600.0)
    viewer.passes(1)
    assert viewer.layer == 2
    viewer.passes(0.4, rtt_ms=600.0)
    assert (viewer.layer, viewer.reasons) == (1, [Reason.QUEUE])


def test_a_longer_route_is_not_taken_for_a_queue_for_ever() -> None:
    viewer = started(2)
    viewer.passes(100, rtt_ms=500.0, estimate=3_000_000)
    viewer.decisions.clear()
    viewer.passes(150, rtt_ms=500.0, estimate=3_000_000)
    assert (viewer.layer, Reason.QUEUE in viewer.reasons) == (2, False)


def test_what_is_still_said_about_the_layer_before_does_not_count_twice() -> None:
    viewer = started(2)
    viewer.sees(600_000)
    assert viewer.layer == 1
    viewer.sees(300_000)
    assert viewer.layer == 1
    viewer.passes(SETTLE_S)
    viewer.sees(200_000)
    assert viewer.layer == 0


def test_trials_end_where_they_fail_and_become_rarer() -> None:
    """A receiver's estimate is bound to what it gets, so only a trial can show that there is no more."""
    viewer = Viewer()
    viewer.feed(Layers(viewer.now, RATES, None))
    viewer.sees(200_000)
    viewer.sees(180_000)
    assert viewer.layer == 0
    waited = []
    for _ in range(6):
        since = viewer.now
        while viewer.layer == 0:
            viewer.passes(STEP_S, estimate=200_000)
        assert viewer.reasons[-1:] == [Reason.TRIAL]
        waited.append(viewer.now - since)
        viewer.passes(RAMP_S + 2 * STEP_S)
        viewer.sees(150_000)
        assert viewer.reasons[-1:] == [Reason.OVERUSE]
    assert all(later > earlier * 1.5 for earlier, later in pairwise(waited))
    assert waited[-1] <= TRIAL_AFTER_MAX_S + 2 * SETTLE_S


def test_a_layer_that_was_kept_makes_trials_frequent_again() -> None:
    viewer = Viewer()
    viewer.feed(Layers(viewer.now, RATES, None))
    viewer.passes(TRIAL_AFTER_S + 1)
    assert viewer.layer == 2
    viewer.passes(1, loss=0.4)
    viewer.passes(1.2, loss=0.4)
    assert viewer.layer == 1
    assert viewer.decisions[-1].trial_after_s == 2 * TRIAL_AFTER_S
    viewer.passes(2 * TRIAL_AFTER_S + FAILED_WITHIN_S + PROVEN_AFTER_S + 10)
    assert viewer.layer == 2
    viewer.passes(2.4, loss=0.4)
    assert viewer.decisions[-1].trial_after_s == TRIAL_AFTER_S


def test_without_any_estimate_a_good_path_still_leads_to_the_best_layer() -> None:
    viewer = Viewer()
    viewer.passes(15, rtt_ms=None)
    assert viewer.layer == 2


def test_a_layer_that_the_publisher_switches_off_is_left() -> None:
    viewer = started(2)
    viewer.rates = (150_000, 500_000, 0)
    viewer.passes(STEP_S)
    assert (viewer.layer, viewer.reasons) == (1, [Reason.STOPPED])
    viewer.rates = (0, 0, 0)
    viewer.passes(1)
    assert viewer.layer == 1


def test_layers_are_told_by_what_they_cost_and_not_by_their_order() -> None:
    viewer = Viewer((2_000_000, 150_000, 500_000))
    viewer.feed(Layers(viewer.now, viewer.rates, None))
    assert viewer.layer == 2
    viewer.passes(3, estimate=3_000_000)
    assert viewer.layer == 0


def test_a_chosen_layer_is_the_most_that_is_given() -> None:
    viewer = started(2)
    viewer.feed(Choice(viewer.now, 0))
    assert (viewer.layer, viewer.reasons) == (0, [Reason.CHOICE])
    viewer.passes(60, estimate=9_000_000)
    assert viewer.layer == 0
    viewer.feed(Choice(viewer.now))
    viewer.passes(10, estimate=9_000_000)
    assert viewer.layer == 2


def test_a_chosen_layer_that_the_way_does_not_carry_is_not_forced() -> None:
    viewer = started(2)
    viewer.feed(Choice(viewer.now, 2))
    viewer.passes(2.4, loss=0.4)
    assert viewer.layer == 1


def test_who_wants_sound_alone_gets_no_video_until_they_want_it_again() -> None:
    viewer = started(1)
    viewer.feed(Choice(viewer.now, paused=True))
    viewer.passes(30, estimate=100_000)
    given = [viewer.layer]
    viewer.feed(Choice(viewer.now))
    assert [*given, viewer.layer] == [None, 0]
    assert viewer.reasons == [Reason.CHOICE, Reason.CHOICE]


times = st.floats(0, 3).map(lambda seconds: round(seconds, 3))
bits = st.integers(0, 4_000_000)
inputs = st.one_of(
    st.builds(Estimate, times, bits),
    st.builds(
        Report, times, st.integers(0, 5_000), st.integers(-50, 500), st.none() | st.floats(0, 2_000), st.booleans()
    ),
    st.builds(
        Layers,
        times,
        st.tuples(bits, bits, bits) | st.tuples(*[st.sampled_from((0, 300_000))] * 3),
        st.none() | st.integers(0, 2),
        st.just(()) | st.tuples(*[st.sampled_from((0, 180, 360, 720))] * 3),
        st.sampled_from((0, 2)),
    ),
    st.builds(
        Bounds,
        times,
        st.sampled_from((0, 100, 300, 1_080)),
        st.builds(TierLimit, st.sampled_from((0, 360)), st.sampled_from((0, 400_000))),
        st.booleans(),
    ),
    st.builds(Choice, times, st.none() | st.integers(0, 2), st.booleans()),
)


@given(st.lists(inputs, max_size=150))
def test_a_recorded_trace_replays_to_the_same_decisions(steps: list[Input]) -> None:
    """Each input's time is counted from the one before; the trace goes through its written form."""
    now = 0.0
    trace: list[Input] = []
    for step in steps:
        now += step.at
        trace.append(msgspec.structs.replace(step, at=now))
    first = Adaptation()
    decisions = [first.feed(observed) for observed in trace]
    written = msgspec.json.encode(trace)
    again = Adaptation()
    assert [again.feed(observed) for observed in msgspec.json.decode(written, type=list[Input])] == decisions
    for decision in decisions:
        if decision is not None and decision.layer is not None:
            assert decision.costs[decision.layer] > 0
            assert decision.before != decision.layer
