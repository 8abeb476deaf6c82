"""`python -m tests.bench.fleet.overhead`: what a core forwards as an edge, beside what it forwards at the origin.

The same viewers, the same stream, one run after the other: packets that arrive for each second of processor time of
the worker that viewers are at, and the delay from the publisher's clock to the kernel's time of arrival there. Both
workers are on one core, load and viewers on the other.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from tests.bench import machine
from tests.bench.sfu.cells import Bench, Cell
from tests.bench.sfu.stream import record
from tests.bench.sfu.viewers import Viewer
from tests.bench.sfu.worker import Lag, Worker
from tests.bench.signaling.sampling import Cores
from tests.sfu_fleet.peer import VP8_KEYFRAME, rtp_packet


class Tree:
    """A target of two workers: the publisher is at the first, viewers at the second, which pulls."""

    keeps_alive = True
    joins_at_once = 8

    def __init__(self, origin: Worker, edge: Worker, urls: Sequence[str], tokens: Tokens) -> None:
        self.pids = edge.pids
        self._origin, self._edge = origin, edge
        self._url = urls[0]
        self._tokens = tokens

    async def publish(self, peer: Viewer, room: int) -> None:
        """Connect a room's publisher."""
        await self._origin.publish(peer, room)
        # Others can have a stream once there is one.
        for sequence in range(3):
            peer.send_rtp(rtp_packet(65_533 + sequence, payload=VP8_KEYFRAME))
        claims = Claims(sub="edges", room=f"bench-{room}", grants=frozenset({Grant.RELAY}))
        named = {"id": "origin", "url": self._url, "media": ""}
        self._edge.placed = {
            "origin": named,
            "parent": named,
            "relay": self._tokens.sign(claims, audience=AUDIENCE_SFU, lifetime_s=3_600),
        }

    async def view(self, viewer: Viewer, room: int) -> None:
        """Connect a viewer."""
        await self._edge.view(viewer, room)

    async def leave(self, viewer: Viewer) -> None:
        """Disconnect a viewer."""
        await self._edge.leave(viewer)

    async def present(self) -> frozenset[Viewer]:
        """Whose session there is."""
        return await self._edge.present()

    async def lag(self) -> Lag:
        """How late the edge's event loop has been."""
        return await self._edge.lag()


@asynccontextmanager
async def workers(cores: Cores) -> AsyncIterator[tuple[Worker, Tree]]:
    """The same worker as a target of its own, and as the origin of another."""
    async with Worker.running("auto", cores, workers=2) as (origin, edge):
        tokens = Tokens(KeyRing.from_jwks(origin.jwks))
        yield origin, Tree(origin, edge, [origin.url, edge.url], tokens)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure both."""
    cores = Cores.of_machine()
    frames = record(arguments.kbps * 1000)
    async with workers(cores) as (origin, tree):
        async with Bench.of(origin, cores) as bench:
            direct = await bench.measure(frames, arguments.viewers, arguments.seconds)
        async with Bench.of(tree, cores) as bench:
            edge = await bench.measure(frames, arguments.viewers, arguments.seconds)
    ratio = edge.packets_per_cpu_second / direct.packets_per_cpu_second
    hop = edge.delays_ms[1] - direct.delays_ms[1]
    _say(machine.describe())
    _say(f"{arguments.viewers} viewers of {frames.origin}, {arguments.seconds:.0f} s each")
    for name, cell in (("direct", direct), ("through an edge", edge)):
        _say(_described(name, cell))
    _say(f"ratio {ratio:.2f}; one hop adds {hop:.2f} ms at P95")
    return {
        "viewers": arguments.viewers,
        "direct_packets_per_cpu_s": round(direct.packets_per_cpu_second),
        "edge_packets_per_cpu_s": round(edge.packets_per_cpu_second),
        "edge_to_direct_ratio": round(ratio, 3),
        "hop_added_p95_ms": round(hop, 3),
        "direct_p95_ms": round(direct.delays_ms[1], 3),
        "edge_p95_ms": round(edge.delays_ms[1], 3),
    }


def _described(name: str, cell: Cell) -> str:
    return (
        f"{name}: {cell.packets_per_second:.0f} packets/s, {cell.packets_per_cpu_second:.0f} for each CPU-second "
        f"({100 * cell.worker_cores:.0f} % of a core), delay median and P95 {cell.delays_ms[0]:.2f} and "
        f"{cell.delays_ms[1]:.2f} ms, lost {cell.lost}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--kbps", type=int, default=2_500)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(parser.parse_args()))
    _say(msgspec.json.encode(result).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
