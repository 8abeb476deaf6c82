"""The outgoing timeline: no gaps from padding, no number twice, and no jump when a source starts over."""

from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet.timeline import Timeline


def test_padding_leaves_no_gap() -> None:
    timeline = Timeline(90_000)
    timeline.rebase(100, 0, 0.0)
    assert timeline.place(100, 0, 0.0) == (100, 0)
    assert timeline.skip(101)
    assert timeline.skip(102)
    assert timeline.place(103, 30, 0.0) == (101, 30)


def test_a_packet_from_before_the_padding_still_finds_its_place() -> None:
    timeline = Timeline(90_000)
    timeline.rebase(100, 0, 0.0)
    timeline.place(100, 0, 0.0)
    timeline.skip(102)
    timeline.place(103, 0, 0.0)
    assert timeline.place(101, 0, 0.0) == (101, 0)


def test_padding_that_comes_late_must_be_sent() -> None:
    timeline = Timeline(90_000)
    timeline.rebase(100, 0, 0.0)
    timeline.place(102, 0, 0.0)
    assert not timeline.skip(101)


def test_a_new_source_continues_number_and_time() -> None:
    timeline = Timeline(90_000)
    timeline.rebase(100, 5_000, 10.0)
    timeline.place(100, 5_000, 10.0)
    timeline.rebase(70_000, 999, 10.5)
    assert timeline.place(70_000, 999, 10.5) == (101, 5_000 + 45_000)
    assert timeline.place(70_001, 999 + 3_000, 10.53) == (102, 5_000 + 48_000)
    assert timeline.place(69_999, 0, 10.6) is None


@given(
    order=st.permutations(range(1000, 1030)),
    padding=st.sets(st.integers(1000, 1029)),
    restart=st.integers(0, 29),
    repeats=st.integers(0, 3),
)
def test_no_two_packets_ever_share_a_number(order: list[int], padding: set[int], restart: int, repeats: int) -> None:
    """Under AES-GCM a shared number would give the key away, so this must hold whatever the network does."""
    timeline = Timeline(90_000)
    timeline.rebase(order[0], 0, 0.0)
    given_out: set[int] = set()
    source = 0
    for index, extended in enumerate(order):
        if index == restart and repeats:
            source += 1
            timeline.rebase(extended + 5_000 * source, 0, 1.0)
        number = extended + 5_000 * source
        if extended in padding and timeline.skip(number):
            continue
        place = timeline.place(number, 0, 1.0)
        if place is not None:
            assert place[0] not in given_out
            given_out.add(place[0])


def test_very_many_paddings_are_remembered_within_bounds_and_without_collision() -> None:
    timeline = Timeline(90_000)
    timeline.rebase(1000, 0, 0.0)
    given_out = [timeline.place(1000, 0, 0.0)]
    for extended in range(1002, 2000):
        if extended % 2:
            given_out.append(timeline.place(extended, 0, 0.0))
        else:
            timeline.skip(extended)
    late = [timeline.place(extended, 0, 0.0) for extended in (1001,)]
    numbers = [place[0] for place in (*given_out, *late) if place is not None]
    assert len(numbers) == len(set(numbers))
