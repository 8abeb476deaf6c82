"""Rooms in MongoDB, and which of them are read: Zipf's law, as popularity on the web is usually modelled."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient

from shared.cache.process import ProcessCache
from shared.cache.rooms import CachedDirectory
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from shared.state.directory import Owner, Room, RoomDirectory
from tests.shared.cache.support import processes

DATABASE = "bench"
_AT_ONCE = 20
ENTRIES = 20_000
"""As a function process has by default."""


async def made(client: AsyncMongoClient[dict[str, Any]], count: int) -> list[Room]:
    """New rooms, and the rest of a database that has been used."""
    directory = RoomDirectory(client, DATABASE)
    found: list[Room] = []
    for first in range(0, count, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, count))
        titled = (directory.create(f"Late night synths, number {n}", Owner(f"p{n:015d}", "Ana")) for n in numbers)
        found += await asyncio.gather(*titled)
    return found


def zipf(names: list[str], reads: int, exponent: float, seed: int = 1) -> list[str]:
    """Reads in a random order, the name of rank k with a probability in proportion to k to the power of -exponent."""
    weights = list(itertools.accumulate(1 / rank**exponent for rank in range(1, len(names) + 1)))
    return random.Random(seed).choices(names, cum_weights=weights, k=reads)


@asynccontextmanager
async def directories(
    stack: LocalStack, count: int, *, warming: bool = True
) -> AsyncIterator[list[tuple[ProcessCache, CachedDirectory]]]:
    """Cached directories as of so many processes, in this one."""
    client = connect_mongodb(stack.mongodb_uri)
    try:
        async with processes(stack.cache_url, count, warming=warming, max_entries=ENTRIES) as found:
            yield [(process, CachedDirectory(process, client, DATABASE)) for process in found]
    finally:
        await client.close()
