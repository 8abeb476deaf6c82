"""The workers of a host: one process each, started again when they end or hang, drained together."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec
from structlog import get_logger

from sfu_fleet.host.metrics import HostMetrics
from shared.probe import answers
from shared.tasks import end

_SETTLED_S = 10.0  # a life as long as this resets the back-off
_BACKOFF_FIRST_S = 0.2
_BACKOFF_MAX_S = 10.0
_READY_POLL_S = 0.2
ALIVE_POLL_S = 1.0

log = get_logger(__name__)


class WorkerSpec(msgspec.Struct, frozen=True):
    """One worker: its environment, where its control API listens, and the core that it is kept on, if any."""

    name: str
    environ: Mapping[str, str]
    control_host: str
    control_port: int
    core: int | None = None


class _Worker:
    """One worker through all its lives."""

    def __init__(self, spec: WorkerSpec, metrics: HostMetrics, unresponsive_s: float) -> None:
        self.spec = spec
        self.stopping = False
        self._metrics = metrics
        self._unresponsive_s = unresponsive_s
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Run until told to stop: start, wait, start again after a while that grows with each short life."""
        loop = asyncio.get_running_loop()
        short = 0
        while True:
            born = loop.time()
            process = await self._spawn()
            reason = await self._life(process)
            if self.stopping:
                return
            short = 0 if loop.time() - born >= _SETTLED_S else short + 1
            delay_s = backoff_s(short)
            self._metrics.restarts.labels(reason).inc()
            log.warning(
                "worker_ended", worker=self.spec.name, reason=reason, code=process.returncode, again_in_s=delay_s
            )
            await asyncio.sleep(delay_s)

    async def _life(self, process: asyncio.subprocess.Process) -> str:
        """Wait for the end of a process, or for it to hang, which is its end as well; why it ended."""
        watching = asyncio.create_task(self._hangs(process), name=f"{self.spec.name}-watch")
        try:
            await process.wait()
        finally:
            hung = watching.done()
            await end(watching)
        return "unresponsive" if hung else "ended"

    async def _hangs(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process that does not answer any more, once it has: how long a start takes is no matter of ours.

        One that drains is left alone: that has a deadline of its own.
        """
        loop = asyncio.get_running_loop()
        if not self._unresponsive_s:
            await loop.create_future()
        heard: float | None = None
        while True:
            if self.stopping or await answers(self.spec.control_host, self.spec.control_port):
                heard = loop.time()
            elif heard is not None and loop.time() - heard >= self._unresponsive_s:
                break
            await asyncio.sleep(ALIVE_POLL_S)
        log.error("worker_unresponsive", worker=self.spec.name, for_s=self._unresponsive_s)
        with suppress(ProcessLookupError):
            process.kill()

    def terminate(self) -> None:
        """SIGTERM, at which a worker drains."""
        self.stopping = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """SIGKILL."""
        self.stopping = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    @property
    def alive(self) -> bool:
        """Whether a process runs."""
        return self._process is not None and self._process.returncode is None

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sfu_fleet",
            env=dict(self.spec.environ),
            stdin=asyncio.subprocess.DEVNULL,
            # A signal to the agent's group, as Ctrl-C, must reach the agent alone: it drains in order.
            start_new_session=True,
        )
        if self.spec.core is not None:
            # Before the interpreter has started: threads that come later inherit it.
            with suppress(OSError):
                os.sched_setaffinity(self._process.pid, {self.spec.core})
        return self._process


def backoff_s(short: int) -> float:
    """Seconds until the next start, after so many short lives in a row."""
    return min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0 ** max(0, short - 1))


class Workers:
    """All workers of this host."""

    def __init__(self, specs: Sequence[WorkerSpec], metrics: HostMetrics, *, unresponsive_s: float) -> None:
        self._workers = [_Worker(spec, metrics, unresponsive_s) for spec in specs]
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = metrics
        metrics.workers.labels("running").set_function(lambda: sum(worker.alive for worker in self._workers))
        metrics.workers.labels("waiting").set_function(lambda: sum(not worker.alive for worker in self._workers))

    def start(self) -> None:
        """Start them, and keep them running."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(worker.keep(), name=worker.spec.name) for worker in self._workers]

    async def ready(self) -> None:
        """Return when each worker has answered that it is registered."""
        for worker in self._workers:
            await _until_ready(worker.spec)

    async def drain(self, deadline_s: float) -> None:
        """Let all drain at once, so that none takes the others' viewers; what is left at the deadline is killed."""
        self._metrics.draining.set(1)
        for worker in self._workers:
            worker.terminate()
        # One that is between two lives has nothing to drain.
        idle = [task for task, worker in zip(self._tasks, self._workers, strict=True) if not worker.alive]
        await end(*idle)
        running = [task for task in self._tasks if not task.done()]
        if running:
            await asyncio.wait(running, timeout=deadline_s)
        late = [worker.spec.name for worker in self._workers if worker.alive]
        if late:
            log.warning("drain_deadline", deadline_s=deadline_s, killed=late)
        await self.close()

    def kill(self) -> None:
        """End what still runs, at once; `drain` and `close` wait for it."""
        for worker in self._workers:
            worker.kill()

    async def close(self) -> None:
        """Kill what still runs and wait until it is gone."""
        self.kill()
        running = [task for task, worker in zip(self._tasks, self._workers, strict=False) if worker.alive]
        if running:
            await asyncio.wait(running)
        await end(*self._tasks)


async def _until_ready(spec: WorkerSpec) -> None:
    while True:
        if await answers(spec.control_host, spec.control_port, "/health/ready"):
            return
        await asyncio.sleep(_READY_POLL_S)
