"""Start processes, keep them running, stop them in order, and never leave one behind.

Children write their logs themselves, into files that the supervisor keeps short: a supervisor that is busy (a test may
block its loop) then never stalls a child on a full pipe.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from . import paths
from .commands import tail
from .errors import ChildFailed
from .ledger import Ledger

_LAUNCHER: Final = (sys.executable, "-I", "-S", str(paths.STACK / "child.py"))
_POLL_S: Final = 0.05  # how soon an exit is seen; ten children polled so cost well under 1 % of a core
_READY_POLL_S: Final = 0.05
_LOG_BYTES: Final = 8 * 1024 * 1024  # twice per child: the current file and the one before
_LOG_CHECK_S: Final = 1.0
_SETTLED_S: Final = 10.0  # a life as long as this resets the back-off
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 5.0
_STILLBORN_MAX: Final = 4  # deaths in a row before being ready: it will not come up by itself


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a child, how to see that it is ready, and how long it may take."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    environ: Mapping[str, str]
    start_deadline_s: float = 30.0
    stop_deadline_s: float = 10.0
    pass_fds: tuple[int, ...] = ()


class Child:
    """One process of the stack through all its lives; restarted with the same arguments, so on the same port."""

    def __init__(self, spec: ChildSpec, *, log: Path, ledger: Ledger, report: Callable[[str], None]) -> None:
        self.spec = spec
        self.log = log
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()  # not running and not about to be
        self.restart = True
        self.restarts = 0
        self._ledger = ledger
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """Process id of the current life.

        Raises:
            ProcessLookupError: it is not running now.
        """
        if self._process is None or self._process.returncode is not None:
            raise ProcessLookupError(f"{self.spec.name} is not running")
        return self._process.pid

    async def keep(self) -> None:
        """Run until told to stop: start, watch, start again.

        Raises:
            ChildFailed: not ready in time at the first start, or dead before being ready too many times in a row.
        """
        stillborn = short = 0
        try:
            while True:
                process = self._spawn()
                born = time.monotonic()
                was_ready = await self._watch(process, first=self.restarts == 0)
                lived_s = time.monotonic() - born
                if self._stopping or not self.restart:
                    return
                stillborn = 0 if was_ready else stillborn + 1
                short = 0 if lived_s >= _SETTLED_S else short + 1
                if stillborn >= _STILLBORN_MAX:
                    raise ChildFailed(self._describe(f"ended {stillborn} times before it was ready"))
                delay_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0 ** max(0, short - 1))
                self._report(f"{self.spec.name} {_how(process.returncode)}; starting it again in {delay_s:.1f} s")
                await asyncio.sleep(delay_s)
                self.restarts += 1
        finally:
            self._kill()
            self.ended.set()

    def send(self, signum: int) -> None:
        """Signal the process and whatever it started."""
        if self._process is not None and self._process.poll() is None:
            # The child leads a group of its own, so that the terminal's Ctrl-C reaches the supervisor alone.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Ask it to stop, wait for as long as it may take, then kill."""
        self._stopping = True
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process takes no SIGTERM
        if self._process is None or self._process.poll() is not None:
            task.cancel()  # between two lives
        await asyncio.wait([task], timeout=self.spec.stop_deadline_s)
        if not task.done():
            self._report(f"{self.spec.name} did not stop within {self.spec.stop_deadline_s:.0f} s and was killed")
            self._kill()
        await asyncio.wait([task])

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:  # appending, so that the file can be cut while the child writes
            self._process = subprocess.Popen(
                [*_LAUNCHER, str(os.getpid()), *self.spec.argv],
                cwd=paths.ROOT,
                env=dict(self.spec.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.spec.pass_fds,
            )
        self._ledger.record(self.spec.name, self._process.pid)
        return self._process

    async def _watch(self, process: subprocess.Popen[bytes], *, first: bool) -> bool:
        """Wait for the end of one life. Was it ever ready?"""
        asking = asyncio.create_task(self._until_ready(), name=f"{self.spec.name} ready")
        deadline = time.monotonic() + self.spec.start_deadline_s
        try:
            while process.poll() is None:
                if asking.done():
                    asking.result()  # a probe that raised is a fault of ours, not a process that is not ready yet
                # Later lives have no deadline: readiness may be off because of something else that is down.
                if first and not self.ready.is_set() and time.monotonic() > deadline and not self._stopping:
                    raise ChildFailed(self._describe(f"was not ready within {self.spec.start_deadline_s:.0f} s"))
                await asyncio.sleep(_POLL_S)
            was_ready = self.ready.is_set()
            self._bury()
        finally:
            asking.cancel()
            await asyncio.wait([asking])
        return was_ready

    async def _until_ready(self) -> None:
        while not await self.spec.ready():  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(_READY_POLL_S)
        self.ready.set()

    def _bury(self) -> None:
        self.ready.clear()
        self._ledger.forget(self.spec.name)

    def _kill(self) -> None:
        if self._process is not None:
            self.send(signal.SIGKILL)
            self._process.wait()
            self._bury()

    def _describe(self, what: str) -> str:
        return f"{self.spec.name} {what}; its log: {paths.shown(self.log)}\n{tail(self.log)}"


class Supervisor:
    """The children of one data directory. For the main thread: Linux ends children with the thread that made them."""

    def __init__(self, *, logs: Path, ledger: Ledger, report: Callable[[str], None]) -> None:
        self.children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._logs = logs
        self._ledger = ledger
        self._report = report
        self._failed: asyncio.Future[ChildFailed] = asyncio.get_running_loop().create_future()
        self._trimming = asyncio.create_task(self._trim_logs(), name="trim logs")

    async def start(self, spec: ChildSpec) -> Child:
        """Start a child and wait until it is ready.

        Raises:
            ChildFailed: it did not become ready.
        """
        log = self._logs / f"{spec.name}.log"
        _rotate(log)
        child = Child(spec, log=log, ledger=self._ledger, report=self._report)
        task = asyncio.create_task(child.keep(), name=spec.name)
        self.children[spec.name], self._tasks[spec.name] = child, task
        task.add_done_callback(self._note_failure)
        ready = asyncio.create_task(child.ready.wait())
        try:
            await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if task.done() and not task.cancelled():
            task.result()
        return child

    async def failure(self) -> ChildFailed:
        """Wait until a child cannot be kept running."""
        return await asyncio.shield(self._failed)

    async def stop(self, names: list[str]) -> None:
        """Stop some children together; unknown names are children that were never started."""
        known = [name for name in names if name in self._tasks]
        await asyncio.gather(*(self.children[name].stop(self._tasks[name]) for name in known))
        for name in known:
            del self._tasks[name]

    def kill_all(self) -> None:
        """No more waiting."""
        for child in self.children.values():
            child.send(signal.SIGKILL)

    async def close(self) -> None:
        """Stop whatever still runs."""
        await self.stop(list(self._tasks))
        self._trimming.cancel()
        await asyncio.wait([self._trimming])

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            failure = error if isinstance(error, ChildFailed) else ChildFailed(f"{task.get_name()}: {error!r}")
            self._failed.set_result(failure)

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            for child in self.children.values():
                with suppress(OSError):  # a full disk must not stop the stack over a log
                    if child.log.stat().st_size > _LOG_BYTES:
                        _rotate(child.log)


def _rotate(log: Path) -> None:
    # Copied and cut, not renamed: the child goes on writing to the file that it has open.
    if log.exists():
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
