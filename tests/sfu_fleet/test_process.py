"""`python -m sfu_fleet` as a process: it starts, registers, drains on SIGTERM and exits with 0."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from redis.asyncio import Redis

from tests.sfu_fleet.conftest import JWKS, Valkey, free_port

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running(redis_url: str, **changes: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A worker process and the URL of its control API."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'sfu-fleet'}",
        "REDIS_URL": redis_url,
        "HEADRACE_JWT_KEYS": JWKS,
        "HEADRACE_INSTANCE": "w7",
        "HEADRACE_SFU_MEDIA_HOST": "127.0.0.1",
        "HEADRACE_SFU_CONTROL_PORT": str(port),
        **changes,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfu_fleet", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(url: str, status: int) -> None:
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == status:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_a_worker_registers_drains_and_exits_with_zero(valkey: Redis, shared_valkey: Valkey) -> None:
    async with running(shared_valkey.url) as (process, url):
        await until(f"{url}/health/ready", 200)
        assert await valkey.hexists("{fleet}:workers", "w7")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert not await valkey.hexists("{fleet}:workers", "w7")


async def test_without_redis_a_worker_is_alive_but_not_ready() -> None:
    async with running(f"redis://127.0.0.1:{free_port()}/0") as (process, url):
        await until(f"{url}/health/live", 200)
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{url}/health/ready")
        assert (response.status_code, response.json()) == (503, {"status": "unregistered"})
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_a_wrong_setting_is_named_and_exits_with_two() -> None:
    async with running("redis://127.0.0.1/0", HEADRACE_INSTANCE="Not Allowed") as (process, _):
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert b"HEADRACE_INSTANCE" in errors
        assert b"Traceback" not in errors
