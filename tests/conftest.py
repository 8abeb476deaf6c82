"""Real parts for tests, started by the code that starts them for a user, each once a session."""

import contextlib
import os
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from shared.stack.stack import LocalStack
from shared.state.connect import APP_NAME, connect_redis
from tests.support import mongodb as support


@pytest.fixture(autouse=True)
def _plain_scheduling() -> None:
    """SVT-AV1, which tests of recordings encode with, puts its whole process under SCHED_FIFO when it runs as root.

    Left so, everything that later tests start would inherit it, and starve what was started before.
    """
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest_asyncio.fixture(scope="session")
async def state(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """Valkey and mongod."""
    async with LocalStack(tmp_path_factory.mktemp("state"), environ=child_environ(), report=lambda _: None) as stack:
        yield stack


@pytest_asyncio.fixture
async def redis(state: LocalStack) -> AsyncIterator[Redis]:
    """A client of an empty Valkey."""
    client = connect_redis(state.redis_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest_asyncio.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """The whole platform: two function processes, two SFU workers, and what they stand on."""
    async with (
        LocalStack(
            tmp_path_factory.mktemp("stack"), functions=2, workers=2, environ=child_environ(), report=lambda _: None
        ) as stack,
        only_indexed(stack),
    ):
        yield stack


@contextlib.asynccontextmanager
async def only_indexed(stack: LocalStack) -> AsyncIterator[None]:
    """Fail when a process of ours has asked MongoDB for something that no index answers: the server itself watches."""
    async with support.connect(stack.mongodb_uri) as client:
        database = client["headrace"]
        # Only these are written down, so it costs nothing.
        unindexed = {"planSummary": {"$regex": "COLLSCAN"}, "appName": APP_NAME}
        await database.command("profile", 1, filter=unindexed)
        yield
        found = [
            document async for document in database["system.profile"].find({"ns": {"$ne": "headrace.system.profile"}})
        ]
        assert not found, f"without an index: {[(entry['ns'], entry.get('command')) for entry in found]}"


@pytest_asyncio.fixture
async def http(stack: LocalStack) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the first function process."""
    async with httpx.AsyncClient(base_url=stack.functions[0].url) as client:
        yield client


def child_environ() -> dict[str, str]:
    """What children get: enough to run, and no database of the person who runs the tests."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
