"""What Valkey has promised when it dies: acknowledged entries that are gone after kill -9, and what keeping them costs.

One connection appends ten entries per call, one call after the other, as a function process does for a busy room. After
a random while Valkey is killed with SIGKILL and started again on its append-only file; every entry of a call that was
answered must be there. A slow disk is simulated by a library that makes fsync and fdatasync take longer, preloaded
into Valkey. This is the death of a process: what the kernel has, stays. When a machine dies, everything that was not
synced is gone as well: up to a second with everysec (two when the disk is busy), nothing with the other modes.

Run with `python -m tests.bench.durability`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.signaling.generator import GeneratorError, compiler
from tests.conftest import child_environ

STREAM: Final = "log"
ENTRIES_PER_CALL: Final = 10
ENTRY: Final = b"x" * 140
WAITAOF_TIMEOUT_MS: Final = 5000

_SLOW_SYNC: Final = """
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
static void wait_for_the_disk(void) { struct timespec t = {0, MILLISECONDS * 1000000L}; nanosleep(&t, 0); }
int fsync(int fd) { wait_for_the_disk(); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_for_the_disk(); return (int)syscall(SYS_fdatasync, fd); }
"""


class Mode(msgspec.Struct, frozen=True):
    """How an acknowledgement is earned."""

    name: str
    appendfsync: str
    waitaof: bool = False


MODES: Final = (
    Mode("everysec", "everysec"),
    Mode("everysec + WAITAOF", "everysec", waitaof=True),
    Mode("always", "always"),
)


class Cost(msgspec.Struct, frozen=True):
    """One mode on one disk."""

    mode: str
    sync_ms: int
    kills: int
    acknowledged: int
    lost: int
    kills_with_loss: int
    calls_per_s: float
    p50_ms: float
    p99_ms: float


class _Writer:
    """Appends until the server dies; remembers what was acknowledged."""

    def __init__(self, redis: Redis, mode: Mode) -> None:
        self._redis = redis
        self._mode = mode
        self.acknowledged: list[bytes] = []
        self.took_ms: list[float] = []

    async def write(self) -> None:
        """For ever."""
        while True:
            began = time.perf_counter()
            # One connection for all of it: WAITAOF waits for what its own connection wrote, and for nothing else.
            async with self._redis.pipeline(transaction=False) as pipe:
                for _ in range(ENTRIES_PER_CALL):
                    pipe.xadd(STREAM, {"e": ENTRY})
                if self._mode.waitaof:
                    pipe.execute_command("WAITAOF", 1, 0, WAITAOF_TIMEOUT_MS)
                answers: list[Any] = await pipe.execute()
            ids = answers[:ENTRIES_PER_CALL]
            if self._mode.waitaof and answers[-1][0] < 1:
                continue
            self.acknowledged += ids
            self.took_ms.append((time.perf_counter() - began) * 1000)


async def measure(mode: Mode, *, sync_ms: int, kills: int, preload: Path | None, rng: random.Random) -> Cost:
    """Kill and restart Valkey `kills` times under load."""
    environ = child_environ() | ({"LD_PRELOAD": str(preload)} if preload else {})
    acknowledged = lost = with_loss = 0
    took_ms: list[float] = []
    lasted_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        async with LocalStack(Path(folder), mongod=False, environ=environ, report=lambda _: None) as stack:
            for _ in range(kills):
                async with Redis.from_url(stack.redis_url, single_connection_client=True, retry=None) as redis:
                    await redis.config_set("appendfsync", mode.appendfsync)
                    await redis.delete(STREAM)
                    writer = _Writer(redis, mode)
                    began = time.monotonic()
                    writing = asyncio.create_task(writer.write())
                    await asyncio.sleep(rng.uniform(1.0, 2.5))
                    await stack.kill("valkey", signal.SIGKILL, restart=False)
                    with suppress(RedisError, OSError):
                        await writing
                    lasted_s += time.monotonic() - began
                await stack.start("valkey")
                async with Redis.from_url(stack.redis_url) as redis:
                    entries: Any = await redis.xrange(STREAM)
                there = {entry_id for entry_id, _ in entries}
                gone = sum(entry_id not in there for entry_id in writer.acknowledged)
                acknowledged += len(writer.acknowledged)
                lost += gone
                with_loss += gone > 0
                took_ms += writer.took_ms
    return Cost(
        mode=mode.name,
        sync_ms=sync_ms,
        kills=kills,
        acknowledged=acknowledged,
        lost=lost,
        kills_with_loss=with_loss,
        calls_per_s=round(len(took_ms) / lasted_s, 1),
        p50_ms=round(machine.percentile(took_ms, 50), 2),
        p99_ms=round(machine.percentile(took_ms, 99), 2),
    )


def slow_sync(folder: Path, milliseconds: int) -> Path:
    """A library that makes each sync take this much longer.

    Raises:
        GeneratorError: there is no C compiler.
    """
    found = compiler()
    if found is None:
        raise GeneratorError(
            "a slow disk is simulated in C and there is no C compiler here: apt-get install gcc libc6-dev"
        )
    source, library = folder / f"slow{milliseconds}.c", folder / f"slow{milliseconds}.so"
    source.write_text(_SLOW_SYNC.replace("MILLISECONDS", str(milliseconds)), encoding="ascii")
    subprocess.run([found, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=60)
    return library


async def run(disks: Sequence[int], kills: int) -> list[Cost]:
    """Every mode on every disk; the table as it grows."""
    rng = random.Random(1)
    costs = []
    print(f"{'mode':<20}{'sync ms':>8}{'kills':>7}{'acked':>10}{'lost':>8}{'calls/s':>9}{'P50 ms':>9}{'P99 ms':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for sync_ms in disks:
            preload = slow_sync(Path(folder), sync_ms) if sync_ms else None
            for mode in MODES:
                cost = await measure(mode, sync_ms=sync_ms, kills=kills, preload=preload, rng=rng)
                costs.append(cost)
                print(
                    f"{cost.mode:<20}{cost.sync_ms:>8}{cost.kills:>7}{cost.acknowledged:>10,}{cost.lost:>8,}"
                    f"{cost.calls_per_s:>9,.0f}{cost.p50_ms:>9.2f}{cost.p99_ms:>9.2f}",
                    flush=True,
                )
    return costs


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.bench.durability", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sync-ms", type=int, nargs="+", default=[0, 3, 400], help="what a sync takes longer; 0: real")
    parser.add_argument("--kills", type=int, default=6)
    arguments = parser.parse_args()
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split(chr(10) * 2)[1].split())}")
    costs = asyncio.run(run(arguments.sync_ms, arguments.kills))
    print(json.dumps({f"{cost.mode}, sync {cost.sync_ms} ms": msgspec.to_builtins(cost) for cost in costs}))


if __name__ == "__main__":
    main()
