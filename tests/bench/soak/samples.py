"""What is measured of each process: memory, descriptors and threads by the kernel, tasks and queues by itself."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.stack.stack import LocalStack
from shared.telemetry.catalogue import process, signaling
from tests.bench import machine
from tests.bench.soak.trend import Allowance

TASKS: Final = "tasks"
BACKLOG: Final = "backlog_frames"
# By name of the series; its unit is in the name. Memory of an allocator that reuses it creeps before it settles.
SERIES: Final = {
    "rss_kb": Allowance(0.05, 4096.0),
    "descriptors": Allowance(0.05, 4.0),
    "threads": Allowance(0.0, 1.0),
    TASKS: Allowance(0.05, 8.0),
    BACKLOG: Allowance(0.0, 50.0),
}
# Their memory is what they keep for others, and grows with it.
STORES: Final = ("mongod", "valkey")
_GAUGES: Final = {process.TASKS.name: TASKS, signaling.BACKLOG.name: BACKLOG}

Sample = dict[str, dict[str, float]]  # process: series: value


async def sample(stack: LocalStack, http: httpx.AsyncClient) -> Sample:
    """One look at all processes of a stack; one that is not there now is left out."""
    endpoints = {endpoint.name: endpoint for endpoint in (*stack.functions, *stack.workers)}
    found: Sample = {}
    for name in (*endpoints, "valkey", "cache", "mongod", "balancer"):
        with suppress(KeyError, ProcessLookupError, OSError):
            found[name] = await asyncio.to_thread(of_kernel, stack.process(name).pid)
    for name, endpoint in endpoints.items():
        with suppress(httpx.HTTPError):
            response = await http.get(f"http://127.0.0.1:{endpoint.metrics_port}/metrics")
            found.setdefault(name, {}).update(_gauges(response.text))
    return found


def of_kernel(pid: int) -> dict[str, float]:
    """Resident memory in kB, descriptors and threads of a process and all below it."""
    totals = {"rss_kb": 0.0, "descriptors": 0.0, "threads": 0.0}
    for one in machine.descendants(pid):
        folder = Path(f"/proc/{one}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text(encoding="utf-8").splitlines())
        totals["rss_kb"] += float(status.get("VmRSS", "0 kB").split()[0])
        totals["threads"] += float(status["Threads"])
        totals["descriptors"] += len(list((folder / "fd").iterdir()))
    return totals


def gained(before: dict[int, dict[str, float]], after: dict[int, dict[str, float]]) -> tuple[float, float]:
    """Of what processes hold (`of_kernel`), by their ids: memory in kB and descriptors, each of whoever gained most.

    One that is not in both is another one: it cannot have leaked.
    """
    memory_kb, descriptors = (
        max((after[pid][what] - before[pid][what] for pid in before.keys() & after.keys()), default=0.0)
        for what in ("rss_kb", "descriptors")
    )
    return memory_kb, descriptors


def _gauges(text: str) -> dict[str, float]:
    return {
        _GAUGES[line.name]: line.value
        for family in text_string_to_metric_families(text)
        for line in family.samples
        if line.name in _GAUGES
    }
