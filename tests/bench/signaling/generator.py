"""The load generator as a process: compiled when it is first needed, driven over its standard input."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from .plan import Plan

_FOLDER: Final = Path(__file__).with_name("native")
_SOURCE: Final = _FOLDER / "generator.c"
_FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
# Of an answer, over what the command itself takes.
_TIMEOUT_S: Final = 120.0


class GeneratorError(Exception):
    """The generator could not be built, or did not do what it was told."""


class Opened(msgspec.Struct, frozen=True):
    """How the sockets came up."""

    opened: int
    failed: int
    seconds: float
    note: str


class Counts(msgspec.Struct, frozen=True):
    """What one run delivered, counted as native/messages.h says. Latencies are from the intended send time."""

    rate: float
    published: int
    receivers: int
    deliveries: int
    window_s: float
    window_deliveries: int
    window_frames: int
    window_bytes: int
    missing: int
    duplicates: int
    reordered: int
    stale: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    send_lag_p99_ms: float
    generator_cpu_s: float
    lost_links: int
    fragments: int
    kinds: dict[str, int]
    note: str


class Load(msgspec.Struct, frozen=True):
    """Messages per second in all, for how long, after how much warming up, and how long stragglers are waited for."""

    rate: float
    seconds: float
    warm_up_s: float = 1.0
    drain_s: float = 3.0


def compiler() -> str | None:
    """The machine's C compiler."""
    return shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc") or shutil.which("clang")


def build() -> Path:
    """Compile the generator, unless this very source was compiled before.

    Raises:
        GeneratorError: there is no compiler, or it refused.
    """
    found = compiler()
    if found is None:
        raise GeneratorError(
            "the load generator is a C program and there is no C compiler here: apt-get install gcc libc6-dev "
            "(or set CC), then try again"
        )
    sources = sorted(_FOLDER.iterdir())
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources) + found.encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"headrace-generator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise GeneratorError(f"{folder} belongs to somebody else")
    program = folder / f"generator-{digest[:16]}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        argv = [found, *_FLAGS, "-o", str(fresh), str(_SOURCE)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise GeneratorError(f"the load generator does not compile:\n{done.stderr}")
        fresh.replace(program)
    return program


class Generator:
    """A running generator with its plan; use `generating`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self._load_s = 0.0

    async def open(self) -> Opened:
        """Open every socket and join; returns when all have or have failed."""
        await self._say("open")
        return msgspec.convert(await self._hear("ready"), Opened)

    async def begin(self, load: Load) -> None:
        """Start publishing; returns when the measured window begins."""
        self._load_s = load.warm_up_s + load.seconds + load.drain_s
        await self._say(f"run {load.rate} {load.seconds} {load.warm_up_s} {load.drain_s}")
        await self._hear("begin", within_s=self._load_s)

    async def end(self) -> None:
        """Wait for the end of the measured window."""
        await self._hear("end", within_s=self._load_s)

    async def counts(self) -> Counts:
        """What the run delivered, after its stragglers."""
        return msgspec.convert(await self._hear("run", within_s=self._load_s), Counts)

    async def stall(self, sockets: int) -> int:
        """Let this many sockets stop reading (0: let all read again); how many read now."""
        await self._say(f"stall {sockets}" if sockets else "resume")
        return int((await self._hear("stalled"))["reading"])

    async def open_now(self) -> int:
        """How many sockets are open."""
        await self._say("state")
        return int((await self._hear("state"))["open"])

    async def _say(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        await self._process.stdin.drain()

    async def _hear(self, event: str, *, within_s: float = 0.0) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s + _TIMEOUT_S):
            while line := await self._process.stdout.readline():
                said: dict[str, Any] = msgspec.json.decode(line)
                if said["event"] == event:
                    return said
        raise GeneratorError(
            f"the load generator ended (exit code {await self._process.wait()}) before it said {event!r}"
        )


@asynccontextmanager
async def generating(plan: Plan, *, core: int | None = None) -> AsyncIterator[Generator]:
    """Start a generator on that core; its sockets close at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan"
        plan.write(path)
        process = await asyncio.create_subprocess_exec(
            str(build()), str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            yield Generator(process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
