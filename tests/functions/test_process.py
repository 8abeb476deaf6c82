"""`python -m functions.app` as a process: what its environment decides that a load balancer depends on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.probe import answers, exit_code
from shared.security.keys import generate_jwks
from shared.stack.paths import ROOT
from shared.stack.ports import free_ports


@asynccontextmanager
async def running(**changes: str) -> AsyncIterator[int]:
    """A process without its dependencies, which it comes up without; its port."""
    (port,) = free_ports(1)
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=none",
        "HEADRACE_JWT_KEYS": generate_jwks(),
        "HEADRACE_PORT": str(port),
        "HEADRACE_DRAIN_DEADLINE_S": "0",
        **changes,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "functions.app", env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while not await answers("127.0.0.1", port):
                await asyncio.sleep(0.1)
        yield port
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


async def test_a_silent_connection_is_closed_when_its_time_is_up() -> None:
    async with running(HEADRACE_KEEP_ALIVE_S="0.5") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n")
        async with asyncio.timeout(15):  # half of the default
            assert b" 200 " in await reader.readline()
            await reader.read()
        writer.close()


async def test_a_containers_health_check_says_whether_the_process_is_alive() -> None:
    async with running() as port:
        assert await asyncio.to_thread(exit_code, "0.0.0.0", str(port)) == 0
    assert await asyncio.to_thread(exit_code, "127.0.0.1", str(port)) == 1
