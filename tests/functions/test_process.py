"""`python -m functions.app` as a process: what its environment decides that a load balancer depends on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"HEADRACE_INSECURE_COOKIES": "true"}, "HEADRACE_INSECURE_COOKIES: is for development only: expected"),
        (
            {"HEADRACE_INSECURE_HS256": "1", "HEADRACE_JWT_KEYS": generate_jwks("HS256")},
            "HEADRACE_INSECURE_HS256: is for development only: expected HEADRACE_ENVIRONMENT=development",
        ),
        ({"HEADRACE_JWT_KEYS": generate_jwks("HS256")}, "HEADRACE_JWT_KEYS: expected a JWK set without HS256 keys"),
        ({"HEADRACE_JWT_KEYS": ""}, "HEADRACE_JWT_KEYS: is required"),
        ({"HEADRACE_PORT": "http"}, "HEADRACE_PORT: Expected `int`"),
        ({"HEADRACE_CHAT_LINKS": "some"}, "HEADRACE_CHAT_LINKS: Invalid enum value"),
        ({"HEADRACE_ENVIRONMENT": "staging"}, "HEADRACE_ENVIRONMENT: Invalid enum value"),
    ],
)
async def test_a_process_that_cannot_start_names_the_variable_and_what_was_expected(
    changes: dict[str, str], expected: str
) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=none",
        "HEADRACE_JWT_KEYS": generate_jwks(),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "functions.app", env=environ | changes, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().startswith(f"headrace functions: {expected}")
    assert len(said.splitlines()) == 1
