"""The SFU fleet as functions see it: which workers there are, how loaded they are, and where a room's stream goes.

Workers write themselves in with a lease that expires unless renewed, so a dead one disappears by itself.
"""

import random
from typing import Any

import msgspec
from redis.asyncio import Redis

from shared.state.scripts import load_script

LEASE_MS = 5000
ORIGIN_LIFETIME_S = 60

# One hash tag: the scripts work on all of the fleet's keys at once.
_LEASES, _WORKERS, _PLACED = "{fleet}:leases", "{fleet}:workers", "{fleet}:placed"


class NoWorkerAvailable(Exception):  # noqa: N818 - the state, as operators call it
    """No worker with a valid lease has capacity left."""


class Worker(msgspec.Struct, frozen=True):
    """What a worker reports of itself. `load_pps` and `capacity_pps` are packets sent per second, now and at most.

    `recordings` is the id of the folder of recordings that it can read, empty while there is none.
    """

    id: str
    url: str
    capacity_pps: int
    load_pps: int
    publishers: int
    subscribers: int
    draining: bool
    recordings: str = ""


class Fleet:
    """The registry of workers, and placement.

    Every method raises `redis.exceptions.RedisError` when the server cannot be reached within its time-outs.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._renew = load_script(redis, "renew")
        self._place = load_script(redis, "place")

    async def renew(self, worker: Worker) -> None:
        """Register the worker, or renew its lease, for `LEASE_MS`."""
        record = msgspec.json.encode(worker)
        await self._renew(keys=[_LEASES, _WORKERS, _PLACED], args=[worker.id, record, LEASE_MS])

    async def withdraw(self, worker_id: str) -> None:
        """Take a worker out of the registry at once."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(_LEASES, worker_id)
            pipeline.hdel(_WORKERS, worker_id)
            pipeline.hdel(_PLACED, worker_id)
            await pipeline.execute()

    async def find(self, worker_id: str) -> Worker | None:
        """The worker of that id, if its lease is valid."""
        return next((worker for worker in await self.workers() if worker.id == worker_id), None)

    async def workers(self) -> list[Worker]:
        """All workers with a valid lease."""
        seconds, microseconds = await self._redis.time()
        alive: list[Any] = await self._redis.zrangebyscore(_LEASES, seconds * 1_000_000 + microseconds, "+inf")
        if not alive:
            return []
        records: list[Any] = await self._redis.hmget(_WORKERS, alive)
        return [msgspec.json.decode(record, type=Worker) for record in records if record]

    async def place(self, room: str) -> Worker:
        """The worker for a room's stream: the one that has it, or the better of two random ones with capacity.

        Raises:
            NoWorkerAvailable: there is none.
        """
        record = await self._place(
            keys=[_LEASES, _WORKERS, _PLACED, f"{{fleet}}:origin:{room}"],
            args=[random.random(), random.random(), ORIGIN_LIFETIME_S],  # noqa: S311 - load spreading, not security
        )
        if record is None:
            message = "no SFU worker has capacity left"
            raise NoWorkerAvailable(message)
        return msgspec.json.decode(record, type=Worker)
