"""What a viewer may get at most, and which of the limits it is."""

import pytest

from sfu_fleet.adaptation import Choice, Reason
from sfu_fleet.ceilings import Bounds, Ceiling, Ladder, TierLimit, ladder
from tests.sfu_fleet.test_adaptation import started

COSTS = (150_000, 500_000, 2_000_000)
HEIGHTS = (180, 360, 720)


@pytest.mark.parametrize(
    ("viewport", "layers", "ceiling"),
    [
        (0, (0, 1, 2), None),
        (1_080, (0, 1, 2), None),
        (720, (0, 1, 2), None),
        (401, (0, 1, 2), None),  # the layer below would be seen to be smaller
        (400, (0, 1), Ceiling.VIEWPORT),  # a tenth is not seen
        (200, (0,), Ceiling.VIEWPORT),
        (1, (0,), Ceiling.VIEWPORT),
    ],
)
def test_a_layer_taller_than_the_player_is_not_given(
    viewport: int, layers: tuple[int, ...], ceiling: Ceiling | None
) -> None:
    assert ladder(COSTS, HEIGHTS, None, Bounds(0.0, viewport)) == Ladder(layers, ceiling)


def test_heights_that_are_not_known_limit_nothing() -> None:
    bounds = Bounds(0.0, 100, TierLimit(height=100))
    assert ladder(COSTS, (0, 0, 0), None, bounds) == Ladder((0, 1, 2), None)
    assert ladder(COSTS, (), None, bounds) == Ladder((0, 1, 2), None)


@pytest.mark.parametrize(
    ("tier", "layers"),
    [
        (TierLimit(height=480), (0, 1)),
        (TierLimit(bitrate=400_000), (0,)),
        (TierLimit(height=720, bitrate=600_000), (0, 1)),
        (TierLimit(height=100), (0,)),  # the cheapest one is for everybody
    ],
)
def test_a_tier_is_given_what_it_is_for(tier: TierLimit, layers: tuple[int, ...]) -> None:
    assert ladder(COSTS, HEIGHTS, None, Bounds(0.0, tier=tier)) == Ladder(layers, Ceiling.TIER)


def test_the_least_of_all_limits_binds_and_is_named() -> None:
    bounds = Bounds(0.0, 300, TierLimit(height=200))
    assert ladder(COSTS, HEIGHTS, 1, bounds) == Ladder((0,), Ceiling.TIER)
    assert ladder(COSTS, HEIGHTS, 0, bounds) == Ladder((0,), Ceiling.CHOICE)
    assert ladder(COSTS, HEIGHTS, 2, Bounds(0.0, 300)) == Ladder((0, 1), Ceiling.VIEWPORT)
    assert ladder((0, 0, 0), HEIGHTS, 1, bounds) == Ladder((), None)


def test_limits_are_about_layers_with_all_their_frames() -> None:
    halved = (*COSTS, 90_000, 300_000, 450_000)
    assert ladder(halved, HEIGHTS, None, Bounds(0.0), 3) == Ladder((3, 0, 4, 5, 1, 2), None)
    bounds = (Bounds(0.0, 360), Bounds(0.0, tier=TierLimit(height=360)), Bounds(0.0, tier=TierLimit(bitrate=600_000)))
    for bound in bounds:
        assert ladder(halved, HEIGHTS, None, bound, 3).layers == (3, 0, 4, 1), "none of the largest, whatever it costs"
    assert ladder(halved, HEIGHTS, 1, Bounds(0.0), 3) == Ladder((3, 0, 4, 1), Ceiling.CHOICE)
    same = (*COSTS, *COSTS)
    assert ladder(same, HEIGHTS, None, Bounds(0.0), 3).layers == (3, 0, 4, 1, 5, 2)


def test_a_player_that_shrinks_takes_the_viewer_down_at_once_and_one_that_grows_lets_them_up_again() -> None:
    viewer = started(2)
    viewer.heights = HEIGHTS
    viewer.passes(1, estimate=3_000_000)
    viewer.feed(Bounds(viewer.now, 300))
    assert (viewer.layer, viewer.reasons, viewer.adaptation.ceiling) == (1, [Reason.VIEWPORT], Ceiling.VIEWPORT)
    assert viewer.decisions[-1].ceiling is Ceiling.VIEWPORT
    viewer.passes(30, estimate=3_000_000)
    assert viewer.layer == 1
    viewer.feed(Bounds(viewer.now, 700))
    viewer.passes(10, estimate=3_000_000)
    assert (viewer.layer, viewer.adaptation.ceiling, viewer.adaptation.at_best) == (2, None, True)


def test_heights_that_become_known_apply_the_limit_that_waited_for_them() -> None:
    viewer = started(2)
    viewer.feed(Bounds(viewer.now, tier=TierLimit(height=360)))
    viewer.passes(1, estimate=3_000_000)
    assert viewer.layer == 2
    viewer.heights = HEIGHTS
    viewer.passes(1, estimate=3_000_000)
    assert (viewer.layer, viewer.reasons) == (1, [Reason.TIER])


def test_a_choice_below_the_other_limits_is_the_one_that_is_named() -> None:
    viewer = started(2)
    viewer.heights = HEIGHTS
    viewer.feed(Bounds(viewer.now, 300))
    viewer.feed(Choice(viewer.now, 0))
    viewer.passes(1)
    assert (viewer.layer, viewer.adaptation.ceiling) == (0, Ceiling.CHOICE)


def test_what_the_way_does_not_carry_is_not_called_a_limit() -> None:
    viewer = started(2)
    viewer.heights = HEIGHTS
    viewer.feed(Bounds(viewer.now, 400))
    viewer.passes(2.4, loss=0.4)
    assert (viewer.layer, viewer.adaptation.ceiling, viewer.adaptation.at_best) == (0, None, False)
