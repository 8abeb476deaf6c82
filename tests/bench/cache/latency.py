"""What a read costs that each level answers, beside a bare GET of the same bytes and a bare read of MongoDB."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from shared.cache.rooms import CachedDirectory
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb, connect_redis
from shared.state.directory import RoomDirectory
from tests.bench.cache.rooms import DATABASE, directories, made
from tests.bench.machine import percentile

_ROUND = 100


async def measure(stack: LocalStack, reads: int) -> dict[str, Any]:
    """Latencies in µs, one read after the other; `reads` of each, of the first level twenty times as many."""
    client, redis = connect_mongodb(stack.mongodb_uri), connect_redis(stack.cache_url)
    rooms = [room.id for room in await made(client, _ROUND)]
    found: dict[str, Any] = {}
    async with directories(stack, 1, warming=False) as ((process, cached),):
        local = process.cache.local

        async def near(number: int) -> None:
            await cached.find(rooms[number % _ROUND])

        async def far(number: int) -> None:
            local.invalidate([f"room:{rooms[number % _ROUND]}"])
            await cached.find(rooms[number % _ROUND])

        async def miss(number: int) -> None:
            await process.cache.invalidate(f"room:{rooms[number % _ROUND]}")
            await cached.find(rooms[number % _ROUND])

        async def invalidate(number: int) -> None:
            await process.cache.invalidate(f"room:{rooms[number % _ROUND]}")

        bare = RoomDirectory(client, DATABASE)

        async def repository(number: int) -> None:
            await bare.find(rooms[number % _ROUND])

        for number in range(_ROUND):
            await cached.find(rooms[number])
        key = await _entry(redis, cached, rooms[0])

        async def get(_number: int) -> None:
            await redis.get(key)

        for name, read, times in (
            ("l1", near, 20 * reads),
            ("l2", far, reads),
            ("bare_redis_get", get, reads),
            ("invalidate", invalidate, reads),
            ("invalidate_and_miss", miss, reads),
            ("bare_mongodb_find", repository, reads),
        ):
            found |= await _timed(name, read, times)
    await redis.aclose()
    await client.close()
    return found


async def _entry(redis: Redis, cached: CachedDirectory, room: str) -> str:
    key = f"cache:entry:{cached._found.stored_as(room)}"
    assert await redis.get(key)
    return key


async def _timed(name: str, read: Callable[[int], Awaitable[None]], times: int) -> dict[str, Any]:
    for number in range(_ROUND):
        await read(number)
    took: list[float] = []
    began, used = time.perf_counter(), time.process_time()
    for number in range(times):
        before = time.perf_counter()
        await read(number)
        took.append((time.perf_counter() - before) * 1e6)
    wall, used = time.perf_counter() - began, time.process_time() - used
    return {
        f"{name}_p50_us": round(percentile(took, 50), 1),
        f"{name}_p99_us": round(percentile(took, 99), 1),
        f"{name}_per_cpu_second": round(times / used) if used else 0,
        f"{name}_client_core_share": round(used / wall, 2),
    }
