"""Rooms are read through the cache, at two function processes, and nobody sees what has been changed."""

import asyncio
import re

import httpx

from shared.cache import metrics
from shared.cache.process import ProcessCache
from shared.cache.rooms import CachedDirectory
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from shared.state.control import Settings
from shared.state.directory import Owner
from tests.shared.cache.support import counted, processes
from tests.support.room_client import guest


async def _metric(stack: LocalStack, name: str) -> float:
    """A metric over both processes."""
    total = 0.0
    async with httpx.AsyncClient() as http:
        for endpoint in stack.functions:
            text = (await http.get(endpoint.metrics_url)).text
            total += sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE))
    return total


async def _loads(stack: LocalStack) -> float:
    reasons = ("miss", "direct")
    return sum([await _metric(stack, f'headrace_cache_loads_total{{family="room",why="{why}"}}') for why in reasons])


async def test_a_room_that_many_ask_for_is_read_from_mongodb_a_few_times_at_most(stack: LocalStack) -> None:
    async with (
        httpx.AsyncClient(base_url=stack.functions[0].url) as one,
        httpx.AsyncClient(base_url=stack.functions[1].url) as two,
    ):
        room, _ = await (await guest(one, "Ana")).create_room()
        before = await _loads(stack)
        answers = await asyncio.gather(*((one, two)[n % 2].get(f"/v1/rooms/{room}") for n in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        # One; one more by each process that does not use the cache's Valkey at that moment.
        assert 1 <= await _loads(stack) - before <= 3


async def test_a_code_that_somebody_tries_again_and_again_is_looked_up_once(stack: LocalStack) -> None:
    async with httpx.AsyncClient(base_url=stack.functions[0].url) as http:
        before = await _loads(stack)
        for _ in range(20):
            assert (await http.get("/v1/rooms/zzzzzzzzzz")).status_code == 404
        assert await _loads(stack) - before <= 3


async def test_rooms_are_served_without_the_caches_valkey(stack: LocalStack) -> None:
    async with httpx.AsyncClient(base_url=stack.functions[0].url) as http:
        ana = await guest(http, "Ana")
        room, _ = await ana.create_room()
        await stack.kill("cache", restart=False)
        try:
            for _ in range(20):
                assert (await http.get(f"/v1/rooms/{room}")).status_code == 200
            # Making one is not refused either, though nobody can be told.
            another, _ = await ana.create_room()
            assert (await http.get(f"/v1/rooms/{another}")).status_code == 200
            assert (await http.get("/health/ready")).status_code == 200
        finally:
            await stack.start("cache")
        async with asyncio.timeout(20):
            while await _metric(stack, "headrace_cache_connected") < 2:
                await asyncio.sleep(0.1)
        assert (await http.get(f"/v1/rooms/{room}")).status_code == 200


def _directories(made: list[ProcessCache], client: object) -> list[CachedDirectory]:
    return [CachedDirectory(process, client, "cached") for process in made]  # type: ignore[arg-type]


async def test_a_title_that_the_archive_writes_is_read_by_every_process(state: LocalStack) -> None:
    client = connect_mongodb(state.mongodb_uri)
    try:
        async with processes(state.cache_url, 2) as made:
            one, two = _directories(made, client)
            room = await one.create("Before", Owner("p1", "Ana"))
            for directory in (one, two):
                found = await directory.find(room.id)
                assert found == room
            await one.note_settings(room.id, Settings(title="After", offset=1))
            async with asyncio.timeout(10):
                for directory in (one, two):
                    while (found := await directory.find(room.id)) is None or found.title != "After":
                        await asyncio.sleep(0.005)
    finally:
        await client.close()


async def test_a_list_of_rooms_is_read_once_by_many_and_anew_when_a_room_has_changed(state: LocalStack) -> None:
    client = connect_mongodb(state.mongodb_uri)
    try:
        async with processes(state.cache_url, 2) as made:
            one, two = _directories(made, client)
            first = await one.create("First", Owner("p1", "Ana"), category="pages", listed=True)
            await one.note_stream(first.id, 1, "session")
            before = counted(metrics.LOADS, "room_page", "miss")
            for _ in range(5):
                for directory in (one, two):
                    page = await directory.search("live", category="pages", limit=10)
                    assert [room.id for room in page.rooms] == [first.id]
            # A list whose tag nobody has asked for is kept by the second load; and it is fresh for two seconds.
            assert counted(metrics.LOADS, "room_page", "miss") - before <= 3
            second = await two.create("Second", Owner("p1", "Ana"), category="pages", listed=True)
            await two.note_stream(second.id, 1, "session")
            await one.delete(first.id)
            async with asyncio.timeout(10):
                for directory in (one, two):
                    while True:
                        page = await directory.search("live", category="pages", limit=10)
                        if [room.id for room in page.rooms] == [second.id]:
                            break
                        await asyncio.sleep(0.005)
    finally:
        await client.close()
