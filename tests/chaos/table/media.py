"""The faults of media: workers that die, stop, are cut off and drain, and ways that lose and delay packets."""

from collections.abc import AsyncIterator
from typing import Final

from tests.bench.fleet.__main__ import outcomes
from tests.bench.fleet.faults import Outcome
from tests.bench.fleet.hosts import Hosts
from tests.bench.impaired import Cell, cell, stage

# A worker may hold these more when viewers of another one have come to it.
DESCRIPTORS: Final = 60
MEMORY_KB: Final = 60_000
VIEWERS: Final = 18
OUTAGE_S: Final = 20.0
# Loss in percent and round trip in ms; the first is how it is without a fault.
WAYS: Final = ((0, 20), (5, 20), (0, 200), (5, 200))
_SECONDS: Final = 6.0


def good(row: Outcome) -> bool:
    """Whether nothing is left of it; that everybody has a picture again is what a row waits for."""
    return row.orphans == 0 and row.memory_kb <= MEMORY_KB and row.descriptors <= DESCRIPTORS


async def fleet_rows() -> AsyncIterator[Outcome]:
    """Each fault of the fleet, one after the other.

    Raises:
        TimeoutError: somebody did not get a picture again.
    """
    with Hosts(3) as hosts:
        async for row in outcomes(hosts, VIEWERS, outage_s=OUTAGE_S):
            yield row


async def way_rows() -> AsyncIterator[Cell]:
    """What Chromium shows of a stream whose way is bad."""
    async with stage() as live:
        for loss, rtt in WAYS:
            yield await cell(live, loss, rtt, _SECONDS)
