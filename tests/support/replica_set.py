"""Three members of a MongoDB replica set on this machine, one of which can be killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from shared.stack import embedded, probe
from shared.stack.ledger import Ledger
from shared.stack.ports import free_ports
from shared.stack.supervisor import Child, ChildSpec, Supervisor
from tests.conftest import child_environ

MEMBERS = 3
ELECTION_TIMEOUT_MS = 1000


class ReplicaSet:
    """The members, by port."""

    def __init__(self, supervisor: Supervisor, ports: list[int]) -> None:
        self._supervisor = supervisor
        self.ports = ports

    @property
    def uri(self) -> str:
        """As a deployment has it, with DocumentDB's limit."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"mongodb://{hosts}/?replicaSet={embedded.REPLICA_SET}&retryWrites=false"

    async def primary(self) -> int:
        """The port of the primary; waits for one."""
        async with asyncio.timeout(30):
            while True:
                for port in self.ports:
                    if (await _hello(port)).get("isWritablePrimary"):
                        return port
                await asyncio.sleep(0.05)

    async def whole(self) -> None:
        """Wait until there is a primary, and every other member follows it."""
        primary = await self.primary()
        async with asyncio.timeout(60):
            for port in self.ports:
                while port != primary and not (await _hello(port)).get("secondary"):
                    await asyncio.sleep(0.05)

    @property
    def members(self) -> list[Child]:
        """The processes."""
        return [self.member(port) for port in self.ports]

    def member(self, port: int) -> Child:
        """The process at a port."""
        return self._supervisor.children[f"mongod-{port}"]


@asynccontextmanager
async def replica_set(folder: Path) -> AsyncIterator[ReplicaSet]:
    """Start one, with a primary."""
    ports = free_ports(MEMBERS)
    supervisor = Supervisor(logs=folder, ledger=Ledger(folder / "processes.json"), report=lambda _: None)
    try:
        for port in ports:
            await supervisor.start(_member(port, folder / str(port)))
        await _initiate(ports)
        found = ReplicaSet(supervisor, ports)
        await found.primary()
        yield found
    finally:
        # Not asked to stop: a primary that is waits ten seconds for another one to be elected.
        supervisor.kill_all()
        await supervisor.close()


def _member(port: int, data: Path) -> ChildSpec:
    plain = embedded.mongod(port=port, data=data, environ=child_environ())

    async def ready() -> bool:
        return await probe.listens(port)

    return ChildSpec(name=f"mongod-{port}", argv=plain.argv, ready=ready, environ=plain.environ, start_deadline_s=60)


async def _initiate(ports: list[int]) -> None:
    members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
    config = {
        "_id": embedded.REPLICA_SET,
        "members": members,
        "settings": {"electionTimeoutMillis": ELECTION_TIMEOUT_MS, "heartbeatIntervalMillis": 300},
    }
    async with _direct(ports[0]) as client:
        await client.admin.command("replSetInitiate", config)


async def _hello(port: int) -> dict[str, Any]:
    try:
        async with _direct(port) as client:
            return dict(await client.admin.command("hello"))
    except PyMongoError:
        return {}


def _direct(port: int) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000, serverMonitoringMode="poll"
    )
