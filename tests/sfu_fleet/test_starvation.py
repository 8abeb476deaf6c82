"""Sound alone where not even the cheapest layer is carried, and the picture again with patience."""

from itertools import pairwise

import msgspec

from sfu_fleet.adaptation import Adaptation, Choice, Estimate, Input, Layers, Reason, Report
from sfu_fleet.ceilings import Bounds
from sfu_fleet.starvation import ALONE_FOR_MAX_S, ALONE_FOR_S, PROVEN_AFTER_S, SETTLE_S, STARVED_FOR_S
from tests.sfu_fleet.test_adaptation import STEP_S, Viewer, started

LONG_ENOUGH = STARVED_FOR_S + SETTLE_S


def until_alone(viewer: Viewer) -> None:
    for _ in range(200):
        if viewer.adaptation.sound_alone:
            return
        viewer.passes(STEP_S, loss=0.5)
    raise AssertionError(viewer.reasons)


def until_back(viewer: Viewer) -> float:
    """How long sound alone lasted."""
    since = viewer.now
    while viewer.adaptation.sound_alone:
        viewer.passes(STEP_S)
    return viewer.now - since


def test_loss_leads_to_the_lowest_layer_first_and_then_to_sound_alone() -> None:
    viewer = started(2)
    until_alone(viewer)
    assert viewer.layer is None
    assert viewer.reasons[-1] is Reason.STARVED
    assert [decision.layer for decision in viewer.decisions] == [1, 0, None]


def test_where_most_is_lost_sound_goes_on_alone_before_a_client_gives_the_session_up() -> None:
    """Clients do after five seconds without a picture (functions/web/client/src/room/media-health.ts)."""
    viewer = started(2)
    viewer.feed(Estimate(viewer.now, 3_000_000, probing=True))
    began = viewer.now
    while not viewer.adaptation.sound_alone:
        assert viewer.now - began < 5, viewer.decisions
        viewer.now = round(viewer.now + STEP_S, 3)
        viewer.feed(Estimate(viewer.now, 70_000, probing=True))
        viewer.highest, viewer.lost = viewer.highest + 20, viewer.lost + 18
        viewer.feed(Report(viewer.now, viewer.highest, viewer.lost, 400.0))
        viewer.feed(Layers(viewer.now, viewer.rates, viewer.layer))
    # By what gets through, and so at once to the lowest.
    assert [decision.layer for decision in viewer.decisions] == [0, None]


def test_an_estimate_far_below_the_lowest_layer_leads_to_sound_alone() -> None:
    viewer = started(0)
    viewer.feed(Choice(viewer.now, 0))
    viewer.passes(STARVED_FOR_S - 1, estimate=60_000)
    given = [viewer.layer]
    viewer.passes(2, estimate=60_000)
    assert [*given, viewer.layer] == [0, None]
    assert viewer.reasons == [Reason.STARVED]


def test_an_estimate_that_is_low_and_rises_does_not() -> None:
    """As it does after sound alone: by a twelfth in a second, whatever the way carries."""
    viewer = started(0)
    viewer.feed(Choice(viewer.now, 0))
    estimate = 30_000.0
    while estimate < 75_000:
        viewer.passes(STEP_S, estimate=round(estimate))
        estimate *= 1.08**STEP_S
    assert viewer.layer == 0


def test_a_bad_moment_on_the_lowest_layer_does_not() -> None:
    viewer = started(0)
    viewer.feed(Choice(viewer.now, 0))
    for _ in range(6):
        viewer.passes(STARVED_FOR_S - 2, loss=0.5, estimate=60_000)
        viewer.passes(2.4, estimate=200_000)
    assert viewer.layer == 0


def test_loss_that_repair_makes_good_does_not() -> None:
    viewer = started(0)
    viewer.feed(Choice(viewer.now, 0))
    viewer.passes(60, loss=0.15)
    assert viewer.layer == 0


def test_a_stream_without_sound_keeps_its_picture() -> None:
    viewer = started(0)
    viewer.feed(Bounds(viewer.now, sound=False))
    viewer.feed(Choice(viewer.now, 0))
    viewer.passes(60, loss=0.5)
    assert viewer.layer == 0


def test_the_picture_comes_back_on_trial_and_less_often_each_time_it_fails() -> None:
    viewer = started(0)
    waited = []
    for _ in range(6):
        until_alone(viewer)
        waited.append(until_back(viewer))
        assert (viewer.layer, viewer.reasons[-1]) == (0, Reason.TRIAL)
    assert ALONE_FOR_S <= waited[0] <= ALONE_FOR_S + 1
    assert all(later > 1.5 * earlier for earlier, later in pairwise(waited[:4]))
    assert waited[-1] <= ALONE_FOR_MAX_S + 1


def test_a_picture_that_stayed_makes_the_next_wait_short_again() -> None:
    viewer = started(0)
    for _ in range(3):
        until_alone(viewer)
        until_back(viewer)
    viewer.passes(PROVEN_AFTER_S + 1)
    until_alone(viewer)
    assert until_back(viewer) <= ALONE_FOR_S + 1


def test_loss_of_the_sound_puts_the_picture_off() -> None:
    viewer = started(0)
    until_alone(viewer)
    highest = lost = 0
    for _ in range(round(3 * ALONE_FOR_S / STEP_S)):
        highest, lost = highest + 10, lost + 3
        viewer.feed(Report(viewer.now, highest, lost, None, sound=True))
        viewer.passes(STEP_S)
    assert viewer.adaptation.sound_alone
    assert ALONE_FOR_S - 1 <= until_back(viewer) <= ALONE_FOR_S + 1


def test_an_estimate_of_sound_alone_that_comes_and_goes_with_it_does_not() -> None:
    viewer = started(0)
    until_alone(viewer)
    since = viewer.now
    while viewer.adaptation.sound_alone and viewer.now - since < 3 * ALONE_FOR_S:
        viewer.passes(STEP_S, estimate=70_000)
        viewer.passes(STEP_S, estimate=50_000)
    assert ALONE_FOR_S - 1 <= viewer.now - since <= ALONE_FOR_S + 1


def test_who_chooses_anew_gets_the_lowest_layer_again_and_the_same_choice_again_changes_nothing() -> None:
    viewer = started(1)
    until_alone(viewer)
    given = []
    for choice in (Choice(viewer.now), Choice(viewer.now, 2)):
        viewer.feed(choice)
        given.append(viewer.layer)
    assert given == [None, 0]
    assert viewer.reasons[-1] is Reason.CHOICE


def test_who_wants_no_video_is_not_given_it_on_trial() -> None:
    viewer = started(1)
    until_alone(viewer)
    viewer.feed(Choice(viewer.now, paused=True))
    assert not viewer.adaptation.sound_alone
    viewer.passes(5 * ALONE_FOR_S)
    assert viewer.layer is None


def test_the_fall_and_the_return_replay_to_the_same_decisions() -> None:
    viewer = started(2)
    until_alone(viewer)
    until_back(viewer)
    viewer.passes(20, estimate=3_000_000)
    again = Adaptation()
    trace = msgspec.json.decode(msgspec.json.encode(viewer.trace), type=list[Input])
    decisions = [decision for decision in map(again.feed, trace) if decision is not None]
    assert decisions[-len(viewer.decisions) :] == viewer.decisions
