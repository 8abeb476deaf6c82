"""What is read much, or soon will be, is in a process before it is asked for there."""

import pytest

from shared.cache import metrics, warming
from shared.cache.shared_level import SharedLevel
from shared.cache.warming import MOST_READ, WINDOW_S, expected
from shared.stack.stack import LocalStack
from tests.shared.cache.support import Repository, counted, processes, until


def test_what_rises_comes_before_what_is_read_as_much_and_falls() -> None:
    current, before = {"rising": 50.0, "falling": 50.0, "gone": 0.0}, {"falling": 500.0, "gone": 500.0}
    assert expected(current, before, WINDOW_S) == ["rising", "falling"]


def test_what_was_read_is_still_expected_when_a_window_has_just_begun() -> None:
    assert expected({}, {"steady": 50.0}, 0.01) == ["steady"]


def test_what_was_read_once_is_not_expected_and_their_number_is_bounded() -> None:
    assert expected({"once": 1.0}, {}, WINDOW_S) == []
    assert len(expected({str(number): 100.0 for number in range(1000)}, {}, WINDOW_S)) == MOST_READ


@pytest.mark.usefixtures("level")
async def test_what_one_process_is_asked_for_much_comes_to_the_others(
    state: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "ROUND_S", 0.1)
    repository = Repository(a=1, b=2)
    async with processes(state.cache_url, 2, warming=True) as (one, two):
        rooms, others = (process.cache.family("room", int, repository.load) for process in (one, two))
        for _ in range(50):
            await rooms.get("a")
        await rooms.get("b")
        await until(lambda: two.cache.local.peek("room:a") is not None)
        used = counted(metrics.WARMED_USED, "room")
        assert await others.get("a") == 1
        assert counted(metrics.WARMED_USED, "room") == used + 1
        assert two.cache.local.peek("room:b") is None
    assert repository.loads == {"a": 1, "b": 1}


@pytest.mark.usefixtures("level")
async def test_a_room_that_is_about_to_go_live_comes_to_every_process_before_anybody_asks(
    state: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "ROUND_S", 0.1)
    repository = Repository(a=1)
    async with processes(state.cache_url, 2, warming=True) as (one, two):
        rooms, _ = (process.cache.family("room", int, repository.load) for process in (one, two))
        one.expect(rooms, "a")
        await until(lambda: all(process.cache.local.peek("room:a") for process in (one, two)))
    assert repository.loads == {"a": 1}


async def test_what_is_asked_for_much_is_loaded_anew_before_its_time_is_up(
    state: LocalStack, level: SharedLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await level.redis.dbsize() == 0
    monkeypatch.setattr(warming, "ROUND_S", 0.1)
    monkeypatch.setattr("shared.cache.cache.REFRESH_AHEAD", 0.0)
    monkeypatch.setattr(warming, "REFRESH_AHEAD", 0.0)
    repository = Repository(a=1)
    async with processes(state.cache_url, warming=True) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        warm = counted(metrics.LOADS, "room", "warm")
        for _ in range(20):
            await rooms.get("a")
        await until(lambda: counted(metrics.LOADS, "room", "warm") > warm)
        assert counted(metrics.LOADS, "room", "miss") >= 1
