"""What one core of an SFU worker forwards: one publisher, many viewers with ICE, DTLS and SRTP, both packet planes.

The worker is alone on one core; publisher, viewers and Valkey are on the other. Beside it, in the same run and on the
worker's core, the machine's own bound: encrypting and sending the same packets in a C loop that does nothing else.
Run with `python -m tests.bench.sfu`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import secrets
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from aiortc.rtcdtlstransport import RTCCertificate

from sfu_fleet.dtls import PROTECT, RtpContext, SrtpKeys
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from shared.stack.prerequisites import raise_descriptor_limit
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.signaling.sampling import Cores, Sampler, resident_kb
from tests.conftest import child_environ
from tests.sfu_fleet.peer import Peer

from .native import ffi, load
from .stream import Frames, Publisher, record
from .viewers import Control, Viewer, Witness, keep_alive

ROOM: Final = "bench"
WITNESSES: Final = 4
JOINS_AT_ONCE: Final = 8
SETTLING_S: Final = 0.5
_AES_256_GCM: Final = 8


class Cell(msgspec.Struct, frozen=True):
    """What came of one number of viewers."""

    viewers: int
    packets_per_second: float
    worker_cores: float
    rest_cores: float
    foreign_cores: float
    lost: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def packets_per_cpu_second(self) -> float:
        """Packets that arrived at viewers for each second of the worker's processor time."""
        return self.packets_per_second / self.worker_cores if self.worker_cores else 0.0


class Bench:
    """One worker with one plane, and its viewers so far."""

    def __init__(self, plane: str, cores: Cores, frames: Frames) -> None:
        self.plane = plane
        self._cores = cores
        self._frames = frames
        self._viewers: list[Viewer] = []
        self._witnesses: list[Witness] = []
        self._certificate = RTCCertificate.generateCertificate()
        self.join_cpu_ms = 0.0
        self.kb_per_viewer = 0.0
        self._pid = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        """Start the worker and its publisher."""
        environ = {**child_environ(), "HEADRACE_SFU_PLANE": self.plane, "HEADRACE_SFU_CAPACITY_PPS": "100000000"}
        async with AsyncExitStack() as running:
            enter = running.enter_async_context
            folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            stack = await enter(LocalStack(folder, workers=1, mongod=False, environ=environ, report=lambda _: None))
            self._pid = stack.process("worker-1").pid
            machine.pin(self._pid, {self._cores.server})
            machine.pin(stack.process("valkey").pid, {self._cores.rest})
            tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))

            def token(name: str) -> str:
                claims = Claims(sub=name, room=ROOM, grants=frozenset({Grant.CONTROL}))
                return tokens.sign(claims, audience=AUDIENCE_SFU, lifetime_s=600)

            http = await enter(httpx.AsyncClient(base_url=stack.workers[0].url, timeout=30))
            self._control = Control(http, token, ROOM)
            self._sinks = load().sinks_open(self._cores.rest)
            running.callback(load().sinks_close, self._sinks)
            peer = Peer(certificate=self._certificate)
            await self._control.publish(peer)
            self._publisher = Publisher(peer, self._frames)
            alive = asyncio.create_task(keep_alive(self._viewers))
            self._empty_kb = resident_kb([self._pid])
            try:
                yield self
            finally:
                alive.cancel()
                await asyncio.gather(alive, return_exceptions=True)
                for witness in self._witnesses:
                    witness.close()
                for viewer in self._viewers:
                    if viewer.sock is not None:
                        viewer.sock.close()

    async def measure(self, count: int, seconds: float) -> Cell:
        """Have that many viewers and send to them for so long."""
        await self._grow(count)
        await self._publisher.run(1.0)
        await asyncio.sleep(SETTLING_S)
        for witness in self._witnesses:
            witness.delays_ms.clear()
        arrived = self._arrived()
        sampler = Sampler({"worker": [self._pid], "rest": [os.getpid()]}, self._cores)
        sent = await self._publisher.run(seconds)
        await asyncio.sleep(SETTLING_S)
        window_s = seconds + SETTLING_S
        sample = sampler.sample(window_s)
        got = self._arrived() - arrived
        delays = sorted(delay for witness in self._witnesses for delay in witness.delays_ms) or [float("nan")]
        return Cell(
            viewers=len(self._viewers),
            packets_per_second=got / seconds,
            worker_cores=sample.of("worker") * window_s / seconds,
            rest_cores=sample.of("rest"),
            foreign_cores=sample.foreign(self._cores),
            lost=sent * len(self._viewers) - got,
            p50_ms=machine.percentile(delays, 50),
            p95_ms=machine.percentile(delays, 95),
            p99_ms=machine.percentile(delays, 99),
        )

    async def _grow(self, count: int) -> None:
        new = count - len(self._viewers)
        if new <= 0:
            return
        before = machine.cpu_seconds([self._pid])
        at_once = asyncio.Semaphore(JOINS_AT_ONCE)

        async def join() -> Viewer:
            async with at_once:
                viewer = Viewer(certificate=self._certificate)
                await self._control.view(viewer, f"v{secrets.token_hex(6)}")
                return viewer

        for viewer in await asyncio.gather(*(join() for _ in range(new))):
            if len(self._witnesses) < WITNESSES:
                self._witnesses.append(Witness(viewer))
            else:
                load().sinks_add(self._sinks, viewer.release().fileno())
            self._viewers.append(viewer)
        self.join_cpu_ms = (machine.cpu_seconds([self._pid]) - before) * 1000 / new
        self.kb_per_viewer = (resident_kb([self._pid]) - self._empty_kb) / len(self._viewers)

    def _arrived(self) -> int:
        return int(load().sinks_packets(self._sinks)) + sum(witness.packets for witness in self._witnesses)


def bound(cores: Cores, *, viewers: int, train: int, seconds: float) -> float:
    """Packets a second that the worker's core encrypts and sends when it does nothing else; `train` 0: one by one."""
    sinks = load().sinks_open(cores.rest)
    sockets, addresses = [], b""
    for _ in range(viewers):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * 1024 * 1024)
        sock.bind(("127.0.0.1", 0))
        load().sinks_add(sinks, sock.fileno())
        sockets.append(sock)
        address = socket.inet_aton("127.0.0.1")
        addresses += struct.pack("=H", socket.AF_INET) + struct.pack("!H", sock.getsockname()[1]) + address + bytes(8)
    contexts = [RtpContext(SrtpKeys(_AES_256_GCM, "", b"", secrets.token_bytes(44))) for _ in range(viewers)]
    handles = ffi.new("void *[]", [ffi.cast("void *", context.address) for context in contexts])
    held = ffi.from_buffer(addresses)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        job = ffi.new("struct bound *")
        job.fd, job.core, job.viewers, job.packets = sender.fileno(), cores.server, viewers, max(1, train)
        job.size, job.trains, job.seconds = 1_165, int(train > 0), seconds
        job.protect, job.contexts, job.addresses = ffi.cast("void *", PROTECT), handles, ffi.cast("void *", held)
        load().bound_run(job)
    load().sinks_close(sinks)
    for sock in sockets:
        sock.close()
    return float(job.sent) / float(job.cpu_seconds)


def _row(name: str, cell: Cell) -> str:
    per_cpu, share = cell.packets_per_cpu_second, cell.lost / max(1.0, cell.lost + cell.packets_per_second)
    return (
        f"{name:8} {cell.viewers:8,} {cell.packets_per_second:12,.0f} {per_cpu:12,.0f} {cell.worker_cores:7.2f}"
        f" {cell.rest_cores:6.2f} {cell.foreign_cores:6.2f} {cell.lost:9,} {cell.p50_ms:8.2f} {cell.p95_ms:8.2f}"
        f" {cell.p99_ms:8.2f}{'  worker saturated' if cell.worker_cores > 0.95 else ''}"
        f"{'  LOSS' if share > 0.001 else ''}"
    )


async def _planes(
    arguments: argparse.Namespace, cores: Cores, frames: Frames, bounds: dict[str, float]
) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for plane, counts in (("native", arguments.native), ("python", arguments.python)):
        if not counts:
            continue
        cells: list[Cell] = []
        async with Bench(plane, cores, frames).running() as bench:
            for count in counts:
                cells.append(await bench.measure(count, arguments.seconds))
                print(_row(plane, cells[-1]), flush=True)
            joins, memory = bench.join_cpu_ms, bench.kb_per_viewer
        # The figure of the largest room that lost nothing worth speaking of.
        good = [cell for cell in cells if cell.lost <= 0.001 * cell.packets_per_second * arguments.seconds]
        best = (good or cells)[-1]
        packets = frames.packets_per_second + 50
        results[plane] = {
            "packets_per_cpu_second": round(best.packets_per_cpu_second),
            "ratio_to_bound": round(best.packets_per_cpu_second / bounds["trains_of_9"], 3),
            "ratio_to_bound_without_trains": round(best.packets_per_cpu_second / bounds["single"], 3),
            "ratio_to_janus": None,
            "viewers_measured": best.viewers,
            "viewers_per_core_2500kbps": round(best.packets_per_cpu_second / packets),
            "delay_p50_ms": round(best.p50_ms, 2),
            "delay_p95_ms": round(best.p95_ms, 2),
            "delay_p99_ms": round(best.p99_ms, 2),
            "worker_cores": round(best.worker_cores, 3),
            "lost": best.lost,
            "join_cpu_ms": round(joins, 2),
            "kb_per_viewer": round(memory, 1),
        }
    return results


async def _main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.sfu", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--native", type=int, nargs="*", default=[100, 300, 600, 1000], help="viewers, native plane")
    parser.add_argument("--python", type=int, nargs="*", default=[50, 100, 200, 300], help="viewers, Python plane")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured for each number of viewers")
    parser.add_argument("--kbps", type=int, default=2500, help="video bitrate")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    cores = Cores.of_machine()
    os.sched_setaffinity(0, {cores.rest})
    frames = record(arguments.kbps * 1000)
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split())}")
    print(f"stream:  {frames.origin}: {frames.packets_per_second:.0f} packets/s, and 50 of audio")
    print("         delay: from the publisher's send to the arrival at a viewer, by the kernel's clock")
    if cores.shared:
        print("only one core: the figures mean little")
    bounds = {
        "single": bound(cores, viewers=200, train=0, seconds=arguments.seconds / 2),
        "trains_of_9": bound(cores, viewers=200, train=9, seconds=arguments.seconds / 2),
    }
    print(
        f"bound:   {bounds['single']:,.0f} packets per CPU-second one by one, "
        f"{bounds['trains_of_9']:,.0f} in trains of 9"
    )
    print(
        "plane     viewers    packets/s    per CPU-s  worker   rest others      lost   P50 ms   P95 ms   P99 ms",
        flush=True,
    )
    results = await _planes(arguments, cores, frames, bounds)
    for name, result in results.items():
        print(
            f"{name}: {result['ratio_to_bound']:.2f} x the bound with trains, "
            f"{result['ratio_to_bound_without_trains']:.2f} x without"
        )
    print(
        json.dumps({**results, "bound_packets_per_cpu_second": {name: round(value) for name, value in bounds.items()}})
    )
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(_main()))
