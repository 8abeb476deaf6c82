"""`task bench:placement`: a fleet's evening in simulated time, under our placement, a random one, and round robin.

The decisions are those of production (`shared.placement`), against a model of the state in Redis that a test holds
beside the scripts; all policies have the same admission. What a placement costs with a real server is measured too.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from shared.placement.decision import VIEWERS_SHARE
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from tests.bench.machine import describe, pin
from tests.bench.placement import server
from tests.bench.placement.policies import headrace, random_worker, round_robin
from tests.bench.placement.scenario import Result, Scenario, run
from tests.bench.placement.world import Shape

SEED = 7


def main(arguments: list[str] | None = None) -> None:
    """Simulate, measure, print."""
    options = _parser().parse_args(arguments)
    shape = Shape(options.workers, capacity_pps=options.capacity)
    scenario = Scenario(
        shape,
        rooms=options.rooms,
        viewers=options.viewers,
        burst=options.viewers // 10,
        failing=max(1, options.workers // 50),
        draining=max(1, options.workers // 25),
        ramp_s=options.ramp,
        quiet_s=options.quiet,
    )
    print(f"Machine: {describe()}")
    print(
        f"Simulated: {options.workers} workers of {shape.capacity_pps} packets/s in {len(shape.zones)} zones, "
        f"{options.rooms} rooms, {options.viewers} viewers by Zipf's law; {scenario.churn:.0%} of them change each "
        f"second; {scenario.burst} more come to one room within 10 s; then {scenario.failing} workers fail at once and "
        f"{scenario.draining} are drained and replaced. A viewer is {shape.viewer_pps} packets/s, a pull "
        f"{shape.pull_pps}. All policies have the same admission: {VIEWERS_SHARE:.0%} of a budget for viewers."
    )
    results = [run(scenario, policy, SEED) for policy in (headrace(), random_worker(Random(SEED)), round_robin())]
    _table(results)
    cost = asyncio.run(_cost(options))
    print(
        f"\nWith a real Valkey on a core of its own, {server.AT_ONCE} at once, which saturate the functions' core: "
        f"{cost.placements} placements, P50 {cost.p50_ms:.2f} ms, "
        f"P95 {cost.p95_ms:.2f} ms; processor time of each: server {cost.server_us:.0f} µs, function "
        f"{cost.client_us:.0f} µs; a worker's renewal costs the server {cost.renewals_us:.0f} µs."
    )
    ours, luck, turns = results
    print(
        json.dumps(
            {
                "bench": "placement",
                "workers": options.workers,
                "rooms": options.rooms,
                "viewers": options.viewers,
                **{f"{_key(result)}_utilisation_percent": round(100 * result.utilisation, 1) for result in results},
                **{f"{_key(result)}_rejected_percent": _share(result.rejected, result.joins) for result in results},
                **{f"{_key(result)}_moves": result.moves for result in results},
                **{f"{_key(result)}_worst_over_mean_ratio": round(result.worst_over_mean, 2) for result in results},
                **{f"{_key(result)}_pulled_percent": round(100 * result.pulled, 1) for result in results},
                **{f"{_key(result)}_highest_load_percent": round(100 * result.highest_load, 1) for result in results},
                "headrace_pulls_over_random_ratio": round(ours.edges / luck.edges, 3),
                "headrace_pulls_over_round_robin_ratio": round(ours.edges / turns.edges, 3),
                "decision_us": round(ours.decision_us, 1),
                "placement_p95_ms": round(cost.p95_ms, 2),
                "placement_server_us": round(cost.server_us, 1),
                "placement_function_us": round(cost.client_us, 1),
            }
        )
    )


def _table(results: list[Result]) -> None:
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("utilisation, mean", lambda result: f"{result.utilisation:.1%}"),
        ("utilisation, highest second", lambda result: f"{result.peak_utilisation:.1%}"),
        ("viewers who came", lambda result: str(result.joins)),
        ("rejected for good", lambda result: f"{result.rejected} ({result.rejected / result.joins:.2%})"),
        ("refusals, tried again", lambda result: str(result.refusals)),
        ("moves of viewers", lambda result: str(result.moves)),
        ("moves of one viewer at most", lambda result: str(result.moved_at_most)),
        ("origins moved", lambda result: str(result.origins_moved)),
        ("pulls at a time", lambda result: str(result.edges)),
        ("pulled / watched packets", lambda result: f"{result.pulled:.1%}"),
        ("viewers in their own zone", lambda result: f"{result.own_zone:.1%}"),
        ("worst worker / mean", lambda result: f"{result.worst_over_mean:.2f}"),
        ("P99 worker / mean", lambda result: f"{result.p99_over_mean:.2f}"),
        ("highest load of a worker", lambda result: f"{result.highest_load:.1%}"),
        ("processor time of a decision", lambda result: f"{result.decision_us:.0f} µs"),
    ]
    print(f"\n{'':30}" + "".join(f"{result.policy:>18}" for result in results))
    for name, show in rows:
        print(f"{name:30}" + "".join(f"{show(result):>18}" for result in results))


async def _cost(options: argparse.Namespace) -> server.Cost:
    with tempfile.TemporaryDirectory() as folder:
        async with LocalStack(Path(folder), mongod=False, environ={}, report=lambda _: None) as stack:
            redis = connect_redis(stack.redis_url)
            pid = stack.process("valkey").pid or 0
            cores = sorted(os.sched_getaffinity(0))
            pin(pid, {cores[-1]})
            os.sched_setaffinity(0, {cores[0]})
            try:
                return await server.measure(
                    redis, pid, workers=options.workers, rooms=options.rooms // 10, placements=options.placements
                )
            finally:
                os.sched_setaffinity(0, cores)
                await redis.aclose()


def _key(result: Result) -> str:
    return result.policy.replace(" ", "_")


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench:placement", description="Placement in simulated time, and its cost.")
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--capacity", type=int, default=90_000, help="packets/s of a worker")
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--viewers", type=int, default=60_000)
    parser.add_argument("--ramp", type=int, default=20, help="simulated seconds until all are there")
    parser.add_argument("--quiet", type=int, default=5, help="simulated seconds between two events")
    parser.add_argument("--placements", type=int, default=4_000, help="placements with a real server")
    return parser


if __name__ == "__main__":
    main()
