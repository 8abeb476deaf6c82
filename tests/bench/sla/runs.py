"""The runs of a profile, each on a platform of its own, so that none of them pays for another."""

import asyncio
import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from shared.stack import paths
from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import load, machine
from tests.bench.signaling import fanout
from tests.bench.signaling.generator import build
from tests.bench.signaling.headrace import Headrace
from tests.bench.signaling.sampling import Cores
from tests.bench.sla import collect
from tests.bench.sla.evidence import Burst, Crowd, Media, Quantiles

_PACKAGES: Final = ("litestar", "granian", "aiortc", "picows", "redis", "pymongo", "aiocache", "uvloop", "k6")
_MEDIA_AROUND_S: Final = 240.0


class Shape(msgspec.Struct, frozen=True):
    """A load shape of k6 at a scale, pace and activity."""

    name: str
    scale: float
    pace: float
    activity: float


class Profile(msgspec.Struct, frozen=True):
    """What is run. k6 takes 0.2 to 0.4 ms of a core for each delivery, hence the activity, and the scale of `short`."""

    shapes: tuple[Shape, ...]
    sockets: tuple[int, ...]
    rates: tuple[float, ...]
    burst_s: float
    viewers: int
    media_s: float
    mbps: float


PROFILES: Final = {
    "smoke": Profile((Shape("smoke", 1.0, 1.0, 1.0),), (60,), (10.0,), 2.0, 4, 5.0, 1.0),
    "short": Profile(
        (Shape("sustained", 0.25, 0.06, 0.15), Shape("spike", 0.2, 0.6, 0.1), Shape("recovery", 0.3, 0.6, 0.15)),
        (1000, 1500),
        (10.0, 100.0, 1000.0),
        6.0,
        100,
        20.0,
        2.5,
    ),
    "full": Profile(
        (
            Shape("progressive", 1.0, 1.0, 0.03),
            Shape("sustained", 1.0, 1.0, 0.03),
            Shape("spike", 1.0, 1.0, 0.02),
            Shape("stress", 1.0, 1.0, 0.02),
            Shape("recovery", 1.0, 1.0, 0.03),
        ),
        (1000, 1500),
        (10.0, 100.0, 1000.0, 4000.0),
        10.0,
        200,
        60.0,
        2.5,
    ),
}


async def crowd(shape: Shape, results: Path, *, seed: str) -> Crowd:
    """One shape of k6.

    Raises:
        LoadError, StackError: it did not take place.
    """
    plan = await load.with_fault(
        load.Plan(shape=shape.name, scale=shape.scale, pace=shape.pace, activity=shape.activity, seed=seed)
    )
    async with load.own_stack(functions=2, direct=False) as target:
        assert target.stack is not None
        watch = collect.Watch(target.stack)
        await watch.start()
        try:
            summary = await load.run(plan, target, results)
        finally:
            await watch.stop()
        return collect.crowd(summary, watch)


async def bursts(profile: Profile, report: Callable[[str], None]) -> list[Burst]:
    """The generator against one function process, at each size and rate.

    Raises:
        GeneratorError, StackError: it could not run.
    """
    cores = Cores.of_machine()
    raise_descriptor_limit()
    build()
    found = []
    for sockets in profile.sockets:
        async for cell in fanout.measure(
            Headrace(cores), cores, sockets=sockets, rates=profile.rates, seconds=profile.burst_s
        ):
            burst = burst_of(cell, sockets)
            found.append(burst)
            rates = f"{cell.rate:,.0f}/s: {cell.deliveries_per_s:,.0f} deliveries/s"
            report(f"  {sockets:,} sockets, {rates}, P95 {cell.counts.p95_ms} ms {cell.verdict}")
    return found


def burst_of(cell: fanout.Cell, sockets: int) -> Burst:
    """A cell of the fan-out benchmark as evidence."""
    counts = cell.counts
    return Burst(
        sockets=sockets,
        opened=counts.receivers - counts.lost_links,
        published_per_s=cell.rate,
        deliveries_per_s=cell.deliveries_per_s,
        latency=Quantiles(
            p50=counts.p50_ms,
            p95=counts.p95_ms,
            p99=counts.p99_ms,
            max=counts.max_ms,
            count=counts.window_deliveries,
        ),
        missing=counts.missing,
        duplicated=counts.duplicates,
        misordered=counts.reordered,
        server_cores=cell.server_cores,
        generator_saturated=cell.generator_saturated,
    )


def media_command(profile: Profile) -> list[str]:
    """The media swarm's command line, without the interpreter."""
    sizes = {"--viewers": profile.viewers, "--seconds": profile.media_s, "--mbps": profile.mbps}
    return ["-m", "tests.bench.swarm", *(str(word) for pair in sizes.items() for word in pair)]


async def media(profile: Profile) -> Media:
    """The media swarm.

    Raises:
        RuntimeError: it failed, or said something else than it should.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *media_command(profile),
        cwd=paths.ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(profile.media_s + _MEDIA_AROUND_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RuntimeError("the media swarm did not end") from None
    lines = output.decode(errors="replace").splitlines()
    try:
        said: dict[str, Any] = json.loads(lines[-1])
        return msgspec.convert({name: said.get(name) for name in Media.__struct_fields__}, Media)
    except (IndexError, ValueError, msgspec.ValidationError) as error:
        raise RuntimeError(f"the media swarm ended with {process.returncode}: {' / '.join(lines[-3:])}") from error


def versions() -> dict[str, str]:
    """Of what carries the load."""
    python = machine.describe().rpartition("Python ")[2]
    return {"Python": python, **{name: metadata.version(name) for name in _PACKAGES}}
