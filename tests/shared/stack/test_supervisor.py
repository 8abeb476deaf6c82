"""The supervisor: restarts, gives up, stops in time, keeps logs short. Real processes."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from shared.stack import supervisor as module
from shared.stack.errors import ChildFailed
from shared.stack.ledger import Ledger, start_of
from shared.stack.supervisor import ChildSpec, Supervisor

SLEEP = "import time; time.sleep(60)"


@asynccontextmanager
async def supervising(tmp_path: Path) -> AsyncIterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    supervisor = Supervisor(logs=tmp_path, ledger=Ledger(tmp_path / "processes.json"), report=said.append)
    try:
        yield supervisor, said
    finally:
        await supervisor.close()


def spec(code: str, *, ready: bool = True, name: str = "child", **limits: float) -> ChildSpec:
    async def is_ready() -> bool:
        return ready

    return ChildSpec(name=name, argv=(sys.executable, "-c", code), ready=is_ready, environ={}, **limits)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_crashed_child_is_started_again_and_that_is_said_once(tmp_path: Path) -> None:
    async with supervising(tmp_path) as (supervisor, said):
        child = await supervisor.start(spec(SLEEP))
        first = child.pid
        child.send(signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.ready.is_set())
        assert child.pid != first
        assert said == ["child was ended by signal 9; starting it again in 0.2 s"]


async def test_a_child_that_keeps_dying_at_start_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with supervising(tmp_path) as (supervisor, _):
        with pytest.raises(ChildFailed, match=r"(?s)before it was ready.*child\.log\n.*no such configuration"):
            await supervisor.start(spec("import sys; sys.exit('no such configuration')", ready=False))
        failure = await asyncio.wait_for(supervisor.failure(), 1)
        assert failure.code == "child_failed"


async def test_a_child_that_never_gets_ready_fails_in_time_and_is_gone(tmp_path: Path) -> None:
    async with supervising(tmp_path) as (supervisor, _):
        with pytest.raises(ChildFailed, match="was not ready within 1 s"):
            await supervisor.start(spec(SLEEP, ready=False, start_deadline_s=1))
        with pytest.raises(ProcessLookupError):
            _ = supervisor.children["child"].pid


async def test_stopping_is_asked_first_and_forced_after_the_deadline(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    async with supervising(tmp_path) as (supervisor, said):
        polite = await supervisor.start(spec(SLEEP, name="polite"))
        stubborn = await supervisor.start(spec(deaf, name="stubborn", stop_deadline_s=0.5))
        await until(lambda: "deaf" in stubborn.log.read_text())
        begin = time.monotonic()
        await supervisor.stop(["polite", "stubborn"])
        assert time.monotonic() - begin < 3
        assert said == ["stubborn did not stop within 0 s and was killed"]
        assert polite.ended.is_set()
        assert stubborn.ended.is_set()


async def test_a_child_between_two_lives_can_be_stopped(tmp_path: Path) -> None:
    async with supervising(tmp_path) as (supervisor, said):
        child = await supervisor.start(spec(SLEEP))
        child.send(signal.SIGKILL)
        await until(lambda: bool(said))
        await asyncio.wait_for(supervisor.stop(["child"]), 5)
        assert child.restarts == 0


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)\n"
        "time.sleep(60)"
    )
    async with supervising(tmp_path) as (supervisor, _):
        child = await supervisor.start(spec(parent))
        await until(lambda: bool(child.log.read_text()))
        grandchild = int(child.log.read_text())
        assert start_of(grandchild) is not None
    await until(lambda: start_of(grandchild) is None)


async def test_a_talkative_child_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", 100_000)
    monkeypatch.setattr(module, "_LOG_CHECK_S", 0.05)
    talk = "import time\nwhile True: print('x' * 1000, flush=True); time.sleep(0.0005)"
    async with supervising(tmp_path) as (supervisor, _):
        child = await supervisor.start(spec(talk))
        kept = child.log.with_suffix(".log.1")
        await until(kept.exists)
        sizes = []
        for _ in range(20):
            await asyncio.sleep(0.05)
            sizes.append(child.log.stat().st_size + kept.stat().st_size)
        assert max(sizes) < 2_000_000


async def test_a_probe_that_raises_is_a_failure_and_not_a_wait(tmp_path: Path) -> None:
    async def broken() -> bool:
        raise RuntimeError("the probe is wrong")

    async with supervising(tmp_path) as (supervisor, _):
        with pytest.raises(RuntimeError, match="the probe is wrong"):
            await supervisor.start(
                ChildSpec(name="child", argv=(sys.executable, "-c", SLEEP), ready=broken, environ={})
            )
        with suppress(ProcessLookupError):
            pytest.fail(f"still running: {supervisor.children['child'].pid}")
