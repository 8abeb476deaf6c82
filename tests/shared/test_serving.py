"""A process that is told to stop does so, whatever its clients do."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.probe import answers
from shared.stack.paths import ROOT
from shared.stack.ports import free_ports


@asynccontextmanager
async def running(*how: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.serving_app", str(port), *how),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def stop(process: asyncio.subprocess.Process) -> str:
    """What it said at the end, which must come."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def until_up(port: int) -> None:
    async with asyncio.timeout(20):
        while not await answers("127.0.0.1", port, "/"):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf",
        b"GET /never HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /endless HTTP/1.1\r\nHost: test\r\n\r\n",
    ],
    ids=["silent", "half a head", "waiting for the next", "half a body", "never answered", "not reading"],
)
async def test_no_client_keeps_a_process_from_stopping(request_: bytes) -> None:
    async with running() as (process, port):
        await until_up(port)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_)
        await writer.drain()
        await asyncio.sleep(0.2)
        said = await stop(process)
        assert said.index("drained") < said.index("left")
        writer.close()


async def test_a_request_that_is_being_answered_is_finished_before_the_end() -> None:
    async with running() as (process, port):
        await until_up(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\na")
        await asyncio.sleep(0.2)
        stopping = asyncio.create_task(stop(process))
        await asyncio.sleep(0.1)
        writer.write(b"b")
        assert (await reader.read()).endswith(b"\r\n\r\nwhole")
        await stopping
        writer.close()


async def test_an_application_that_does_not_end_is_left_behind() -> None:
    async with running("stays") as (process, port):
        await until_up(port)
        said = await stop(process)
        assert "shutdown_failed" in said
        assert "left" not in said


async def test_an_application_that_does_not_start_is_told_with_its_reason() -> None:
    async with running("fails") as (process, _):
        async with asyncio.timeout(20):
            _, said = await process.communicate()
        assert process.returncode == 1
        assert b"ValueError: no database" in said
        assert b"RuntimeError: the application did not start" in said
