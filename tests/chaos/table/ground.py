"""What the faults of the table are done to, and the means to break it."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from shared.stack.supervisor import Child
from tests.chaos.loss.faults import Faults
from tests.chaos.loss.links import Links
from tests.chaos.loss.scenario import until
from tests.chaos.loss.stage import Stage
from tests.support.replica_set import ReplicaSet

PAUSE_S: Final = 4.0
_DELAY_S: Final = 0.2
_WHOLE_S: Final = 60.0
_SMALL_DISK: Final = "size=192m"


class NotPossibleError(Exception):
    """This machine does not let the fault be made; the text says why."""


class Ground:
    """A stage whose MongoDB has three members. `storm` is how many sockets a storm of reconnections has.

    What stands still does so for `pause_s` seconds. `private` says that this process has a network of its own, in which
    packets may be dropped.
    """

    def __init__(
        self,
        stage: Stage,
        members: ReplicaSet,
        rng: random.Random,
        *,
        folder: Path,
        storm: int,
        pause_s: float = PAUSE_S,
        private: bool = False,
    ) -> None:
        self.stage = stage
        self.members = members
        self.rng = rng
        self.folder = folder
        self.storm = storm
        self.pause_s = pause_s
        self.private = private
        self.known = Faults(stage, rng, appendfsync="always")

    @property
    def processes(self) -> list[Child]:
        """Those that hold connections for people: what MongoDB's members hold depends on which of them was elected."""
        stack = self.stage.stack
        names = [endpoint.name for endpoint in stack.functions]
        return [*(stack.process(name) for name in (*names, "balancer")), self.stage.state.process("valkey")]

    async def whole(self) -> None:
        """Wait until every process says that it is ready, and MongoDB's members follow one of them."""
        async with asyncio.timeout(_WHOLE_S):
            for child in (*self.processes, *self.members.members):
                while not await child.spec.ready():
                    await asyncio.sleep(0.05)
        await self.members.whole()

    async def everybody_back(self, before: int) -> None:
        """Wait until all have joined again that were cut off; `before` is what `connections` was."""
        await until(lambda: self.connections >= before + len(self.stage.witnesses))

    @property
    def connections(self) -> int:
        """How often anybody has joined."""
        return sum(one.connections for one in self.stage.witnesses)

    async def pause(self, *children: Child) -> str:
        """Let processes stand still for a while."""
        for child in children:
            child.send(signal.SIGSTOP)
        await asyncio.sleep(self.pause_s)
        for child in children:
            child.send(signal.SIGCONT)
        return f"stopped for {self.pause_s:.0f} s (SIGSTOP)"

    async def delay(self, links: Links) -> str:
        """Let all that goes over links take longer for a while."""
        links.delay_s = _DELAY_S
        await asyncio.sleep(self.pause_s)
        links.delay_s = 0.0
        return f"{_DELAY_S * 1000:.0f} ms more each way for {self.pause_s:.0f} s"


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[None]:
    """A file system that can be filled in place of a new folder, where this machine lets one be mounted."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 - once
    mounted = await run("mount", "-t", "tmpfs", "-o", _SMALL_DISK, "tmpfs", str(folder))
    try:
        yield
    finally:
        if mounted:
            await run("umount", "--lazy", str(folder))


def is_small(folder: Path) -> bool:
    """Whether a folder is on such a file system."""
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize <= 512 * 1024 * 1024


async def run(*argv: str) -> bool:
    """Run a program of the system; whether it is there and did what it was told."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return False
    return await process.wait() == 0
