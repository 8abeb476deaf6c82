"""The reorder buffer: order whatever comes, within its bounds."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet.recording.ordering import Reorderer


def pushed(order: Reorderer[int], numbers: list[int], *, step_s: float = 0.0) -> list[tuple[int, bool]]:
    return [found for index, number in enumerate(numbers) for found in order.push(number, number, index * step_s)]


@given(st.permutations(range(1, 40)))
def test_any_order_becomes_the_right_one(numbers: list[int]) -> None:
    assert pushed(Reorderer(), [0, *numbers]) == [(number, False) for number in range(40)]


@given(st.lists(st.integers(0, 60), max_size=200))
def test_what_comes_out_ascends_and_says_where_something_is_missing(numbers: list[int]) -> None:
    found = pushed(Reorderer(max_held=5), numbers)
    assert [number for number, _ in found] == sorted({number for number, _ in found})
    for (earlier, _), (later, gap) in itertools.pairwise(found):
        assert gap is (later != earlier + 1)


@given(st.lists(st.integers(0, 10_000), max_size=300))
def test_it_never_holds_more_than_its_bound(numbers: list[int]) -> None:
    order: Reorderer[int] = Reorderer(max_held=8)
    for number in numbers:
        list(order.push(number, number, 0.0))
        assert len(order._held) <= 8


def test_a_missing_one_is_waited_for_so_long_and_no_longer() -> None:
    order: Reorderer[int] = Reorderer(max_wait_s=0.4)
    assert pushed(order, [0, 2]) == [(0, False)]
    assert list(order.push(3, 3, 0.39)) == []
    assert list(order.push(4, 4, 0.41)) == [(2, True), (3, False), (4, False)]
    assert list(order.push(1, 1, 0.42)) == []
