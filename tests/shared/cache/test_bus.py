"""Invalidations reach every process; a process that has missed one knows it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.cache import bus as bus_module
from shared.cache import metrics
from shared.cache.shared_level import SharedLevel
from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.shared.cache.support import Repository, counted, hurry, processes, until


async def test_an_invalidation_reaches_every_process(state: LocalStack, level: SharedLevel) -> None:
    assert await level.redis.dbsize() >= 0
    repository = Repository(a=1)
    async with processes(state.cache_url, 4) as made:
        rooms = [process.cache.family("room", int, repository.load) for process in made]
        for value in range(2, 20):
            for family in rooms:
                assert await family.get("a") == value - 1
            repository.values["a"] = value
            assert await made[value % 4].cache.invalidate("room:a")
            assert await rooms[value % 4].get("a") == value
            async with asyncio.timeout(10):
                for family in rooms:
                    while await family.get("a") != value:
                        await asyncio.sleep(0.001)
    assert repository.loads["a"] == 19


async def test_a_message_that_was_lost_is_noticed_by_the_next_heartbeat(
    state: LocalStack, level: SharedLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        assert await rooms.get("a") == 1
        repository.values["a"] = 2
        # As the script does it, but for the message.
        missed = counted(metrics.INVALIDATIONS, "missed")
        number = await level.redis.hincrby("cache:clock", "n", 1)
        await level.redis.set("cache:version:room:a", f"?:{number}:x")
        async with asyncio.timeout(10):
            while await rooms.get("a") != 2:
                await asyncio.sleep(0.01)
        assert counted(metrics.INVALIDATIONS, "missed") == missed + 1


async def test_a_server_that_is_not_the_one_it_was_is_not_believed(
    state: LocalStack, level: SharedLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    repository = Repository(a=1)
    async with processes(state.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        assert await rooms.get("a") == 1
        wanted = [(rooms.stored_as("a"), "room:a")]
        assert (await level.read(wanted))[0] is not None
        # As a replica has it that was promoted.
        await level.redis.set("cache:server", "another")
        async with processes(state.cache_url):
            assert await level.read(wanted) == [None]


@pytest_asyncio.fixture(scope="module")
async def fragile(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """A cache of its own, to be stopped and killed."""
    folder: Path = tmp_path_factory.mktemp("fragile")
    async with LocalStack(folder, mongod=False, environ=child_environ(), report=lambda _: None) as stack:
        yield stack


async def test_a_link_that_has_gone_silent_is_not_believed_and_what_was_written_meanwhile_is_told_later(
    fragile: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(bus_module, "SILENT_S", 0.5)
    repository = Repository(a=1)
    pid = fragile.process("cache").pid
    async with processes(fragile.cache_url, 2) as (one, two):
        rooms, others = (process.cache.family("room", int, repository.load) for process in (one, two))
        assert [await rooms.get("a"), await others.get("a")] == [1, 1]
        os.kill(pid, signal.SIGSTOP)
        try:
            repository.values["a"] = 2
            assert not await one.cache.invalidate("room:a")
            assert await rooms.get("a") == 2
            # No longer than the silence, and the moment for which a process that hears nothing believes itself.
            async with asyncio.timeout(10):
                while await others.get("a") != 2:
                    await asyncio.sleep(0.05)
            assert not two.connected()
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: one.connected() and two.connected())
        # What Valkey had of before is told to be old before anybody uses it here.
        assert [await rooms.get("a"), await others.get("a")] == [2, 2]


async def test_too_many_invalidations_that_wait_become_one_of_everything(
    fragile: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(bus_module, "MAX_PENDING", 10)
    repository = Repository(b=1)
    async with processes(fragile.cache_url) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        assert await rooms.get("b") == 1
        os.kill(fragile.process("cache").pid, signal.SIGSTOP)
        try:
            for number in range(20):
                assert not await one.cache.invalidate(f"room:{number}")
        finally:
            os.kill(fragile.process("cache").pid, signal.SIGCONT)
        await until(one.connected)
        repository.values["b"] = 2
        one.cache.hear_anew()
        assert await rooms.get("b") == 2


async def test_with_its_valkey_killed_the_cache_neither_fails_nor_lets_a_stampede_through(
    fragile: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr("shared.cache.cache.BLIND_S", 0.05)
    repository = Repository(**{f"k{number}": number for number in range(300)})
    async with processes(fragile.cache_url, loads_per_s=50.0) as (one,):
        rooms = one.cache.family("room", int, repository.load)
        for number in range(300):
            assert await rooms.get(f"k{number}") == number
        await fragile.kill("cache", restart=False)
        await until(lambda: not one._bus.holds(time.monotonic() - 0.1))  # type: ignore[union-attr]
        began = time.monotonic()
        repository.loads.clear()
        reads = [rooms.get(f"k{number % 300}") for number in range(3000)]
        assert await asyncio.gather(*reads) == [number % 300 for number in range(3000)]
        # A burst of a tenth of a second and then so many a second; the rest had the old.
        assert sum(repository.loads.values()) <= 50 * (time.monotonic() - began) + 6
        assert repository.loads
        await fragile.start("cache")
        await until(one.connected)
        # It has come back empty.
        loads = repository.loads["k7"]
        assert [await rooms.get("k7"), await rooms.get("k7")] == [7, 7]
        assert repository.loads["k7"] == loads + 1
