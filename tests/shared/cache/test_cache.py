"""Reading through three levels, each time with a real Valkey as the second."""

import asyncio

import pytest

from shared.cache import metrics, shared_level
from shared.cache.family import Policy
from shared.cache.shared_level import SharedLevel
from shared.stack.stack import LocalStack
from tests.shared.cache.support import Repository, counted, processes, until

pytestmark = pytest.mark.usefixtures("level")


async def test_a_thing_is_loaded_once_and_then_found_in_the_process_and_by_others_in_valkey(state: LocalStack) -> None:
    repository = Repository(a=1)
    async with processes(state.cache_url, 2) as (one, two):
        rooms, others = (process.cache.family("room", int, repository.load) for process in (one, two))
        before = {level: counted(metrics.READS, "room", level) for level in ("l1", "l2", "l3")}
        assert [await rooms.get("a"), await rooms.get("a"), await others.get("a"), await others.get("a")] == [
            1,
            1,
            1,
            1,
        ]
        after = {level: counted(metrics.READS, "room", level) - before[level] for level in before}
    assert repository.loads == {"a": 1}
    assert after == {"l1": 2, "l2": 1, "l3": 1}


async def test_a_thousand_reads_at_once_of_four_processes_are_one_load(state: LocalStack) -> None:
    repository = Repository(a=1)
    repository.open.clear()
    async with processes(state.cache_url, 4) as made:
        rooms = [process.cache.family("room", int, repository.load) for process in made]
        joined = counted(metrics.JOINED, "room", "process")
        reads = [asyncio.create_task(family.get("a")) for family in rooms for _ in range(250)]
        await until(lambda: repository.loads["a"] == 1)
        await until(lambda: counted(metrics.JOINED, "room", "process") - joined == 4 * 249)
        repository.open.set()
        assert await asyncio.gather(*reads) == [1] * 1000
    assert repository.loads == {"a": 1}


async def test_a_lease_whose_holder_is_gone_holds_nobody_up_for_long(
    state: LocalStack, level: SharedLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_level, "LEASE_MS", 200)
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        assert (await level.begin(rooms.stored_as("a"), rooms.tag("a"))).leased
        assert await rooms.get("a") == 1


async def test_a_load_that_fails_fails_for_those_who_wait_and_the_next_one_tries_again(state: LocalStack) -> None:
    repository = Repository(a=1)
    repository.error = LookupError("away")
    async with processes(state.cache_url, 2) as (one, two):
        rooms, others = (process.cache.family("room", int, repository.load) for process in (one, two))
        outcomes = await asyncio.gather(rooms.get("a"), rooms.get("a"), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LookupError, LookupError]
        assert repository.loads == {"a": 1}
        repository.error = None
        # The lease was given back, so nobody waits for it.
        assert await others.get("a") == 1


async def test_who_gives_up_takes_nothing_from_those_who_wait(state: LocalStack) -> None:
    repository = Repository(a=1)
    repository.open.clear()
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        first, second = asyncio.create_task(rooms.get("a")), asyncio.create_task(rooms.get("a"))
        await until(lambda: repository.loads["a"] == 1)
        first.cancel()
        repository.open.set()
        assert await second == 1
        assert first.cancelled()


async def test_that_there_is_nothing_is_remembered_until_there_is(state: LocalStack) -> None:
    repository = Repository()
    async with processes(state.cache_url, 2) as (one, two):
        rooms, others = (process.cache.family("room", int, repository.load) for process in (one, two))
        assert [await rooms.get("a"), await rooms.get("a"), await others.get("a")] == [None, None, None]
        assert repository.loads == {"a": 1}
        repository.values["a"] = 1
        await two.cache.invalidate("room:a")
        assert await others.get("a") == 1


async def test_what_is_past_its_time_is_served_while_it_is_loaded_anew(state: LocalStack) -> None:
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load, policy=Policy(fresh_s=0.02, stale_s=600))
        assert await rooms.get("a") == 1
        repository.values["a"] = 2
        repository.open.clear()
        await asyncio.sleep(0.05)
        assert [await rooms.get("a"), await rooms.get("a")] == [1, 1]
        await until(lambda: repository.loads["a"] == 2)
        assert await rooms.get("a") == 1
        repository.open.set()
        async with asyncio.timeout(10):
            while await rooms.get("a") != 2:
                await asyncio.sleep(0.01)


async def test_what_is_past_its_time_is_not_served_beyond_its_bound(state: LocalStack) -> None:
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load, policy=Policy(fresh_s=0.02, stale_s=0.02))
        assert await rooms.get("a") == 1
        repository.values["a"] = 2
        await asyncio.sleep(0.06)
        assert await rooms.get("a") == 2


async def test_when_the_repository_is_away_the_old_is_served_up_to_its_bound_and_then_the_error(
    state: LocalStack, level: SharedLevel
) -> None:
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        policy = Policy(fresh_s=60, stale_s=60, local_s=0.01)
        rooms = one.cache.family("room", int, repository.load, policy=policy)
        assert await rooms.get("a") == 1
        await level.redis.flushall()  # so that it must be loaded when the process does not believe itself any more
        repository.error = LookupError("away")
        await asyncio.sleep(0.02)
        stale = counted(metrics.STALE, "room", "error")
        assert await rooms.get("a") == 1
        assert counted(metrics.STALE, "room", "error") == stale + 1
        await one.cache.invalidate("room:a")
        with pytest.raises(LookupError):
            await rooms.get("a")


async def test_what_was_made_of_others_goes_with_them_in_every_process(state: LocalStack) -> None:
    repository = Repository(a=1, b=2)
    async with processes(state.cache_url, 2) as (one, two):
        pages = []
        for process in (one, two):
            rooms = process.cache.family("room", int, repository.load)

            async def page(key: str, rooms: object = rooms) -> tuple[int | None, ...]:
                return tuple([await rooms.get(letter) for letter in key])  # type: ignore[attr-defined]

            pages.append(process.cache.family("room_page", tuple[int | None, ...], page))
        assert [await pages[0].get("ab"), await pages[1].get("ab")] == [(1, 2), (1, 2)]
        repository.values["b"] = 3
        await one.cache.invalidate("room:b")
        assert await pages[0].get("ab") == (1, 3)
        async with asyncio.timeout(10):
            while await pages[1].get("ab") != (1, 3):
                await asyncio.sleep(0.005)
    assert repository.loads == {"a": 1, "b": 2}


async def test_a_value_may_tell_its_own_tags(state: LocalStack) -> None:
    repository = Repository(a=7)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load, tags_of=lambda value: [f"owner:{value}"])
        # A tag that nobody has asked for is kept by a second load at the latest.
        assert [await rooms.get("a"), await rooms.get("a")] == [7, 7]
        loads = repository.loads["a"]
        await one.cache.invalidate("owner:8")
        assert await rooms.get("a") == 7
        await one.cache.invalidate("owner:7")
        assert await rooms.get("a") == 7
    assert repository.loads["a"] == loads + 1


async def test_what_another_release_wrote_is_as_good_as_nothing(state: LocalStack, level: SharedLevel) -> None:
    repository = Repository(a=1)

    async def text(key: str) -> str:
        return f"{await repository.load(key)}!"

    async with processes(state.cache_url, 2) as (one, two):
        assert await one.cache.family("room", int, repository.load).get("a") == 1
        assert await two.cache.family("room", str, text).get("a") == "1!"
        rooms = one.cache.family("room_page", int, repository.load)
        await level.redis.set(f"cache:entry:{rooms.stored_as('a')}", b"\x00 what is this")
        assert await rooms.get("a") == 1


async def test_whatever_valkey_evicts_makes_entries_invalid_and_never_valid_again(
    state: LocalStack, level: SharedLevel
) -> None:
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        wanted = [(rooms.stored_as("a"), "room:a")]
        for key in ("cache:version:room:a", "cache:version:*"):
            assert await rooms.get("a") == 1
            assert (await level.read(wanted))[0] is not None
            await level.redis.delete(key)
            assert await level.read(wanted) == [None]
            await level.begin(rooms.stored_as("a"), "room:a")
            assert await level.read(wanted) == [None]
            await level.redis.delete(f"cache:lease:{rooms.stored_as('a')}")
            one.cache.hear_anew()


async def test_a_key_that_is_too_long_is_not_cached(state: LocalStack, level: SharedLevel) -> None:
    key = "a" * 1000
    repository = Repository(**{key: 1})
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        assert [await rooms.get(key), await rooms.get(key)] == [1, 1]
    assert repository.loads[key] == 2
    assert not await level.redis.keys("cache:entry:*")


async def test_without_a_second_level_things_are_kept_for_a_moment() -> None:
    repository = Repository(a=1)
    async with processes("") as (one,):
        rooms = one.cache.family("room", int, repository.load)
        assert [await rooms.get("a"), await rooms.get("a")] == [1, 1]
        repository.values["a"] = 2
        assert not await one.cache.invalidate("room:a")
        assert await rooms.get("a") == 2
        repository.values["a"] = 3
        async with asyncio.timeout(10):
            while await rooms.get("a") != 3:
                await asyncio.sleep(0.05)


async def test_a_family_must_be_in_the_catalogue_of_metrics() -> None:
    async with processes("") as (one,):
        with pytest.raises(ValueError, match="unheard"):
            one.cache.family("unheard", int, Repository().load)
