"""A fault, measured: what people saw of it, what became of their messages, and what the processes hold afterwards."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.soak.samples import gained, of_kernel
from tests.chaos.loss.scenario import stage, stragglers
from tests.chaos.loss.stage import Stage
from tests.chaos.loss.verdict import Verdict, judge
from tests.chaos.loss.witness import Said
from tests.chaos.table.faults import BEFORE, FAULTS
from tests.chaos.table.ground import PAUSE_S, Ground, NotPossibleError, small_disk
from tests.support import mongodb
from tests.support.replica_set import replica_set

CLIENTS: Final = 10
PER_SECOND: Final = 4.0
# Before a fault, to see people well, and after it, to see them well again: a share of how long things stand still.
_CALM: Final = 0.25
_SETTLING_S: Final = 60.0
_CLOSING_S: Final = 10.0
# A process may hold these more when people have come back to it: pools open what they need once.
DESCRIPTORS: Final = 40
MEMORY_KB: Final = 40_000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A fault and what came of it. Times in seconds are the longest of anybody; changes are of surviving processes.

    `impossible` says why the fault could not be made here; all else is then zero.
    """

    fault: str
    done: str = ""
    impossible: str = ""
    unacknowledged_s: float = 0.0
    silent_s: float = 0.0
    reconnections: int = 0
    messages: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    gaps: int = 0
    unsettled: int = 0
    memory_kb: float = 0.0
    descriptors: float = 0.0
    examples: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled, re-ordered or leaked, and everybody caught up."""
        if self.impossible:
            return True
        whole = not (self.lost or self.doubled or self.reordered or self.unsettled or self.refused)
        spoken = self.messages > 0 and self.acknowledged == self.messages
        return whole and spoken and self.memory_kb <= MEMORY_KB and self.descriptors <= DESCRIPTORS


async def rows(
    folder: Path,
    *,
    only: Collection[str] = (),
    storm: int = 150,
    pause_s: float = PAUSE_S,
    private: bool = False,
    seed: int = 1,
) -> AsyncIterator[Row]:
    """Each fault on one platform, one after the other, while people talk; a row when its mark on people is gone.

    The arguments are those of `Ground`.
    """
    rng = random.Random(seed)
    async with AsyncExitStack() as running:
        await running.enter_async_context(small_disk(folder / "state"))
        members = await running.enter_async_context(replica_set(folder / "members"))
        platform = stage(folder, clients=CLIENTS, rng=rng, mongodb_uri=members.uri)
        ground = Ground(
            await running.enter_async_context(platform),
            members,
            rng,
            folder=folder,
            storm=storm,
            pause_s=pause_s,
            private=private,
        )
        await ground.known.set_up_valkey()
        for fault in FAULTS:
            if not only or fault.__name__ in only:
                yield await _row(ground, fault)


async def _row(ground: Ground, fault: Callable[[Ground], Awaitable[str]]) -> Row:
    people, scribe = ground.stage.witnesses, ground.stage.scribe
    if fault in BEFORE:
        try:
            await BEFORE[fault](ground)
        except NotPossibleError as reason:
            return Row(fault=fault.__name__, impossible=str(reason))
        await asyncio.sleep(ground.pause_s * _CALM)
    before, first = judge(people, scribe.entries, scribe.vanished), [len(one.said) for one in people]
    connections = ground.connections
    held = _held(ground)
    for one in people:
        one.silent_s, one.heard_at = 0.0, time.monotonic()
    stop = asyncio.Event()
    talking = [asyncio.create_task(one.talk(PER_SECOND, stop)) for one in people]
    try:
        await asyncio.sleep(ground.pause_s * _CALM)
        done = await fault(ground)
        await ground.whole()
        await asyncio.sleep(ground.pause_s * _CALM)
    except NotPossibleError as reason:
        return Row(fault=fault.__name__, impossible=str(reason))
    finally:
        stop.set()
        async with asyncio.timeout(_SETTLING_S):
            await asyncio.gather(*talking)
    await scribe.compare()
    unsettled = await stragglers(people, max(scribe.entries, default=0))
    if fault.__name__.startswith("mongodb"):
        await _archived(ground.stage)
    said = [one for person, count in zip(people, first, strict=True) for one in person.said[count:]]
    return row_of(
        fault.__name__,
        done,
        before=before,
        after=judge(people, scribe.entries, scribe.vanished),
        said=said,
        silent_s=max(one.silent_s for one in people),
        reconnections=ground.connections - connections,
        unsettled=unsettled,
        changes=await _changes(held, ground),
    )


def row_of(
    fault: str,
    done: str,
    *,
    before: Verdict,
    after: Verdict,
    said: list[Said],
    silent_s: float,
    reconnections: int,
    unsettled: int,
    changes: tuple[float, float],
) -> Row:
    """The row, from everybody's records before the fault and after it."""
    memory_kb, descriptors = changes
    return Row(
        fault=fault,
        done=done,
        unacknowledged_s=round(max((one.took_s for one in said), default=0.0), 2),
        silent_s=round(silent_s, 2),
        reconnections=reconnections,
        messages=len(said),
        acknowledged=sum(one.offset is not None for one in said),
        refused=after.refused - before.refused,
        lost=after.losses - before.losses + after.unexplained - before.unexplained,
        doubled=after.duplicates - before.duplicates,
        reordered=after.reorderings - before.reorderings,
        gaps=after.gaps_announced - before.gaps_announced,
        unsettled=unsettled,
        memory_kb=memory_kb,
        descriptors=descriptors,
        examples=after.examples,
    )


def _held(ground: Ground) -> dict[int, dict[str, float]]:
    """What each process holds, by its id."""
    found = {}
    for child in ground.processes:
        with suppress(ProcessLookupError, OSError):
            found[child.pid] = of_kernel(child.pid)
    return found


async def _changes(before: dict[int, dict[str, float]], ground: Ground) -> tuple[float, float]:
    """Of the process that gained most: memory in kB, and descriptors. What is being closed gets a moment for it."""
    until = time.monotonic() + _CLOSING_S
    while True:
        memory_kb, descriptors = gained(before, _held(ground))
        if descriptors <= DESCRIPTORS or time.monotonic() > until:
            return memory_kb, descriptors
        await asyncio.sleep(0.2)


async def _archived(stage: Stage) -> None:
    """Wait until MongoDB has all that was said."""
    wanted = set(stage.scribe.entries)
    async with asyncio.timeout(_SETTLING_S), mongodb.connect(stage.stack.mongodb_uri) as client:
        while True:
            found = client["headrace"]["messages"].find({"room": stage.room}, {"offset": 1})
            if wanted <= {document["offset"] async for document in found}:
                return
            await asyncio.sleep(0.2)
