"""Many small streams: by default 200 publishers and 2,000 consumers of one track each, on one machine.

Each publisher has a room of its own with a tenth of the consumers in it; all went through ICE, DTLS and SRTP. The
worker, or the workers, have one core; publishers, consumers and Valkey the other. First audio alone, then video alone.
Run with `python -m tests.bench.publishers`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Container, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.sfu import report
from tests.bench.sfu.cells import Bench, Cell
from tests.bench.sfu.stream import AUDIO_ALONE, Frames, record
from tests.bench.sfu.viewers import Viewer
from tests.bench.sfu.worker import Lag, Worker
from tests.bench.signaling.sampling import Cores


class Workers:
    """Several workers as one target: rooms go to them in turn, with publishers of one track."""

    keeps_alive = True
    joins_at_once = 8

    def __init__(self, workers: Sequence[Worker], frames: Frames) -> None:
        self.pids = [pid for worker in workers for pid in worker.pids]
        self._workers = workers
        self._video = "VP8" if frames.sizes else None
        self._at: dict[Viewer, Worker] = {}

    async def publish(self, peer: Viewer, room: int) -> None:
        """Connect a room's publisher."""
        await self._worker(peer, room).publish(peer, room, audio=self._video is None, video=self._video)

    async def view(self, viewer: Viewer, room: int) -> None:
        """Connect a consumer."""
        await self._worker(viewer, room).view(viewer, room)

    async def leave(self, viewer: Viewer) -> None:
        """Disconnect a consumer."""
        await self._at[viewer].leave(viewer)

    async def present(self) -> Container[Viewer]:
        """Whose session there is, with any of them."""
        return frozenset().union(*[await worker.present() for worker in self._workers])

    async def lag(self) -> Lag:
        """All workers' timers together."""
        lags = [await worker.lag() for worker in self._workers]
        return Lag({edge: sum(lag.counts[edge] for lag in lags) for edge in lags[0].counts})

    def _worker(self, peer: Viewer, room: int) -> Worker:
        return self._at.setdefault(peer, self._workers[room % len(self._workers)])


async def _case(arguments: argparse.Namespace, cores: Cores, frames: Frames) -> tuple[Cell, Bench]:
    async with AsyncExitStack() as running:
        started = Worker.running(arguments.plane, cores, workers=arguments.workers)
        target = Workers(await running.enter_async_context(started), frames)
        bench = await running.enter_async_context(Bench.of(target, cores))
        cell = await bench.measure(frames, arguments.consumers, arguments.seconds, rooms=arguments.publishers)
    return cell, bench


async def _main(arguments: argparse.Namespace) -> int:
    cores = Cores.of_machine()
    os.sched_setaffinity(0, {cores.rest})
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split())}")
    print(f"workers: {arguments.workers}, {arguments.plane} plane, on one core together")
    results: dict[str, Any] = {}
    cases = {"audio": AUDIO_ALONE, "video": record(arguments.kbps * 1000, audio=False)}
    for name, frames in cases.items():
        print(f"{name}:   {frames.origin}; {frames.packets_per_viewer:.0f} packets/s from each publisher")
    print(report.HEADER, flush=True)
    for name, frames in cases.items():
        cell, bench = await _case(arguments, cores, frames)
        print(report.row(name, cell), flush=True)
        sent = cell.packets_per_second + cell.lost / arguments.seconds
        results[name] = {
            "publishers": cell.rooms,
            "consumers": cell.viewers,
            "packets_in_per_second": round(sent / cell.viewers * cell.rooms),
            "packets_out_per_second": round(cell.packets_per_second),
            "workers_cores": round(cell.worker_cores, 3),
            "load_generator_cores": round(cell.rest_cores, 3),
            "lost": cell.lost,
            **report.delays(cell),
            **report.lags(cell),
            "join_cpu_ms": round(bench.join_cpu_ms, 2),
            "kb_per_consumer": round(bench.kb_per_viewer, 1),
        }
    print(json.dumps(results))
    return 0


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishers", type=int, default=200)
    parser.add_argument("--consumers", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--plane", choices=("native", "python"), default="native")
    parser.add_argument("--kbps", type=int, default=300, help="of each publisher's video")
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    raise_descriptor_limit()
    return asyncio.run(_main(arguments))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
