"""Transport-wide feedback: what came, and when, is what the sender reads."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import transport_feedback
from sfu_fleet.transport_feedback import Arrivals, by_number

TICK = 1 / 4_000


def body(packet: bytes) -> bytes:
    """The content without header and padding."""
    assert packet[1] == 205
    assert packet[0] & 0x1F == 15
    assert len(packet) == 4 + 4 * int.from_bytes(packet[2:4], "big")
    return packet[4 : len(packet) - packet[-1]] if packet[0] & 0x20 else packet[4:]


def told(arrivals: Arrivals) -> list[transport_feedback.Feedback]:
    return [transport_feedback.read(body(packet)) for packet in arrivals.take(1, 2)]


@given(
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.integers(1, 30), st.integers(-200, 3_000)), min_size=1, max_size=200),
    st.floats(0, 10_000_000),
)
def test_each_arrival_is_told_once_within_a_tick(first: int, steps: list[tuple[int, int]], began: float) -> None:
    arrivals = Arrivals()
    sequence, now = first, began
    sent = {}
    for step, ticks in steps:
        sequence = (sequence + step) & 0xFFFF
        now = max(0.0, now + ticks * TICK)
        arrivals.arrived(sequence, now)
        sent[sequence] = now
    read: dict[int, float] = {}
    for feedback in told(arrivals):
        for number, at in by_number(feedback).items():
            if at is not None:
                assert number not in read
                read[number] = at
    assert set(read) == set(sent)
    # The reference time wraps at 2^24 times 64 ms.
    span = (1 << 24) * 0.064
    for number, at in read.items():
        assert min((sent[number] - at) % span, (at - sent[number]) % span) <= TICK
    assert not arrivals


def test_what_is_missing_in_between_is_told_as_missing() -> None:
    arrivals = Arrivals()
    for sequence in (65_534, 65_535, 2):
        arrivals.arrived(sequence, 1.0)
    (feedback,) = told(arrivals)
    assert by_number(feedback) == {65_534: 1.0, 65_535: 1.0, 0: None, 1: None, 2: 1.0}


def test_a_packet_that_comes_after_the_feedback_is_told_in_the_next() -> None:
    arrivals = Arrivals()
    arrivals.arrived(10, 1.0)
    arrivals.arrived(12, 1.0)
    first = told(arrivals)[0]
    arrivals.arrived(11, 1.25)
    second = told(arrivals)[0]
    assert (first.count, second.count) == (0, 1)
    assert by_number(second) == {11: 1.25}


def test_a_pause_longer_than_a_delta_begins_another_packet() -> None:
    arrivals = Arrivals()
    arrivals.arrived(1, 1.0)
    arrivals.arrived(2, 60.0)
    assert [by_number(feedback) for feedback in told(arrivals)] == [{1: 1.0}, {2: 60.0}]


def test_a_vector_of_one_bit_symbols_is_read() -> None:
    packet = bytes.fromhex("00000001 00000002 0005 0003 000001 07") + b"\xa8\x00\x04\x08"
    feedback = transport_feedback.read(packet)
    assert by_number(feedback) == {5: 0.064 + 4 * TICK, 6: None, 7: 0.064 + 12 * TICK}


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        transport_feedback.read(data)


def test_a_run_of_nothing_does_not_go_on_for_ever() -> None:
    with pytest.raises(ValueError, match="no packets"):
        transport_feedback.read(bytes(10) + b"\x00\x05" + bytes(40))
