"""Does anything grow under steady load? Memory, descriptors, threads, tasks and queues of every process.

Run with `task bench:soak -- --minutes 60`: rooms open and close, people talk, stream and watch; at the end each series
is judged by its slope after the first third (trend.py). In the beginning of that all come and go ten times as often.
The last line is one JSON object; the exit code is 1 when a series grew or something went wrong.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.soak.crowd import Crowd, Plan
from tests.bench.soak.samples import SERIES, STORES, Sample, sample
from tests.bench.soak.trend import LEAST_POINTS, Trend, trend
from tests.conftest import child_environ

_LARGEST_INTERVAL_S: Final = 10.0
# Well within what is not judged yet (trend.py).
HURRIED: Final = 0.2


class Outcome(msgspec.Struct, frozen=True):
    """What came of it: a trend for each series of each process (`process/series`), what was done, what went wrong."""

    seconds: float
    trends: dict[str, Trend]
    done: dict[str, int]
    wrong: dict[str, int]
    cores: float

    @property
    def grows(self) -> list[str]:
        """What grew that should not: of stores the memory may, since rooms and what was said in them are kept."""
        return [name for name, found in self.trends.items() if not found.flat and not _stored(name)]


async def run(folder: Path, plan: Plan, *, seconds: float) -> Outcome:
    """One run on a stack of its own.

    Raises:
        ValueError: too short a run to judge anything by.
    """
    interval_s = min(_LARGEST_INTERVAL_S, seconds / (LEAST_POINTS * 2))
    times: list[float] = []
    samples: list[Sample] = []
    async with LocalStack(folder, functions=2, workers=1, environ=child_environ(), report=lambda _: None) as stack:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=stack.url, limits=limits, timeout=15) as http:
            crowd = Crowd(stack, plan)
            load = asyncio.create_task(crowd.run(http))
            began, busy = time.monotonic(), machine.busy_seconds()
            try:
                while (passed := time.monotonic() - began) < seconds:
                    times.append(passed)
                    samples.append(await sample(stack, http))
                    await asyncio.sleep(interval_s)
                    if load.done():
                        load.result()
            finally:
                load.cancel()
                await asyncio.gather(load, return_exceptions=True)
            cores = (machine.busy_seconds() - busy) / (time.monotonic() - began)
    return Outcome(times[-1], trends(times, samples), dict(crowd.done), dict(crowd.wrong), cores)


def trends(times: list[float], samples: list[Sample]) -> dict[str, Trend]:
    """The trend of each series of each process.

    Raises:
        ValueError: a series has too few points, as of a process that was not there.
    """
    names = {(process, series) for one in samples for process, found in one.items() for series in found}
    found = {}
    for process, series in sorted(names):
        points = [
            (at, one[process][series]) for at, one in zip(times, samples, strict=True) if series in one.get(process, {})
        ]
        found[f"{process}/{series}"] = trend([at for at, _ in points], [value for _, value in points], SERIES[series])
    return found


def _stored(name: str) -> bool:
    process, series = name.split("/")
    return process in STORES and series == "rss_kb"


def table(outcome: Outcome) -> str:
    """In Markdown: what stood still is told in a line for each process, what grew is marked."""
    rows = ["| process | series | first | last | most | slope per hour | |", "|---|---|---|---|---|---|---|"]
    for name, found in outcome.trends.items():
        process, series = name.split("/")
        figures = f"{found.first:,.0f} | {found.last:,.0f} | {found.most:,.0f} | {found.slope_per_hour:+,.1f}"
        verdict = "**grows**" if name in outcome.grows else "what is kept" if _stored(name) else "flat"
        rows.append(f"| {process} | {series} | {figures} | {verdict} |")
    return "\n".join(rows)


def figures(outcome: Outcome, plan: Plan) -> dict[str, Any]:
    """The one line that a program reads."""
    steepest: Counter[str] = Counter()
    for name, found in outcome.trends.items():
        series = name.split("/")[1]
        steepest[series] = max(steepest[series], found.slope_per_hour, key=abs)  # type: ignore[assignment]
    return {
        "seconds": round(outcome.seconds, 1),
        "rooms": plan.rooms,
        "people_per_room": plan.people,
        "live_rooms": plan.live,
        **outcome.done,
        "wrong": sum(outcome.wrong.values()),
        "grows": outcome.grows,
        **{f"steepest_{series}_per_hour": round(slope, 1) for series, slope in sorted(steepest.items())},
        "cores_mean": round(outcome.cores, 2),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="task bench:soak --", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rooms", type=int, default=20, help="open at any time")
    parser.add_argument("--people", type=int, default=10, help="in each room")
    parser.add_argument("--live", type=int, default=5, help="of the rooms are published to")
    parser.add_argument("--watching", type=int, default=4, help="watch each of these")
    parser.add_argument("--per-second", type=float, default=0.2, help="messages of each person")
    parser.add_argument("--room-seconds", type=float, default=120.0, help="a room's mean life")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    plan = Plan(
        rooms=arguments.rooms,
        people=arguments.people,
        live=arguments.live,
        watching=arguments.watching,
        per_second=arguments.per_second,
        room_s=arguments.room_seconds,
        hurried_s=arguments.minutes * 60 * HURRIED,
        seed=arguments.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(run(Path(folder), plan, seconds=arguments.minutes * 60))
    print(f"machine: {machine.describe()}")
    print(table(outcome))
    for what, times in outcome.wrong.items():
        print(f"wrong, {times} times: {what}")
    print(json.dumps(figures(outcome, plan)))
    sys.exit(1 if outcome.grows or outcome.wrong else 0)


if __name__ == "__main__":
    main()
