"""A thousand reads at once, at four processes, of a room that no cache has; and how an invalidation spreads."""

import asyncio
import time
from typing import Any

from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from shared.state.control import Settings
from shared.state.directory import RoomDirectory
from tests.bench.cache.members import Member
from tests.bench.cache.rooms import DATABASE, directories, made
from tests.bench.machine import percentile


async def measure(stack: LocalStack, running: list[Member], *, reads: int, rounds: int) -> dict[str, Any]:
    """Reads of MongoDB as MongoDB itself counts them, the worst of `rounds`, and how long it took until all had it."""
    client = connect_mongodb(stack.mongodb_uri)
    rooms = await made(client, rounds)
    queries: list[int] = []
    took_ms: list[float] = []
    each = reads // len(running)
    for room in rooms:
        before = (await client.admin.command("serverStatus"))["opcounters"]["query"]
        at = time.monotonic() + 0.1
        asked = {"do": "stampede", "room": room.id, "reads": each, "at": at}
        answers = await asyncio.gather(*(member.ask(**asked) for member in running))
        assert sum(answer["found"] for answer in answers) == each * len(running)
        queries.append((await client.admin.command("serverStatus"))["opcounters"]["query"] - before)
        took_ms.append(1000 * (max(answer["ended"] for answer in answers) - at))
    await client.close()
    return {
        "stampede_reads": each * len(running),
        "stampede_processes": len(running),
        "stampede_mongodb_reads_worst": max(queries),
        "stampede_rounds": rounds,
        "stampede_all_answered_p50_ms": round(percentile(took_ms, 50), 1),
        "stampede_all_answered_max_ms": round(max(took_ms), 1),
    }


async def spread(stack: LocalStack, running: list[Member], *, rounds: int) -> dict[str, Any]:
    """From the acknowledgement of an invalidation until the last process reads the new, in ms."""
    client = connect_mongodb(stack.mongodb_uri)
    uncached = RoomDirectory(client, DATABASE)
    (room,) = await made(client, 1)
    late_ms: list[float] = []
    acknowledged_ms: list[float] = []
    async with directories(stack, 1) as ((_, directory),):
        for number in range(rounds):
            watch = {"do": "watch", "room": room.id, "title": f"title {number}"}
            watching = [asyncio.create_task(member.ask(**watch)) for member in running]
            await asyncio.sleep(0.02)  # so that all of them have the old
            await uncached.note_settings(room.id, Settings(title=f"title {number}", offset=number + 1))
            began = time.monotonic()
            await directory.changed(room.id)
            at = time.monotonic()
            acknowledged_ms.append(1000 * (at - began))
            late_ms += [1000 * max(0.0, (await one)["seen"] - at) for one in watching]
    await client.close()
    return {
        "invalidation_processes": len(running),
        "invalidation_rounds": rounds,
        "invalidation_acknowledged_p50_ms": round(percentile(acknowledged_ms, 50), 2),
        "invalidation_seen_p50_ms": round(percentile(late_ms, 50), 2),
        "invalidation_seen_p99_ms": round(percentile(late_ms, 99), 2),
        "invalidation_seen_max_ms": round(max(late_ms), 2),
    }
