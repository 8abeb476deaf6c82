"""Transport-wide feedback: what came, and when, is what the sender reads."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import transport_feedback
from sfu_fleet.transport_feedback import Arrivals, by_number

TICK = 1 / 4_000
# Sender, media, base 5, three packets, reference time 64 ms, count 7.
HEAD = bytes.fromhex("00000001 00000002 0005 0003 000001 07")


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


def test_what_is_missing_between_two_packets_is_told_as_missing() -> None:
    arrivals = Arrivals()
    arrivals.arrived(1, 1.0)
    assert [by_number(feedback) for feedback in told(arrivals)] == [{1: 1.0}]
    arrivals.arrived(4, 1.0)
    assert [by_number(feedback) for feedback in told(arrivals)] == [{2: None, 3: None, 4: 1.0}]
    arrivals.arrived(2_000, 2.0)
    (feedback,) = told(arrivals)
    assert feedback.ticks[:-1] == (None,) * 399
    assert feedback.ticks[-1] is not None


def test_a_pause_longer_than_a_delta_begins_another_packet() -> None:
    arrivals = Arrivals()
    arrivals.arrived(1, 1.0)
    arrivals.arrived(2, 60.0)
    assert [by_number(feedback) for feedback in told(arrivals)] == [{1: 1.0}, {2: 60.0}]


def test_a_vector_of_one_bit_symbols_is_read() -> None:
    feedback = transport_feedback.read(HEAD + b"\xa8\x00\x04\x08")
    assert by_number(feedback) == {5: 0.064 + 4 * TICK, 6: None, 7: 0.064 + 12 * TICK}


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    for read in (transport_feedback.read, transport_feedback.parse):
        with contextlib.suppress(ValueError):
            read(data)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (HEAD + b"\xd5\x40\x04\x08", "truncated"),
        (HEAD + b"\xd5", "truncated"),
        (HEAD[:15], "truncated"),
        (HEAD + b"\xf5\x40\x04\x08\x08", "reserved"),
        (HEAD + b"\x60\x03", "reserved"),
        (HEAD + b"\x20\x03\x01\x02\x03" + bytes(4), "follows"),
        (HEAD[:10] + b"\x00\x00" + HEAD[12:], "no packets"),
        (HEAD[:10] + b"\x08\x01" + HEAD[12:] + b"\x08\x01", "more than are remembered"),
    ],
)
def test_what_breaks_the_format_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        transport_feedback.read(body)


def test_a_whole_packet_is_as_long_as_it_says() -> None:
    arrivals = Arrivals()
    for sequence in range(4):
        arrivals.arrived(sequence, 1.0)
    (packet,) = arrivals.take(1, 2)
    assert transport_feedback.parse(packet).base == 0
    for broken in (packet + bytes(4), packet[:-4], bytes((packet[0] ^ 0x40,)) + packet[1:], packet[:-1] + b"\xff"):
        with pytest.raises(ValueError, match=r"long|not a packet"):
            transport_feedback.parse(broken)


def test_zeros_that_fill_the_last_word_need_not_be_called_padding() -> None:
    assert transport_feedback.read(HEAD + b"\x20\x03\x01\x02\x03\x00\x00\x00").ticks == (1, 3, 6)


def test_a_run_of_nothing_does_not_go_on_for_ever() -> None:
    with pytest.raises(ValueError, match="no packets"):
        transport_feedback.read(bytes(10) + b"\x00\x05" + bytes(40))
