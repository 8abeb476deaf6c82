"""The hot path alone: the thread of the native plane at full speed, beside the machine's bound in the same run.

No ICE, no DTLS, no Python while packets go out: frames of a recorded stream's shape and audio between them are given
to the thread, which encrypts them for each viewer and sends them to sinks on the other core. For profiling and for
comparing changes of plane.c; what a whole worker forwards is measured by `tests.bench.sfu`. The last line is one JSON
object.
"""

import argparse
import json
import os
import secrets
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sfu_fleet.dtls import Ciphers, Libsrtp, SrtpKeys
from sfu_fleet.native import gcm, plane
from sfu_fleet.native.addresses import sockaddr
from sfu_fleet.native.build import load as load_plane
from sfu_fleet.native.congestion import NativeCongestion
from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.sfu.bound import LONG_TRAINS, bound
from tests.bench.sfu.native import load
from tests.bench.sfu.stream import Frames, record, split
from tests.bench.signaling.sampling import Cores

_AES_256_GCM: Final = 8
_AUDIO_BYTES: Final = 190
_HEADER: Final = 32
# Where the transport-wide number is in packets whose first header extension it is.
_NUMBER_AT: Final = 17


class Thread:
    """A plane with one room of viewers, driven as fast as it goes."""

    def __init__(
        self, viewers: int, cores: Cores, ciphers: Ciphers, *, trains: bool, padding: bool, numbers: bool
    ) -> None:
        self._lib: Any = load_plane(plane.ffi)
        self._sinks = load().sinks_open(cores.rest)
        self._sockets = list(_sockets(viewers))
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        before = set(_threads())
        self._plane = self._lib.plane_open(self._sender.fileno(), plane.WINDOW_NS, int(trains), int(padding))
        (self._tid,) = set(_threads()) - before
        os.sched_setaffinity(self._tid, {cores.server})
        self._lanes = self._lib.plane_lane(), self._lib.plane_lane()
        self._kept: list[Any] = []
        self._number_at = _NUMBER_AT if numbers else 0
        for number, sock in enumerate(self._sockets):
            load().sinks_add(self._sinks, sock.fileno())
            context = ciphers.rtp_out(SrtpKeys(_AES_256_GCM, "", b"", secrets.token_bytes(44)))
            departures = NativeCongestion().departures
            self._kept += [context, departures]
            for kind, lane in enumerate(self._lanes):
                counters = plane.ffi.new("struct counters *")
                self._kept.append(counters)
                address = sockaddr(sock.getsockname())
                self._lib.plane_attach(
                    self._plane, lane, plane.ffi.cast("void *", context.address),
                    plane.ffi.cast("void *", context.function), context.size, self._sender.fileno(), address,
                    len(address), 2 * number + kind, 0, 0, 0, 0, 0, 97, 9_000_000 + number, -1, 0, 0, 0,
                    counters, plane.ffi.cast("struct departures *", departures.address if numbers else 0),
                )  # fmt: skip
        self._jobs = 2 * viewers
        self._sequences = [0, 0]

    def run(self, frames: Frames, seconds: float) -> dict[str, float]:
        """Forward for so long; what came of it, per packet."""
        before, cpu, end = self._totals(), _cpu_s(self._tid), time.perf_counter() + seconds
        number = 0
        while time.perf_counter() < end:
            size, _ = frames.sizes[number % len(frames.sizes)]
            parts = list(split(size))
            for index, part in enumerate(parts):
                self._forward(0, part, urgent=index == len(parts) - 1)
            self._wait()
            for _ in range(2 if number % 3 else 1):
                self._forward(1, _AUDIO_BYTES, urgent=True)
                self._wait()
            number += 1
        cpu = _cpu_s(self._tid) - cpu
        done = {name: value - before[name] for name, value in self._totals().items()}
        return {
            "packets_per_cpu_second": done["packets_out"] / cpu,
            "packets_per_train": done["packets_out"] / done["trains"],
            "failures": done["send_failures"],
            "waits": done["waits"],
        }

    def close(self) -> None:
        """End the thread and the sinks."""
        for lane in self._lanes:
            self._lib.plane_discard(self._plane, lane)
        self._lib.plane_close(self._plane)
        load().sinks_close(self._sinks)
        for sock in (*self._sockets, self._sender):
            sock.close()

    def _forward(self, lane: int, size: int, *, urgent: bool) -> None:
        body = b"\x80" + bytes((96 + lane,)) + bytes(_HEADER - 2 + size)
        self._lib.plane_forward(
            self._plane, self._lanes[lane], body, len(body), size, self._sequences[lane], 0, 0, 0, 0, self._number_at,
            self._sequences[lane], int(urgent),
        )  # fmt: skip
        self._sequences[lane] += 1
        self._jobs += 1

    def _wait(self) -> None:
        while (totals := self._totals())["processed"] < self._jobs or totals["pending"]:
            time.sleep(0.0002)

    def _totals(self) -> dict[str, int]:
        now = plane.ffi.new("struct totals *")
        self._lib.plane_totals(self._plane, now)
        return {name: int(getattr(now, name)) for name, _ in plane.ffi.typeof("struct totals").fields}


def _sockets(count: int) -> Iterator[socket.socket]:
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * 1024 * 1024)
        sock.bind(("127.0.0.1", 0))
        yield sock


def _threads() -> list[int]:
    return [int(task.name) for task in Path("/proc/self/task").iterdir()]


def _cpu_s(tid: int) -> float:
    """Processor time of a thread (proc(5), schedstat: nanoseconds)."""
    return int(Path(f"/proc/self/task/{tid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="tests.bench.plane", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--viewers", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="alternating with the bound; the median counts")
    parser.add_argument("--no-padding", action="store_true")
    parser.add_argument("--no-numbers", action="store_true", help="without transport-wide numbers")
    parser.add_argument("--libsrtp", action="store_true", help="encrypt by libsrtp even where gcm.c is built")
    parser.add_argument("--kbps", type=int, default=2500, help="video bitrate")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    cores = Cores.of_machine()
    os.sched_setaffinity(0, {cores.rest})
    frames = record(arguments.kbps * 1000)
    ciphers = Libsrtp() if arguments.libsrtp else gcm.ciphers()
    print(f"machine: {machine.describe()}\nmethod:  {' '.join((__doc__ or '').split())}")
    print(f"stream:  {frames.origin}: {frames.packets_per_second:.0f} packets/s, and 50 of audio", flush=True)
    results = {}
    for viewers in arguments.viewers:
        thread = Thread(
            viewers, cores, ciphers, trains=True, padding=not arguments.no_padding, numbers=not arguments.no_numbers
        )
        rounds, bounds = [], []
        for _ in range(arguments.rounds):
            rounds.append(thread.run(frames, arguments.seconds))
            limit = bound(cores, LONG_TRAINS, ciphers, viewers=viewers, gso=True, seconds=arguments.seconds / 2)
            bounds.append(limit.packets_per_cpu_second)
        thread.close()
        rate = statistics.median(entry["packets_per_cpu_second"] for entry in rounds)
        most = statistics.median(bounds)
        results[str(viewers)] = {
            "packets_per_cpu_second": round(rate),
            "bound_packets_per_cpu_second": round(most),
            "ratio_to_bound": round(rate / most, 3),
            "packets_per_train": round(rounds[0]["packets_per_train"], 2),
            "send_failures": int(sum(entry["failures"] for entry in rounds)),
        }
        print(f"{viewers:6,} viewers: {results[str(viewers)]}", flush=True)
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
