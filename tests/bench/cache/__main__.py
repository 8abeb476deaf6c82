"""The cache: what each level's answer costs, how many reads each spares the next, stampedes, invalidations, warming.

Rooms are in a real mongod, the second level is a real Valkey; these two on one core, the processes with the cache on
the other. Reads of the stampede are counted by mongod. `--races N` interleaves reads, writes, messages and evictions N
times in N orders instead (tests/shared/cache) and exits with 1 when anybody read what was invalidated. The last line is
one JSON object.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from shared.cache.shared_level import SharedLevel
from shared.stack.prerequisites import raise_descriptor_limit
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.cache import crowds, latency, replay, stampede
from tests.bench.cache.members import members
from tests.bench.signaling.sampling import Cores
from tests.conftest import child_environ
from tests.shared.cache.interleaving import StaleError
from tests.shared.cache.test_races import interleave


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    latency_reads: int = 5_000
    replay_reads: int = 100_000
    replay_rooms: tuple[int, ...] = (1_000, 2_000, 10_000)
    exponents: tuple[float, ...] = (1.0, 1.2)
    reads_per_write: int = 1_000
    processes: int = 4
    stampede_reads: int = 1_000
    stampede_rounds: int = 20
    invalidations: int = 300
    crowd_rooms: int = 80


async def measure(stack: LocalStack, sizes: Sizes) -> dict[str, Any]:
    """All of it; each part is printed when it is there."""
    result: dict[str, Any] = await latency.measure(stack, sizes.latency_reads)
    for name in ("l1", "l2", "bare_redis_get", "bare_mongodb_find", "invalidate_and_miss", "invalidate"):
        p50, p99, per_s = (result[f"{name}_{what}"] for what in ("p50_us", "p99_us", "per_cpu_second"))
        print(f"{name:20} P50 {p50:8,.1f} µs   P99 {p99:8,.1f} µs   {per_s:10,} a CPU-second")
    result["l2_to_bare_redis_get_ratio"] = round(result["l2_p50_us"] / result["bare_redis_get_p50_us"], 2)
    result["mongodb_to_l1_ratio"] = round(result["bare_mongodb_find_p50_us"] / result["l1_p50_us"], 1)
    result["replays"] = []
    for rooms in sizes.replay_rooms:
        for exponent in sizes.exponents:
            found = await replay.measure(
                stack,
                rooms=rooms,
                reads=sizes.replay_reads,
                exponent=exponent,
                processes=sizes.processes,
                reads_per_write=sizes.reads_per_write,
            )
            result["replays"].append(found)
            for phase in ("cold", "steady"):
                print(
                    f"{found['reads']:,} reads, {rooms:,} rooms, exponent {exponent}, {phase}: "
                    f"L1 {found[f'{phase}_l1_share']:.1%}, with L2 {found[f'{phase}_l1_and_l2_share']:.1%}, "
                    f"{found[f'{phase}_mongodb_reads']:,} reads of MongoDB for "
                    f"{found[f'{phase}_rooms_asked_for']:,} rooms"
                )
    async with members(stack, sizes.processes) as running:
        result |= await stampede.measure(stack, running, reads=sizes.stampede_reads, rounds=sizes.stampede_rounds)
        result |= await stampede.spread(stack, running, rounds=sizes.invalidations)
    print(
        f"{result['stampede_reads']:,} reads at once of {sizes.processes} processes: "
        f"{result['stampede_mongodb_reads_worst']} of MongoDB at worst, all answered after "
        f"{result['stampede_all_answered_p50_ms']} ms (P50)"
    )
    print(
        f"an invalidation is seen by each of {sizes.processes} processes after {result['invalidation_seen_p50_ms']} ms "
        f"(P50), {result['invalidation_seen_p99_ms']} ms (P99), {result['invalidation_seen_max_ms']} ms at most"
    )
    for warming in (False, True):
        result |= await crowds.measure(stack, rooms=sizes.crowd_rooms, processes=sizes.processes, warming=warming)
    for kind in ("announced", "rising"):
        for suffix in ("cold", "warm"):
            share, p50, p95 = (
                result[f"{kind}_{suffix}_{what}"] for what in ("l1_share", "first_read_p50_us", "first_read_p95_us")
            )
            print(f"first reads of rooms, {kind}, {suffix}: {share:.0%} in the process, P50 {p50} µs, P95 {p95} µs")
    return result


async def race(stack: LocalStack, runs: int) -> int:
    """So many interleavings; the exit code."""
    level, began = SharedLevel(stack.cache_url), time.monotonic()
    stale = ""
    try:
        # Other orders than those of the tests.
        await interleave(level, runs, first=1_000_000)
    except StaleError as error:
        stale = f"{error} {' '.join(error.__notes__)}"
    finally:
        await level.close()
    print(stale or f"{runs:,} interleavings in {time.monotonic() - began:.0f} s: nobody read what was invalidated")
    print(json.dumps({"interleavings": runs, "stale_reads": int(bool(stale))}))
    return int(bool(stale))


async def _main(arguments: argparse.Namespace) -> int:
    cores = Cores.of_machine()
    print(f"machine: {machine.describe()}")
    with tempfile.TemporaryDirectory() as folder:
        async with LocalStack(Path(folder), environ=child_environ(), report=lambda _: None) as stack:
            if arguments.races:
                return await race(stack, arguments.races)
            print(f"method:  {' '.join((__doc__ or '').split())}")
            for name in ("cache", "mongod", "valkey"):
                machine.pin(stack.process(name).pid, {cores.server})
            os.sched_setaffinity(0, {cores.rest})
            result = await measure(stack, Sizes())
    print(json.dumps(result))
    return 0


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=0, help="interleave so many times, and measure nothing")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    return asyncio.run(_main(arguments))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
