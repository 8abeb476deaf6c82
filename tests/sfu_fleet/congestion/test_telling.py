"""Which estimates are told, and when."""

from sfu_fleet.congestion.telling import EVERY_US, Telling


def test_the_first_estimate_is_told_and_then_five_a_second() -> None:
    telling = Telling()
    told = [at for at in range(0, 1_000_001, 50_000) if telling.due(1e6, at)]
    assert told == list(range(0, 1_000_001, EVERY_US))


def test_a_fall_is_told_at_once_and_a_waver_is_not() -> None:
    telling = Telling()
    assert telling.due(1e6, 0)
    assert not telling.due(0.98e6, 1)
    assert telling.due(0.96e6, 2)
    assert not telling.due(0.95e6, 3)


def test_who_is_at_ease_hears_once_a_second_and_of_no_fall_that_leaves_enough() -> None:
    telling = Telling()
    telling.attend(5e5, 1_000_000)
    assert telling.due(2e6, 0)
    assert not telling.due(1e6, 50_000)
    assert not telling.due(6e5, 100_000)
    assert telling.due(4.9e5, 150_000)
    assert not telling.due(4.9e5, 1_149_999)
    assert telling.due(4.9e5, 1_150_000)
