"""Bit rates over the last second."""

from sfu_fleet.rates import RateMeter


def test_a_steady_stream_has_its_rate() -> None:
    meter = RateMeter()
    for index in range(200):
        meter.add(1_000, index * 0.01)
    assert meter.rate(1.99) == 800_000


def test_a_stream_that_has_just_begun_is_not_underrated() -> None:
    meter = RateMeter()
    for index in range(30):
        meter.add(1_000, 7.0 + index * 0.01)
    assert meter.rate(7.29) == 800_000


def test_what_has_stopped_has_no_rate_after_a_second() -> None:
    meter = RateMeter()
    meter.add(1_000, 3.0)
    assert meter.rate(3.9) > 0
    assert meter.rate(4.1) == 0
    assert meter.rate(400.0) == 0
