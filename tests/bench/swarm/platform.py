"""What is put under load: a platform of the swarm's own, or one that runs on this machine; seats in its rooms."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.load import loopback
from tests.bench.signaling.sampling import Cores
from tests.conftest import child_environ
from tests.support.addresses import somebody

from .viewer import Seat

# The swarm looks for the most that a worker carries, so the worker must not refuse anybody before.
_UNLIMITED: Final = {
    "HEADRACE_SFU_CAPACITY_PPS": "100000000",
    "HEADRACE_SFU_JOINS_PER_S": "1000",
    "HEADRACE_SFU_UPLINK_BITRATE": "20000000",
    # Viewers come from addresses of their own, as behind a load balancer.
    "HEADRACE_TRUSTED_PROXIES": "127.0.0.0/8",
}
_AT_ONCE: Final = 8


class PlatformError(Exception):
    """The platform cannot be used; the message says why."""


class Room(msgspec.Struct, frozen=True):
    """A room's id and its owner's token, with which to publish."""

    id: str
    token: str

    @property
    def whip(self) -> str:
        """The path to publish at."""
        return f"/v1/rooms/{self.id}/whip"

    @property
    def whep(self) -> str:
        """The path to watch at."""
        return f"/v1/rooms/{self.id}/whep"


class Platform:
    """A platform on this machine. `stack` is it where it is our own."""

    def __init__(self, url: str, http: httpx.AsyncClient, stack: LocalStack | None = None) -> None:
        self.url = url
        self.http = http
        self.stack = stack
        self._guests = 0

    @classmethod
    @asynccontextmanager
    async def own(cls, cores: Cores, **environ: str) -> AsyncIterator["Platform"]:
        """Start one function process and one SFU worker, this one alone on its core."""
        async with AsyncExitStack() as running:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            stack = await running.enter_async_context(
                LocalStack(
                    folder,
                    functions=1,
                    workers=1,
                    environ=child_environ() | _UNLIMITED | environ,
                    report=lambda _: None,
                )
            )
            for name in ("valkey", "mongod", "balancer", stack.functions[0].name):
                with suppress(KeyError):
                    machine.pin(stack.process(name).pid, {cores.rest})
            machine.pin(stack.process(stack.workers[0].name).pid, {cores.server})
            # Straight to the function process: the balancer is another matter.
            url = stack.functions[0].url
            http = await running.enter_async_context(_client(url))
            yield cls(url, http, stack)

    @classmethod
    @asynccontextmanager
    async def running(cls, url: str) -> AsyncIterator["Platform"]:
        """Use one that runs already; nothing of it is pinned.

        Raises:
            tests.bench.load.LoadError: it is not on this machine.
        """
        url = loopback(url)
        async with _client(url) as http:
            yield cls(url, http)

    def worker_pid(self, sdp: str = "") -> int | None:
        """The process of the SFU worker: ours, or whichever of this user's has the port of a description's candidate.

        None where that is somebody else's process, at which this user may not look.
        """
        if self.stack is not None:
            return self.stack.process(self.stack.workers[0].name).pid
        found = re.search(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host", sdp)
        return _holder_of(int(found[1])) if found else None

    async def room(self, title: str) -> Room:
        """Create a room."""
        owner = await self._guest("Streamer")
        made = await self._post("/v1/rooms", {"title": title}, token=owner)
        return Room(made["room"]["id"], made["token"])

    async def seats(self, room: Room, count: int) -> list[Seat]:
        """A guest and a room token for each of so many viewers."""
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def seat() -> Seat:
            async with at_once:
                identity = await self._guest("Viewer")
                made = await self._post(f"/v1/rooms/{room.id}/tokens", {"kind": "participant"}, token=identity)
                return Seat(room.whep, str(made["token"]))

        return list(await asyncio.gather(*(seat() for _ in range(count))))

    async def _guest(self, name: str) -> str:
        self._guests += 1
        body = {"name": f"{name} {self._guests}"}
        made = await self._post("/v1/guests", body, address=somebody(self._guests))
        return str(made["token"])

    async def _post(self, path: str, body: dict[str, str], *, token: str = "", address: str = "") -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= {"x-forwarded-for": address} if address else {}
        try:
            response = await self.http.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise PlatformError(f"{path}: {type(error).__name__}: {error}") from error
        if response.status_code != httpx.codes.CREATED:
            raise PlatformError(f"{path} was answered with {response.status_code}: {response.text[:200]}")
        made: dict[str, Any] = response.json()
        return made


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=32), trust_env=False)


def _holder_of(port: int) -> int | None:
    """Who has a UDP port open (proc(5), /proc/net/udp and /proc/PID/fd)."""
    inodes = set()
    for table in ("udp", "udp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if any(str(entry.readlink()) in inodes for entry in (process / "fd").iterdir()):
                    return int(process.name)
    return None
