"""Viewers in numbers: WHEP, ICE and DTLS-SRTP as browsers do them, and every packet decrypted and judged.

A publisher sends H.264 and Opus of which every frame says its number and when it was sent. All viewers are measured
viewers: each counts sequence numbers that stayed missing, jitter (RFC 3550, section 6.4.1), frames that came whole, how
long after their sending, and how long there was no new one; each answers with receiver reports, transport-wide
feedback, NACKs and requests for keyframes. Nothing is decoded: `--witnesses K` adds browsers that do. The SFU worker is
alone on one core; viewers, publisher, browsers and the rest of the platform are on the other. Run with
`python -m tests.bench.swarm`; docs/media-load.md says more. The last line is one JSON object. The exit code is 1 when
there was nothing to measure.
"""

import argparse
import asyncio
import json
import os
import sys
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import msgspec

from sfu_fleet.native.build import NotBuiltError
from shared.stack.errors import StackError
from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.load import LoadError
from tests.bench.signaling.sampling import Cores

from .platform import Platform, PlatformError
from .source import Source
from .swarm import FROZEN_AFTER_S, NothingMeasuredError, Result, Swarm
from .sweep import Most, Step, most, steps
from .viewer import Manners
from .witnesses import Seen, Witnesses

_SWEEP_MBPS = (1.0, 2.5, 4.0)
# In the last line, in this order; all else that was found comes behind.
_KEYS = (
    *("viewers", "viewers_connected", "seconds", "offered_kbps", "received_kbps_mean", "loss_ratio", "jitter_ms_p95"),
    *("freezes", "frames_missing_ratio", "frame_latency_ms_p50", "frame_latency_ms_p95", "join_ms_p50", "join_ms_p95"),
    *("worker_cores_mean", "swarm_cores_mean", "saturated", "measured_viewers"),
)
_HEADER = (
    "  Mbit/s viewers  conn. received kbit/s      lost jitter ms freezes frames missing latency P50, 95, 99, max ms"
    "  join P50, 95 ms  cores of worker, swarm, others  late read, sent ms  saturated"
)
_TABLE_HEADER = "| Mbit/s | viewers per core | worker cores | latency P95, P99 ms | too many | limited by |"


def _row(mbps: float, found: Result) -> str:
    worker = "-" if found.worker_cores_mean is None else f"{found.worker_cores_mean:.2f}"
    latencies = (
        *(found.frame_latency_ms_p50, found.frame_latency_ms_p95),
        *(found.frame_latency_ms_p99, found.frame_latency_ms_max),
    )
    return (
        f"{mbps:8.1f} {found.viewers:7} {found.viewers_connected:6} {found.received_kbps_mean:15.0f}"
        f" {found.loss_ratio:9.4%} {found.jitter_ms_p95:9.2f} {found.freezes:7} {found.frames_missing_ratio:14.4%}"
        f" {', '.join(f'{value:.1f}' for value in latencies):>30}"
        f" {f'{found.join_ms_p50:.0f}, {found.join_ms_p95:.0f}':>16}"
        f" {f'{worker}, {found.swarm_cores_mean:.2f}, {found.foreign_cores_mean:.2f}':>31}"
        f" {f'{found.read_late_ms_p99:.1f}, {found.sent_late_ms_max:.1f}':>19}  {found.saturated}"
    )


def _line(found: Result, seed: int, **more: Any) -> str:  # noqa: ANN401 - whatever JSON takes
    fields = msgspec.to_builtins(found)
    rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in fields.items()}
    told = {name: rounded.pop(name) for name in _KEYS}
    return json.dumps(told | {"seed": seed, "machine": machine.describe()} | rounded | more)


def _table(rows: list[Most]) -> str:
    lines = [_TABLE_HEADER, "|---|---|---|---|---|---|"]
    for row in rows:
        best, failed = row.carried, row.failed
        worker = "-" if best is None or best.worker_cores_mean is None else f"{best.worker_cores_mean:.2f}"
        latency = "-" if best is None else f"{best.frame_latency_ms_p95:.1f}, {best.frame_latency_ms_p99:.1f}"
        after = "-"
        if failed is not None:
            freezes = f"{failed.freezes / failed.measured_viewers:.1f} freezes each"
            after = (
                f"{failed.viewers}: {failed.loss_ratio:.3%} lost, {freezes}, {failed.worker_cores_mean or 0:.2f} cores"
            )
        lines.append(f"| {row.mbps:g} | {row.text} | {worker} | {latency} | {after} | {row.limited_by} |")
    return "\n".join(lines)


async def _once(platform: Platform, cores: Cores, arguments: argparse.Namespace) -> int:
    room = await platform.room("Swarm")
    window_s = arguments.join_window or max(1.0, arguments.viewers / arguments.joins_per_s)
    manners = Manners(arguments.drop_every, not arguments.no_repairs)
    async with (
        Source.live(platform, room, round(arguments.mbps * 1_000_000), cores.rest) as source,
        Witnesses.of(platform, await platform.seats(room, arguments.witnesses)) as witnesses,
        Swarm.of(platform, cores, manners=manners, seed=arguments.seed) as swarm,
    ):
        print(f"stream:  {source.kbps:.0f} kbit/s, {source.packets_per_second:.0f} packets/s")
        print(f"joins:   {arguments.viewers} at times drawn from seed {arguments.seed} within {window_s:.1f} s")
        await swarm.join(await platform.seats(room, arguments.viewers), window_s)
        for reason in sorted(set(swarm.refusals)):
            print(f"refused: {swarm.refusals.count(reason)} times {reason}")
        found, seen = await asyncio.gather(swarm.measure(source, arguments.seconds), witnesses.watch(arguments.seconds))
    print(_HEADER, _row(arguments.mbps, found), sep="\n")
    _warn(found)
    for number, witness in enumerate(seen, 1):
        print(_witness(number, witness))
    more = {"witnesses": msgspec.to_builtins(seen)} if seen else {}
    print(_line(found, arguments.seed, join_window_s=round(window_s, 2), mbps=arguments.mbps, **more))
    return 0


async def _sweep(platform: Platform, cores: Cores, arguments: argparse.Namespace) -> int:
    rows: list[Most] = []
    last: Result | None = None
    print(_HEADER, flush=True)
    for mbps in _SWEEP_MBPS:
        found: list[Step] = []
        async for step in steps(
            platform,
            cores,
            mbps=mbps,
            seconds=arguments.seconds,
            joins_per_s=arguments.joins_per_s,
            seed=arguments.seed,
        ):
            found.append(step)
            print(_row(mbps, step.result), flush=True)
        rows.append(most(mbps, found))
        last = rows[-1].carried or rows[-1].failed
    print(_table(rows))
    if last is None:
        raise NothingMeasuredError("no step was measured")
    sweep = {f"{row.mbps:g}": {"viewers_per_core": row.viewers, "limited_by": row.limited_by} for row in rows}
    print(_line(last, arguments.seed, mbps=_SWEEP_MBPS[-1], sweep=sweep))
    return 0


def _warn(found: Result) -> None:
    if found.viewers_connected < found.viewers:
        print(f"warning: only {found.viewers_connected} of {found.viewers} viewers got a picture")
    if found.worker_cores_mean is None:
        print("warning: the worker is another user's process: how busy it was is not known")
    if found.saturated == "none" and (found.freezes or found.loss_ratio):
        others = f"others used {found.worker_core_others_mean:.2f} of its core"
        print(f"warning: neither swarm nor publisher was late: it was the worker, for moments; {others}")
    if found.saturated == "swarm":
        print("warning: the swarm or the publisher was late: this is what they can do, not what the worker can")


def _witness(number: int, seen: Seen) -> str:
    waited = "no frame" if seen.jitter_buffer_ms is None else f"{seen.jitter_buffer_ms:.1f} ms"
    return (
        f"browser {number}: {seen.frames_decoded} frames decoded, {seen.frames_dropped} dropped, {seen.height} lines, "
        f"{seen.freezes} freezes of {seen.frozen_s:.2f} s in all, in the jitter buffer for {waited}, "
        f"{seen.packets_lost} packets lost"
    )


def _platform(cores: Cores, arguments: argparse.Namespace) -> AbstractAsyncContextManager[Platform]:
    return Platform.running(arguments.url) if arguments.url else Platform.own(cores)


async def _main(arguments: argparse.Namespace) -> int:
    cores = Cores.of_machine()
    # Whatever is started from here on begins there; the worker is moved away.
    os.sched_setaffinity(0, {cores.rest})
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split())}")
    print(f"freeze:  no new frame for more than {FROZEN_AFTER_S * 1000:.0f} ms")
    if cores.shared:
        print("only one core: the figures mean little")
    async with _platform(cores, arguments) as platform:
        return await (_sweep if arguments.sweep else _once)(platform, cores, arguments)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= 5_000:
        raise argparse.ArgumentTypeError(f"expected 1 to 5000, got {text}")
    return value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.swarm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--viewers", type=_count, default=100)
    parser.add_argument("--seconds", type=_positive, default=10.0, help="measured, once everybody is there")
    parser.add_argument("--mbps", type=_positive, default=2.5, help="video of the stream, Mbit/s")
    parser.add_argument("--seed", type=int, default=1, help="draws when who joins")
    parser.add_argument("--joins-per-s", type=_positive, default=25.0, help="on average")
    parser.add_argument("--join-window", type=_positive, help="seconds within which all join; else by --joins-per-s")
    parser.add_argument("--witnesses", type=int, default=0, help="browsers in the same room; each decodes, which costs")
    parser.add_argument("--url", help="a platform that runs on this machine already")
    parser.add_argument("--drop-every", type=int, default=0, help="of its datagrams a viewer throws every Nth away")
    parser.add_argument("--no-repairs", action="store_true", help="ask for nothing that is missing")
    parser.add_argument("--sweep", action="store_true", help="how many viewers a core carries at 1, 2.5 and 4 Mbit/s")
    return parser.parse_args()


def main() -> int:
    """Run as the command line says."""
    arguments = _arguments()
    raise_descriptor_limit()
    try:
        return asyncio.run(_main(arguments))
    except (NothingMeasuredError, PlatformError, LoadError, StackError, NotBuiltError, FileNotFoundError) as error:
        print(f"nothing was measured: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
