"""What one core of an SFU worker forwards: one publisher, many viewers with ICE, DTLS and SRTP, both packet planes.

The worker is alone on one core; publisher, viewers and Valkey are on the other. Beside it, in the same run and on the
worker's core, Janus with the same viewers and the same stream, and the machine's own bound: encrypting and sending the
same packets in a C loop that does nothing else. Run with `python -m tests.bench.sfu`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from sfu_fleet.dtls import Ciphers, Libsrtp
from sfu_fleet.native import gcm
from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.signaling.sampling import Cores

from . import janus, network, report
from .bound import LONG_TRAINS, Bound, Train, bound, same_traffic
from .cells import Bench, Cell, best_of, carried, cheapest_of
from .stream import Frames, record
from .worker import Worker

_BOUND_VIEWERS = 200
# Of the viewers that another bitrate's cost per packet lets expect, so many are tried first.
_CAUTION = 0.85


class Run:
    """One run of the benchmark: what it measures with, and what it has found."""

    def __init__(self, arguments: argparse.Namespace, cores: Cores) -> None:
        self._seconds: float = arguments.seconds
        self._explore: bool = not arguments.fixed
        self._rooms: int = arguments.rooms
        self._cores = cores
        self._ciphers = gcm.ciphers()
        self.frames = {kbps: record(kbps * 1000) for kbps in arguments.kbps}
        self._kbps: int = arguments.kbps[0]

    @property
    def stream(self) -> Frames:
        """What is sent unless a cell says otherwise."""
        return self.frames[self._kbps]

    def bound(
        self, trains: list[Train], ciphers: Ciphers | None = None, *, viewers: int = _BOUND_VIEWERS, gso: bool
    ) -> Bound:
        """The bound for some traffic, encrypted as the worker does it where nothing else is said."""
        seconds = min(3.0, self._seconds / 2)
        return bound(self._cores, trains, ciphers or self._ciphers, viewers=viewers, gso=gso, seconds=seconds)

    async def janus(self, counts: list[int]) -> dict[str, Any]:
        """Janus at each number of viewers and at the most it carries; its best figure without loss."""
        async with AsyncExitStack() as running:
            target = await running.enter_async_context(janus.Janus.running(network.ADDRESS, self._cores.server))
            bench = await running.enter_async_context(Bench.of(target, self._cores))
            cells: list[Cell] = []
            try:
                async for cell in self._sweep("janus", bench, counts):
                    cells.append(cell)  # noqa: PERF401 - what was measured before an error counts
            except janus.JanusError as error:
                print(f"janus:   broke off: {error}")
            if not cells:
                return {}
            protection = bench.protection
            joins, memory = bench.join_cpu_ms, bench.kb_per_viewer
        best = cheapest_of(cells)
        return {
            "version": janus.version(),
            "packets_per_cpu_second": round(best.packets_per_cpu_second),
            "viewers_measured": best.viewers,
            f"viewers_per_core_{self._kbps}kbps": carried(cells),
            "srtp": protection,
            "join_cpu_ms": round(joins, 2),
            "kb_per_viewer": round(memory, 1),
            **report.delays(best),
        }

    async def plane(self, plane: str, counts: list[int]) -> dict[str, Any]:
        """One of our planes: the sweep, the most it carries at each bitrate, and delay at four fifths of that."""
        async with AsyncExitStack() as running:
            (target,) = await running.enter_async_context(Worker.running(plane, self._cores))
            bench = await running.enter_async_context(Bench.of(target, self._cores))
            cells = [cell async for cell in self._sweep(plane, bench, counts)]
            best = best_of(cells)
            # Of those who joined last.
            joins, memory = bench.join_cpu_ms, bench.kb_per_viewer
            most = {self._kbps: carried(cells)}
            partial = max(1, best.viewers * 4 // 5)
            loaded = await self._cell(plane, bench, self.stream, partial)
            for kbps, frames in self.frames.items():
                if kbps != self._kbps:
                    near = [cell async for cell in self._limit(f"{plane} {kbps / 1000:g}M", bench, frames, best)]
                    most[kbps] = carried(near)
            several = await self._cell(plane, bench, self.stream, partial, rooms=min(self._rooms, partial))
        same, alone = (self.bound(same_traffic(self.stream), viewers=best.viewers, gso=gso) for gso in (True, False))
        print(report.bound_line(f"the stream to {best.viewers:,} viewers", same, alone))
        found = best.packets_per_cpu_second
        return {
            "packets_per_cpu_second": round(found),
            "ratio_to_bound": round(found / same.packets_per_cpu_second, 3),
            "ratio_to_bound_without_trains": round(found / alone.packets_per_cpu_second, 3),
            "viewers_measured": best.viewers,
            **{f"viewers_per_core_{kbps}kbps": count for kbps, count in most.items()},
            "worker_cores": round(best.worker_cores, 3),
            "lost": best.lost,
            "feedback_per_second": round(best.feedback_per_second),
            **report.delays(loaded),
            "delay_viewers": loaded.viewers,
            "delay_worker_cores": round(loaded.worker_cores, 3),
            **report.lags(loaded),
            "several_rooms": {
                "rooms": several.rooms,
                "viewers": several.viewers,
                "worker_cores": round(several.worker_cores, 3),
                "lost": several.lost,
                **report.delays(several),
                **report.lags(several),
            },
            "join_cpu_ms": round(joins, 2),
            "kb_per_viewer": round(memory, 1),
        }

    async def _sweep(self, name: str, bench: Bench, counts: list[int]) -> AsyncIterator[Cell]:
        cells = []
        for count in counts:
            cells.append(await self._cell(name, bench, self.stream, count))
            yield cells[-1]
        if self._explore:
            async for cell in self._limit(name, bench, self.stream, best_of(cells)):
                yield cell

    async def _limit(self, name: str, bench: Bench, frames: Frames, near: Cell) -> AsyncIterator[Cell]:
        if not self._explore:
            yield await self._cell(name, bench, frames, near.viewers)
            return
        caution = 1.0 if frames is self.stream else _CAUTION
        async for cell in bench.limit(frames, near, self._seconds, caution=caution):
            print(report.row(name, cell), flush=True)
            yield cell

    async def _cell(self, name: str, bench: Bench, frames: Frames, count: int, *, rooms: int = 1) -> Cell:
        cell = await bench.measure(frames, count, self._seconds, rooms=rooms)
        print(report.row(name, cell), flush=True)
        return cell


async def _main(arguments: argparse.Namespace, *, private: bool) -> int:
    cores = Cores.of_machine()
    os.sched_setaffinity(0, {cores.rest})
    run = Run(arguments, cores)
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split())}")
    print(f"network: {network.describe() if private else 'loopback'}")
    for frames in run.frames.values():
        print(f"stream:  {frames.origin}: {frames.packets_per_second:.0f} packets/s, and 50 of audio")
    print("         delay: from the publisher's send to the arrival at a viewer, by the kernel's clock")
    print("         lag: how late timers of the worker's event loop fire")
    if cores.shared:
        print("only one core: the figures mean little")
    single, trains = (run.bound(LONG_TRAINS, gso=gso) for gso in (False, True))
    print(report.bound_line(f"trains of 9 to {_BOUND_VIEWERS} viewers", trains, single))
    single_libsrtp, trains_libsrtp = (run.bound(LONG_TRAINS, Libsrtp(), gso=gso) for gso in (False, True))
    print(report.bound_line("the same, encrypted by libsrtp", trains_libsrtp, single_libsrtp))
    print(report.HEADER, flush=True)
    results: dict[str, Any] = {}
    if arguments.janus and private:
        found = await run.janus(arguments.janus)
        if found:
            results["janus"] = found
            print(f"janus:   {found['version']}, {janus.METHOD}, {found['srtp']}")
    elif arguments.janus:
        print("janus:   left out: it needs root, Debian's packages and a network namespace of its own")
    for plane, counts in (("native", arguments.native), ("python", arguments.python)):
        if not counts:
            continue
        result = results[plane] = await run.plane(plane, counts)
        rate = result["packets_per_cpu_second"]
        beside = results.get("janus", {}).get("packets_per_cpu_second")
        result["ratio_to_janus"] = round(rate / beside, 2) if beside else None
        result["ratio_to_trains_of_9"] = round(rate / trains.packets_per_cpu_second, 3)
        result["ratio_to_trains_of_9_by_libsrtp"] = round(rate / trains_libsrtp.packets_per_cpu_second, 3)
        print(report.summary(plane, result))
    bounds = {
        "single": single,
        "trains_of_9": trains,
        "single_libsrtp": single_libsrtp,
        "trains_of_9_libsrtp": trains_libsrtp,
    }
    rates = {name: round(found.packets_per_cpu_second) for name, found in bounds.items()}
    print(json.dumps({**results, "bound_packets_per_cpu_second": rates}))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.sfu", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--native", type=int, nargs="*", default=[100, 300, 600], help="viewers, native plane")
    parser.add_argument("--python", type=int, nargs="*", default=[50, 100, 200], help="viewers, Python plane")
    parser.add_argument("--janus", type=int, nargs="*", default=[100, 200], help="viewers, Janus; none leaves it out")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured for each number of viewers")
    parser.add_argument("--kbps", type=int, nargs="+", default=[2500, 4000, 1000], help="video; first for all")
    parser.add_argument("--rooms", type=int, default=8, help="of the cell with several publishers")
    parser.add_argument(
        "--fixed", action="store_true", help="these numbers only, no search for the most a core carries"
    )
    return parser.parse_args()


def main() -> int:
    """Run as the command line says."""
    arguments = _arguments()
    raise_descriptor_limit()
    private = False
    if arguments.janus:
        with tempfile.TemporaryDirectory() as folder:
            installed = janus.install(Path(folder) / "apt.log")
        # Before there are other threads: they would stay outside.
        private = installed and network.enter()
    return asyncio.run(_main(arguments, private=private))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
