"""A host of the fleet as a process: the agent with two workers, on a fake cloud (see fake_cloud)."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.stack.paths import ROOT
from tests.sfu_fleet.host.fake_cloud import FakeCloud


def free_range(count: int) -> int:
    """The first of `count` neighbouring ports that are free, for TCP as for UDP."""
    for first in range(20_000 + os.getpid() % 5000, 32_000):
        try:
            for port in range(first, first + count):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as sock:
                        sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@asynccontextmanager
async def host(
    cloud: FakeCloud, redis_url: str, jwt_keys: str, **changes: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An agent with two workers."""
    first = free_range(4)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'sfu-fleet'}",
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-central-1",
        "REDIS_URL": redis_url,
        "HEADRACE_JWT_KEYS": jwt_keys,
        "HEADRACE_SFU_PLANE": "python",
        "HEADRACE_SFU_MEDIA_HOST": "127.0.0.1",
        "HEADRACE_HOST_WORKERS": "2",
        "HEADRACE_HOST_CONTROL_PORT": str(first),
        "HEADRACE_HOST_MEDIA_PORT": str(first + 2),
        "HEADRACE_HOST_METADATA_URL": cloud.url,
        "HEADRACE_HOST_POLL_S": "0.1",
        "HEADRACE_HOST_HEARTBEAT_S": "0.1",
        "HEADRACE_HOST_GROUP": "fleet",
        "HEADRACE_HOST_LAUNCH_HOOK": "ready",
        "HEADRACE_HOST_TERMINATE_HOOK": "drain",
        **changes,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sfu_fleet.host", env=environment)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGTERM):  # the second one kills the workers
            if process.returncode is None:
                process.send_signal(number)
                await asyncio.sleep(0.2)
        async with asyncio.timeout(20):
            await process.wait()
