"""`task bench:fleet`: kill, pause, cut and drain, one after the other, under load; what viewers lose of it.

One room on six workers of three hosts. People are Python peers that do what the web client does; placement, control
API, Redis and media are real. `--short` is for CI: two hosts, a kill and a drain.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop

from functions.sfu_client import SfuClient
from shared.security.tokens import Claims
from shared.state.fleet import Placement
from tests.bench import machine

from .faults import Outcome, Scene, edge_of
from .fleet import Node, Rehearsal
from .hosts import Hosts
from .people import ROOM, Streamer, Watcher

Act = Callable[[], Awaitable[None]]


class _Spread(SfuClient):
    """Placement as it is, but for the first session of a viewer, which goes to a worker of our choice."""

    only: str | None = None

    async def _place(self, claims: Claims, avoid: frozenset[str]) -> Placement:
        only, self.only = self.only, None
        if only is not None:
            avoid = frozenset(worker.id for worker in await self._fleet.workers()) - {only}
        return await super()._place(claims, avoid)


@asynccontextmanager
async def scene(rehearsal: Rehearsal, viewers: int) -> AsyncIterator[Scene]:
    """A streamer, and viewers on all workers."""
    own = rehearsal.hosts.own
    streamer = Streamer("streamer", rehearsal.sfu, own)
    rehearsal.people.append(streamer)
    watchers: list[Watcher] = []
    clients: list[SfuClient] = []
    made: Scene | None = None
    try:
        async with asyncio.timeout(10):
            while streamer.current is None:
                await asyncio.sleep(0.05)
        names = sorted(rehearsal.nodes)
        for number in range(viewers):
            client = _Spread(rehearsal.fleet, rehearsal.sfu._log, rehearsal.sfu._tokens)
            client.only = names[number % len(names)]
            clients.append(client)
            watchers.append(Watcher(f"viewer{number}", client, own))
            await asyncio.sleep(0.05)
        rehearsal.people += watchers
        made = Scene(rehearsal, streamer, watchers)
        await made.flowing()
        yield made
    finally:
        if made is not None:
            await made.close()
        for person in (*watchers, streamer):
            await person.close()
        for made_for in clients:
            await made_for.close()


async def faults(scene: Scene, *, short: bool, outage_s: float) -> AsyncIterator[Outcome]:
    """One after the other."""
    rehearsal = scene.rehearsal

    def start(node: Node) -> Act:
        return lambda: rehearsal.start(node.name, node.host)

    edge = await edge_of(scene)
    yield await scene.play("an edge is killed", lambda: rehearsal.kill(edge), start(edge), 3.0 if short else 5.0)
    if not short:
        async for outcome in _standstills(scene, outage_s):
            yield outcome
    origin = rehearsal.nodes[await rehearsal.origin()]
    yield await scene.play("the origin is killed", lambda: rehearsal.kill(origin), start(origin), 3.0 if short else 6.0)
    if not short:
        doomed = (await edge_of(scene)).host
        gone = [node for node in rehearsal.nodes.values() if node.host == doomed]

        async def lose() -> None:
            for node in gone:
                await rehearsal.kill(node)

        async def replace() -> None:
            for node in gone:
                await rehearsal.start(node.name, node.host)

        yield await scene.play("a host is gone", lose, replace, 6.0)
        name = (await edge_of(scene)).name
        yield await scene.play("an edge drains", lambda: rehearsal.drain(name), lambda: rehearsal.undrain(name), 6.0)
    held = await rehearsal.origin()
    yield await scene.play(
        "the origin drains", lambda: rehearsal.drain(held), lambda: rehearsal.undrain(held), 4.0 if short else 10.0
    )


async def _standstills(scene: Scene, outage_s: float) -> AsyncIterator[Outcome]:
    """What stands still for a while and comes back, and ways that are cut and mended."""
    rehearsal, hosts = scene.rehearsal, scene.rehearsal.hosts

    def still(process: asyncio.subprocess.Process) -> tuple[Act, Act]:
        return _call(rehearsal.pause, process), _call(rehearsal.resume, process)

    paused = await edge_of(scene)
    yield await scene.play("an edge stands still for 8 s", *still(paused.process), 8.0)
    if hosts.separate:
        here = rehearsal.nodes[await rehearsal.origin()].host
        there = (await edge_of(scene, but_host=here)).host
        cut, mend = _call(hosts.cut, here, there), _call(hosts.mend, here, there)
        yield await scene.play("nothing gets from the origin's host to another for 8 s", cut, mend, 8.0)
    yield await scene.play(f"Redis stands still for {outage_s:.0f} s", *still(rehearsal.valkey), outage_s)
    origin = rehearsal.nodes[await rehearsal.origin()]
    yield await scene.play("the origin stands still for 12 s, and comes back", *still(origin.process), 12.0)


def _call(function: Callable[..., None], *args: Any) -> Act:  # noqa: ANN401 - of the function
    async def call() -> None:
        function(*args)

    return call


async def uplink(scene: Scene) -> dict[str, Any]:
    """What leaves the origin for its edges, in packets of the layer as it is published; and how many watch behind."""
    before = {edge["session"]: edge["packets_out"] for room in await _rooms(scene) for edge in room["edges"]}
    sent = scene.streamer.frame
    await asyncio.sleep(3)
    rooms, frames = await _rooms(scene), scene.streamer.frame - sent
    edges = [edge for room in rooms for edge in room["edges"] if edge["session"] in before]
    shares = [(edge["packets_out"] - before[edge["session"]]) / (3 * frames) for edge in edges]
    return {
        "edges": len(edges),
        "viewers_at_edges": sum(edge["viewers"] for edge in edges),
        "copies_of_the_layer_per_edge": round(max(shares, default=0.0), 2),
        "viewers_of_the_tree": max((room["total"]["viewers"] for room in rooms if room["role"] == "origin"), default=0),
    }


async def _rooms(scene: Scene) -> list[dict[str, Any]]:
    rehearsal = scene.rehearsal
    found = await rehearsal.ask(rehearsal.nodes[await rehearsal.origin()], "/v1/rooms")
    return [room for room in found if room["room"] == ROOM]


async def outcomes(hosts: Hosts, viewers: int, *, outage_s: float) -> AsyncIterator[Outcome]:
    """All that goes wrong, on a fleet of its own."""
    async with Rehearsal(hosts, 2, 3) as rehearsal, scene(rehearsal, viewers) as made:
        async for outcome in faults(made, short=False, outage_s=outage_s):
            yield outcome


async def run(arguments: argparse.Namespace, hosts: Hosts) -> dict[str, Any]:
    """All of it."""
    host_count, per_host = (2, 2) if arguments.short else (3, 2)
    async with Rehearsal(hosts, per_host, host_count) as rehearsal, scene(rehearsal, arguments.viewers) as made:
        counted = await uplink(made)
        _say(f"{hosts.describe()}; {host_count * per_host} workers, {arguments.viewers} viewers; {machine.describe()}")
        _say(f"the origin's uplink: {counted}")
        found = []
        _say("fault | viewers hit | moved | frames lost, median and most | longest hole, s | orphans after")
        async for outcome in faults(made, short=arguments.short, outage_s=arguments.outage):
            found.append(outcome)
            _say(
                f"{outcome.fault} | {outcome.affected} of {outcome.viewers} | {outcome.moved} | "
                f"{outcome.lost_median} and {outcome.lost_most} of {outcome.frames} | {outcome.hole_s:.2f} | "
                f"{outcome.orphans} ({outcome.orphans_gone_s:.0f} s)"
            )
        return {"hosts": hosts.describe(), "uplink": counted, "faults": msgspec.to_builtins(found)}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run and print the table; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="as in CI")
    parser.add_argument("--viewers", type=int, default=18)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without Redis")
    arguments = parser.parse_args()
    with Hosts(2 if arguments.short else 3) as hosts, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(arguments, hosts))
    _say(msgspec.json.encode(result).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
