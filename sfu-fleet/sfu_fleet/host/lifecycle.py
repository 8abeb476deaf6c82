"""A host from its start to its end: workers up, group told; a notice or a signal, workers drained, group told."""

import asyncio
from typing import Protocol

import msgspec
from structlog import get_logger

from sfu_fleet.host.metadata import Metadata, MetadataError, Notice
from sfu_fleet.host.workers import Workers
from shared.tasks import end

log = get_logger(__name__)


class Hooks(Protocol):
    """Who waits for this host: an auto-scaling group."""

    async def heartbeat(self, hook: str) -> None:
        """Say that we are still at it."""

    async def complete(self, hook: str) -> None:
        """Say that we are done, until it was heard."""


class Timing(msgspec.Struct, frozen=True):
    """Seconds: between questions for a notice, between heartbeats, and that a drain may take."""

    poll_s: float
    heartbeat_s: float
    drain_deadline_s: float


class Lifecycle:
    """One host's life. `hooks` is None where nobody waits; `metadata` is None where there is no cloud."""

    def __init__(
        self,
        workers: Workers,
        timing: Timing,
        *,
        metadata: Metadata | None,
        hooks: Hooks | None,
        launch_hook: str,
        terminate_hook: str,
    ) -> None:
        self._workers = workers
        self._timing = timing
        self._metadata = metadata
        self._hooks = hooks
        self._launch_hook = launch_hook
        self._terminate_hook = terminate_hook
        self._failing = False

    async def run(self, stop: asyncio.Event) -> None:
        """Live until `stop` is set, and through the drain that follows a notice or it."""
        self._workers.start()
        loop = asyncio.get_running_loop()
        announcing = loop.create_task(self._announce(), name="announce")
        watching = loop.create_task(self._noticed(), name="watch")
        stopping = loop.create_task(_wait(stop), name="stop")
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await end(announcing)  # or it would tell the group that a host is ready that is about to go
            if watching.done():
                log.info("notice", reason=watching.result())
                await self._leave()
                # The group ends this machine, which ends us; nothing here may start workers again.
                await stopping
            else:
                await self._drain()
        finally:
            await end(announcing, stopping)
            watching.cancel()
            await self._workers.close()

    async def _announce(self) -> None:
        await self._workers.ready()
        log.info("workers_ready")
        if self._hooks and self._launch_hook:
            await self._hooks.complete(self._launch_hook)

    async def _noticed(self) -> Notice:
        """Return when the host has to go; a metadata service that is away is no reason."""
        while True:
            await asyncio.sleep(self._timing.poll_s)
            if self._metadata is None:
                continue
            try:
                notice = await self._metadata.notice()
            except MetadataError as error:
                if not self._failing:
                    log.warning("metadata_lost", error=str(error))
                self._failing = True
                continue
            self._failing = False
            if notice is not None:
                return notice

    async def _leave(self) -> None:
        beating = asyncio.create_task(self._beat(), name="heartbeat")
        try:
            await self._drain()
        finally:
            await end(beating)
        if self._hooks and self._terminate_hook:
            await self._hooks.complete(self._terminate_hook)

    async def _drain(self) -> None:
        log.info("draining", deadline_s=self._timing.drain_deadline_s)
        await self._workers.drain(self._timing.drain_deadline_s)
        log.info("drained")

    async def _beat(self) -> None:
        while self._hooks and self._terminate_hook:
            await self._hooks.heartbeat(self._terminate_hook)
            await asyncio.sleep(self._timing.heartbeat_s)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
