"""Room messaging under load: what one core of Headrace delivers, beside Socket.IO and ws on the same work.

One room; every message that is published goes to every socket. The server is alone on the first core; the load
generator (C, one epoll loop), Valkey and mongod are on the last. Messages have 100 characters and are sent at fixed
intended times, from which latency counts. Headrace runs its full stack: Litestar on Granian, Ed25519 tokens, limits,
the room log in Valkey, an acknowledgement for each message; the publishers are identities of the tier streamer.
Socket.IO runs with its Redis streams adapter on a Valkey of its own, ws with nothing behind it; neither has a log that
clients can resume from, identities, limits or acknowledgements. Deliveries are messages that arrived at a socket,
however many a frame had. Processor time is that of the server's process only.

Run with `task bench:signaling`; `-- --mode idle` (10,000 sockets that say nothing) and `-- --mode stalled` (readers
that stop among 1,000) are the other two. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from shared.stack.errors import StackError
from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine

from . import fanout, idle, peers, report, stalled
from .generator import GeneratorError, build
from .headrace import Headrace
from .sampling import Cores

PEERS = ("socketio", "ws", "ws-batched")


async def measure_fanout(
    cores: Cores,
    *,
    sockets: Sequence[int],
    rates: Sequence[float],
    seconds: float,
    chosen: Sequence[str],
    patience_s: float = 0.0,
    appendfsync: str = "",
) -> dict[str, Any]:
    """Measure Headrace and the chosen peers at each size; print the table as it grows; return the figures."""
    servers: list[fanout.Server] = [Headrace(cores, appendfsync=appendfsync)]
    if chosen:
        node = peers.install()
        made: dict[str, fanout.Server] = {
            "socketio": peers.SocketIo(cores, node),
            "ws": peers.Ws(cores, node, batched=False),
            "ws-batched": peers.Ws(cores, node, batched=True),
        }
        servers += [made[name] for name in chosen]
        print(
            f"peers:   socket.io {peers.version('socket.io')}, redis-streams-adapter "
            f"{peers.version('@socket.io/redis-streams-adapter')}, ws {peers.version('ws')}, one frame per "
            f"{peers.TICK_MS} ms where it is batched"
        )
    print(report.header(), flush=True)
    cells = []
    for size in sockets:
        for server in servers:
            async for cell in fanout.measure(
                server, cores, sockets=size, rates=rates, seconds=seconds, patience_s=patience_s
            ):
                cells.append(cell)
                print(report.row(cell), flush=True)
    if chosen:
        print("Headrace's deliveries per CPU-second:")
        print("\n".join(report.ratios(cells)))
    return report.figures(cells, seconds)


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the chosen modes; the figures of the later ones are added to those of the first."""
    cores = Cores.of_machine()
    describe(cores)
    raise_descriptor_limit()
    build()
    found: dict[str, Any] = {}
    if arguments.mode in {"fanout", "all"}:
        chosen = [name for name in arguments.peers if name != "none"]
        found |= await measure_fanout(
            cores,
            sockets=arguments.sockets,
            rates=arguments.rates,
            seconds=arguments.seconds,
            chosen=chosen,
            patience_s=arguments.patience,
            appendfsync=arguments.appendfsync,
        )
    if arguments.mode in {"idle", "all"}:
        found |= await idle.measure(cores, sockets=arguments.idle_sockets)
    if arguments.mode in {"stalled", "all"}:
        found |= await stalled.measure(cores)
    return found


def describe(cores: Cores) -> None:
    """Machine, method and pinning."""
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split(chr(10) * 2)[1].split())}")
    print(f"pinning: server on core {cores.server}; generator, Valkey, mongod and this program on core {cores.rest}")
    if cores.shared:
        print("INVALID: there is one core only, so server and generator take it from each other")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.bench.signaling", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mode", choices=["fanout", "idle", "stalled", "all"], default="fanout")
    parser.add_argument("--sockets", type=int, nargs="+", default=[1000, 1500])
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 100, 1000, 4000], help="published per second")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured in each cell")
    parser.add_argument("--peers", nargs="+", choices=[*PEERS, "none"], default=list(PEERS))
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for quiet cores before a cell")
    parser.add_argument("--appendfsync", choices=["everysec", "always", "no"], default="", help="mode of Valkey")
    parser.add_argument("--idle-sockets", type=int, default=10_000)
    try:
        figures = asyncio.run(measure(parser.parse_args()))
    except (GeneratorError, StackError) as error:
        sys.exit(f"bench:signaling: {error}")
    json.dump(figures, sys.stdout)
    print()


if __name__ == "__main__":
    main()
