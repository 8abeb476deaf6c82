"""The peers on the same work: small Node.js programs of ours beside this file, on Socket.IO and on `ws`."""

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from shared.stack import node
from shared.stack.commands import run_logged
from shared.stack.progress import Progress
from shared.stack.stack import LocalStack
from tests.bench import machine

from .plan import TEXT, Kind, Message, Opening, Plan, new_marker, text_with
from .sampling import Cores
from .target import Target

FOLDER: Final = Path(__file__).with_name("nodejs")
TICK_MS: Final = 20
_START_TIMEOUT_S: Final = 20.0
# As long as Headrace's message ids are.
_MESSAGE_ID: Final = 2**53 - 1


def install() -> node.Node:
    """Find Node.js and install the peers' packages as their lock file has them.

    Raises:
        CommandFailed: there is no Node.js, or npm failed.
    """
    logs = Path(tempfile.gettempdir()) / f"headrace-bench-{os.getuid()}"
    found = node.ensure(progress=Progress(), logs=logs)
    lock = FOLDER / "package-lock.json"
    stamp = FOLDER / "node_modules" / ".installed"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="ascii") != digest:
        argv = (*found.npm, "ci", "--no-audit", "--no-fund")
        run_logged(argv, log=logs / "npm.log", what="npm ci", cwd=FOLDER, environ=found.environ())
        stamp.write_text(digest, encoding="ascii")
    return found


def version(package: str) -> str:
    """The version that is installed."""
    described = (FOLDER / "node_modules" / package / "package.json").read_text(encoding="utf-8")
    return str(json.loads(described)["version"])


class SocketIo:
    """Socket.IO with its Redis streams adapter, one process, WebSocket transport only."""

    name = "Socket.IO"

    def __init__(self, cores: Cores, found: node.Node) -> None:
        self._cores, self._node = cores, found

    @asynccontextmanager
    async def start(self, sockets: int, publishers: int) -> AsyncIterator[Target]:
        """With a Valkey of its own."""
        marker = new_marker()
        plan = Plan(
            port=0,
            # Engine.IO 4 over WebSocket: 40 asks to join the main namespace, 40 answers; 2 is a ping, 3 its answer.
            openings=[Opening("/socket.io/?EIO=4&transport=websocket", b"40")] * sockets,
            publishers=publishers,
            message=Message(f'42["chat",{_MESSAGE_ID},"{text_with(marker)}"]'.encode()),
            marker=marker,
            kinds=[
                Kind("open", "count", 0, b"0"),
                Kind("joined", "ready", 0, b"40"),
                Kind("ping", "answer", 0, b"2", b"3"),
            ],
            opcode=TEXT,
        )
        with tempfile.TemporaryDirectory() as folder:
            async with LocalStack(Path(folder), mongod=False, report=lambda _: None) as stack:
                valkey = stack.process("valkey").pid
                machine.pin(valkey, {self._cores.rest})
                environ = {"REDIS_URL": stack.redis_url}
                async with _serving(self._node, "socketio.js", environ, self._cores) as (server, port):
                    yield Target(self.name, server, (valkey,), _with_port(plan, port))


class Ws:
    """`ws`, the fastest of Node's usual servers: to each socket one frame per message, or (batched) one per tick."""

    def __init__(self, cores: Cores, found: node.Node, *, batched: bool) -> None:
        self._cores, self._node, self._batched = cores, found, batched
        self.name = "ws batched" if batched else "ws"

    @asynccontextmanager
    async def start(self, sockets: int, publishers: int) -> AsyncIterator[Target]:
        """One process, nothing behind it."""
        marker = new_marker()
        plan = Plan(
            port=0,
            openings=[Opening("/", b"")] * sockets,
            publishers=publishers,
            message=Message(f'[{_MESSAGE_ID},"{text_with(marker)}"]'.encode()),
            marker=marker,
            kinds=[Kind("ready", "ready", 0, b"ready")],
            opcode=TEXT,
        )
        environ = {"TICK_MS": str(TICK_MS)} if self._batched else {}
        async with _serving(self._node, "ws.js", environ, self._cores) as (server, port):
            yield Target(self.name, server, (), _with_port(plan, port))


def _with_port(plan: Plan, port: int) -> Plan:
    return msgspec.structs.replace(plan, port=port)


@asynccontextmanager
async def _serving(
    found: node.Node, program: str, environ: Mapping[str, str], cores: Cores
) -> AsyncIterator[tuple[int, int]]:
    """Process id and port."""
    process = await asyncio.create_subprocess_exec(
        str(found.directory / "node"),
        str(FOLDER / program),
        env={**found.environ(), "NODE_ENV": "production", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_TIMEOUT_S):
            port = int(await process.stdout.readline())
        machine.pin(process.pid, {cores.server})
        yield process.pid, port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
