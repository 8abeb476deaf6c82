"""Requests per second of processor time for the hot reads of the API, beside bare ASGI on the same server.

Method: one function process on one core, the load generator on the other, Valkey and mongod beside the generator. The
generator keeps a number of connections busy, each with one request at a time, and reads whole answers. What is measured
is answers per second of processor time of the function process (proc(5)), so a generator that is slower than the server
makes the run longer and not the figure smaller. Bare ASGI is a function of ten lines on Granian, started by the same
code (`shared.serving`), that answers the same number of bytes: the most that this server can do. Each is measured in
turn, several times, and the median is told.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import uvloop

from shared.protocol.messages import ChatEvent
from shared.stack import probe
from shared.stack.ports import free_ports
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.rooms import RoomLog, Submission
from tests.bench import machine
from tests.conftest import child_environ
from tests.support.room_client import guest

ROOMS = 60
MESSAGES = 50
READERS = 150
CONNECTIONS = 32


class Read(NamedTuple):
    """Requests that are sent again and again, in turn."""

    name: str
    port: int
    requests: list[bytes]
    pid: int


class Rate(msgspec.Struct, frozen=True):
    """What one read costs. `server_share` is the part of a core that the function process used."""

    name: str
    requests_per_cpu_s: float
    requests_per_s: float
    server_share: float
    bytes: int


async def bare(size: int, port: int) -> None:
    """The bare application, for ever: ten lines of ASGI that answer `size` bytes."""
    from shared.serving import serve  # noqa: PLC0415 - in the child process alone

    body = b"x" * size

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - ASGI
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    async def drain() -> None:
        """Nothing to wait for."""

    await serve(app, host="127.0.0.1", port=port, drain=drain, keep_alive_s=30)


async def measure(read: Read, seconds: float, connections: int) -> Rate:
    """Load one read; the first tenth of the time is not counted."""
    counted = 0
    size = 0
    stop = asyncio.Event()

    async def one() -> None:
        nonlocal counted, size
        reader, writer = await asyncio.open_connection("127.0.0.1", read.port)
        requests = itertools.cycle(read.requests)
        while not stop.is_set():
            writer.write(next(requests))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")):
                raise RuntimeError(f"{read.name}: {head!r}")
            length = 0
            lowered = head.lower()
            if (at := lowered.find(b"content-length:")) >= 0:
                length = int(lowered[at + 15 : lowered.index(b"\r\n", at)])
            if length:
                await reader.readexactly(length)
            size = length
            counted += 1
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(one())
        await asyncio.sleep(seconds / 10)
        began, cpu, before = time.perf_counter(), machine.cpu_seconds([read.pid]), counted
        await asyncio.sleep(seconds)
        took, used, done = time.perf_counter() - began, machine.cpu_seconds([read.pid]) - cpu, counted - before
        stop.set()
    return Rate(read.name, round(done / max(used, 0.01), 1), round(done / took, 1), round(used / took, 2), size)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[list[Read]]:
    """A platform with rooms and messages, and the reads of it; the bare server for each size is asked for later."""
    async with LocalStack(folder, functions=1, environ=child_environ(), report=lambda _: None) as stack:
        function = stack.functions[0]
        pid = stack.process(function.name).pid
        async with httpx.AsyncClient(base_url=function.url) as http:
            redis = connect_redis(stack.redis_url)
            room = ""
            for number in range(ROOMS):
                owner = await guest(http, f"Ana {number}")
                answer = await http.post(
                    "/v1/rooms", json={"title": f"Room {number}", "category": "Music"}, headers=owner.headers
                )
                room = answer.json()["room"]["id"]
                await RoomLog(redis).stream_started(room, session=f"w-{number}", worker="w", name="Ana")
            # Each may read 50 times a second.
            tokens = [await (await guest(http, "Bo")).room_token(room) for _ in range(READERS)]
            events = [Submission(ChatEvent("p1", "Ana", n, f"message number {n}"), 10_000) for n in range(MESSAGES)]
            await RoomLog(redis).append(room, events)
            await redis.aclose()
            while len((await http.get("/v1/rooms")).json()["rooms"]) < 20:
                await asyncio.sleep(0.1)
            tag = (await http.get(f"/v1/rooms/{room}")).headers["etag"]
        await asyncio.sleep(2)

        def get(path: str, *headers: str) -> bytes:
            lines = (f"GET {path} HTTP/1.1", "host: localhost", *headers)
            return ("\r\n".join(lines) + "\r\n\r\n").encode()

        room_path = f"/v1/rooms/{room}"
        page = f"{room_path}/messages?before=9007199254740991"
        asked = {
            "GET /v1/rooms/{id}": [get(room_path)],
            "GET /v1/rooms/{id}, not modified": [get(room_path, f"if-none-match: {tag}")],
            "GET /v1/rooms, 20 live rooms": [get("/v1/rooms?category=music")],
            "GET messages, 50": [get(page, f"authorization: Bearer {token}") for token in tokens],
            "GET /health/live": [get("/health/live")],
        }
        yield [Read(name, function.port, requests, pid) for name, requests in asked.items()]


async def compare(seconds: float, rounds: int, connections: int) -> list[dict[str, float | str]]:
    """Every read and bare ASGI of the same size, in turn; the medians and their ratio."""
    server, load = _cores()
    found: dict[str, list[tuple[Rate, Rate]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with scene(Path(folder)) as reads:
            os.sched_setaffinity(0, load)
            machine.pin(reads[0].pid, server)
            for _ in range(rounds):
                for read in reads:
                    rate = await measure(read, seconds, connections)
                    async with _bare(rate.bytes, server) as other:
                        found.setdefault(read.name, []).append((rate, await measure(other, seconds, connections)))
    return [_together(name, pairs) for name, pairs in found.items()]


def _together(name: str, pairs: Sequence[tuple[Rate, Rate]]) -> dict[str, float | str]:
    ours = statistics.median(ours.requests_per_cpu_s for ours, _ in pairs)
    most = statistics.median(most.requests_per_cpu_s for _, most in pairs)
    return {
        "read": name,
        "bytes": pairs[0][0].bytes,
        "requests_per_cpu_s": ours,
        "bare_requests_per_cpu_s": most,
        "ratio": round(ours / most, 4),
        "requests_per_s": statistics.median(ours.requests_per_s for ours, _ in pairs),
        "server_core_share": statistics.median(ours.server_share for ours, _ in pairs),
        "bare_core_share": statistics.median(most.server_share for _, most in pairs),
    }


@asynccontextmanager
async def _bare(size: int, cores: set[int]) -> AsyncIterator[Read]:
    (port,) = free_ports(1)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.api", "--bare", str(size), "--port", str(port)
    )
    try:
        async with asyncio.timeout(20):
            while not await probe.listens(port):
                await asyncio.sleep(0.02)
        machine.pin(child.pid, cores)
        yield Read("bare", port, [b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"], child.pid)
    finally:
        child.terminate()
        await child.wait()


def _cores() -> tuple[set[int], set[int]]:
    """For the server and for everything else; the same where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:]) or {cores[0]}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.bench.api", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--bare", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare >= 0:
        uvloop.run(bare(arguments.bare, arguments.port))
        return
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split(chr(10) * 2)[1].split())}")
    rows = uvloop.run(compare(arguments.seconds, arguments.rounds, arguments.connections))
    print(f"{'read':<36}{'bytes':>7}{'req/CPU-s':>11}{'bare':>9}{'ratio':>8}{'core':>6}")
    for row in rows:
        print(
            f"{row['read']:<36}{row['bytes']:>7}{row['requests_per_cpu_s']:>11,.0f}"
            f"{row['bare_requests_per_cpu_s']:>9,.0f}{row['ratio']:>8.1%}{row['server_core_share']:>6.0%}"
        )
    print(json.dumps({"reads": rows}))


if __name__ == "__main__":
    main()
