"""What one placement costs with a real server: the same decisions, carried out by the scripts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

import msgspec
from redis.asyncio import Redis

from shared.placement.records import Worker
from shared.state.fleet import Fleet
from tests.bench.machine import cpu_seconds, percentile

# As many functions ask at once.
AT_ONCE = 8
_REPORT_EVERY_S = 1.0


class Cost(msgspec.Struct, frozen=True):
    """Milliseconds that a placement took, and µs of the server's and of this process' processor time for each."""

    placements: int
    p50_ms: float
    p95_ms: float
    server_us: float
    client_us: float
    renewals_us: float


async def measure(redis: Redis, server: int, *, workers: int, rooms: int, placements: int) -> Cost:
    """Place viewers in rooms of a fleet of idle workers; `server` is the process id of the server behind `redis`."""
    random = Random(1)
    records = [_worker(number) for number in range(workers)]
    fleet = Fleet(redis, random=random)
    began = cpu_seconds([server])
    for record in records:
        await fleet.renew(record)
    renewals_us = (cpu_seconds([server]) - began) / workers * 1e6
    names = [f"room-{number}" for number in range(rooms)]
    for name in names:
        await fleet.acquire_origin(name, random.choice(records).zone)
    fleets = [Fleet(redis) for _ in range(AT_ONCE)]
    took: list[float] = []

    async def place(fleet: Fleet) -> None:
        for _ in range(placements // AT_ONCE):
            started = time.perf_counter()
            await fleet.place_viewer(random.choice(names), random.choice(records).zone, viewer=str(random.random()))
            took.append((time.perf_counter() - started) * 1000)

    server_before, client_before = cpu_seconds([server]), time.process_time()
    renewing = asyncio.create_task(_keep(lambda: _renew(fleet, records)))
    await asyncio.gather(*(place(fleet) for fleet in fleets))
    renewing.cancel()
    return Cost(
        len(took),
        percentile(took, 50),
        percentile(took, 95),
        (cpu_seconds([server]) - server_before) / len(took) * 1e6,
        (time.process_time() - client_before) / len(took) * 1e6,
        renewals_us,
    )


def _worker(number: int) -> Worker:
    zone = f"eu/eu-{'abc'[number % 3]}"
    return Worker(
        f"w{number:03d}", "http://127.0.0.1:1", 200_000, 0, 0, 0, draining=False, joins_per_s=1_000_000, zone=zone,
        boot="first", relays=True,
    )  # fmt: skip


async def _renew(fleet: Fleet, records: list[Worker]) -> None:
    for record in records:
        await fleet.renew(record)


async def _keep(renew: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(_REPORT_EVERY_S)
        await renew()
