"""A hundred thousand reads by Zipf's law at several processes that begin with nothing, and then as many again.

Each read is at the next process, as behind a balancer; now and then a room is written.
"""

import asyncio
from typing import Any

from shared.cache import metrics
from shared.cache.process import ProcessCache
from shared.cache.rooms import CachedDirectory
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from tests.bench.cache.rooms import directories, made, zipf
from tests.shared.cache.support import counted

_AT_ONCE = 50


async def measure(
    stack: LocalStack, *, rooms: int, reads: int, exponent: float, processes: int, reads_per_write: int
) -> dict[str, Any]:
    """The share of reads that each level answered: `cold`, from the first on, and `steady`, of the next ones."""
    client = connect_mongodb(stack.mongodb_uri)
    names = [room.id for room in await made(client, rooms)]
    await client.close()
    result: dict[str, Any] = {"rooms": rooms, "exponent": exponent, "reads": reads}
    async with directories(stack, processes) as found:
        for seed, phase in enumerate(("cold", "steady"), 1):
            asked = zipf(names, reads, exponent, seed)
            written = zipf(names, reads // reads_per_write + 1, exponent, -seed)
            result |= {f"{phase}_{what}": value for what, value in (await _replay(found, asked, written)).items()}
    return result


async def _replay(
    found: list[tuple[ProcessCache, CachedDirectory]], asked: list[str], written: list[str]
) -> dict[str, Any]:
    before, loads = _levels(), _loads()
    every = len(asked) // len(written) + 1
    for first in range(0, len(asked), _AT_ONCE):
        batch = asked[first : first + _AT_ONCE]
        reads = (found[(first + place) % len(found)][1].find(room) for place, room in enumerate(batch))
        await asyncio.gather(*reads)
        if first % every < _AT_ONCE and written:
            await found[0][1].changed(written.pop())
    after = {level: count - before[level] for level, count in _levels().items()}
    total = sum(after.values())
    return {
        "rooms_asked_for": len(set(asked)),
        "l1_share": round(after["l1"] / total, 4),
        "l1_and_l2_share": round((after["l1"] + after["l2"]) / total, 4),
        "mongodb_reads": int(_loads() - loads),
    }


def _levels() -> dict[str, float]:
    return {level: counted(metrics.READS, "room", level) for level in ("l1", "l2", "l3")}


def _loads() -> float:
    return sum(counted(metrics.LOADS, "room", why) for why in ("miss", "refresh", "warm", "direct"))
