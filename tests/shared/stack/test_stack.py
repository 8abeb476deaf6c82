"""The local stack on real Valkey and mongod: nothing left over, nothing lost, nobody else's processes touched."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from shared.stack import paths
from shared.stack.errors import DataDirectoryBusy, ServiceUnreachable, StackError
from shared.stack.ledger import start_of
from shared.stack.stack import LocalStack

# A supervisor of its own: starts the servers, writes, says what it started, and waits to be killed.
SUPERVISOR = """
import asyncio, json, os, pathlib, sys
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from shared.stack.stack import LocalStack

async def main():
    async with LocalStack(pathlib.Path(sys.argv[1]), environ={}) as stack:
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            await redis.set("kept", "yes")
        async with AsyncMongoClient(stack.mongodb_uri) as mongo:
            await mongo.headrace.kept.insert_one({"_id": "yes"})
        print(json.dumps([stack.process(name).pid for name in ("valkey", "mongod")]), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def start_supervisor(data: Path) -> "tuple[subprocess.Popen[str], list[int]]":
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data)], cwd=paths.ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def quiet(_: str) -> None:
    """Tests need no progress lines."""


def stack_in(
    data: Path,
    *,
    valkey: bool = True,
    mongod: bool = True,
    environ: dict[str, str] | None = None,
    report: Callable[[str], None] = quiet,
) -> LocalStack:
    return LocalStack(data, valkey=valkey, mongod=mongod, environ=environ or {}, report=report)


async def test_valkey_can_be_started_alone(tmp_path: Path) -> None:
    async with stack_in(tmp_path, mongod=False) as stack:
        pid = stack.process("valkey").pid
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            settings = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy")
        assert settings == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        with pytest.raises(KeyError):
            stack.process("mongod")
        with pytest.raises(StackError):
            _ = stack.url
    assert start_of(pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_supervisor_killed_with_9_leaves_no_child_and_loses_no_data(tmp_path: Path) -> None:
    supervisor, children = start_supervisor(tmp_path)
    supervisor.send_signal(signal.SIGKILL)
    supervisor.communicate(timeout=5)
    wait_until(lambda: all(start_of(pid) is None for pid in children))

    # The second start takes other ports, so the replica set has to follow mongod to its new one.
    async with stack_in(tmp_path) as stack:
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            assert await redis.get("kept") == "yes"
        async with AsyncMongoClient[dict[str, Any]](stack.mongodb_uri, serverMonitoringMode="poll") as mongo:
            assert await mongo.headrace.kept.find_one() == {"_id": "yes"}
            assert (await mongo.admin.command("hello"))["isWritablePrimary"]


@pytest.fixture
def left() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


async def test_what_an_earlier_start_left_running_is_ended(tmp_path: Path, left: "subprocess.Popen[bytes]") -> None:
    (tmp_path / "processes.json").write_text(json.dumps({"worker-1": [left.pid, start_of(left.pid)]}))
    said: list[str] = []
    async with stack_in(tmp_path, mongod=False, report=said.append):
        assert left.wait(1) == -signal.SIGKILL
    assert said == ["ended what an earlier start left running: worker-1"]


async def test_two_stacks_do_not_share_a_data_directory(tmp_path: Path) -> None:
    async with stack_in(tmp_path, mongod=False) as stack:
        with pytest.raises(DataDirectoryBusy, match=r"another stack \(process \d+\) runs on"):
            await stack_in(tmp_path, mongod=False).__aenter__()
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            assert await redis.ping()


async def test_the_users_own_redis_is_used_instead_of_the_embedded_one(tmp_path: Path) -> None:
    async with stack_in(tmp_path / "theirs", mongod=False) as theirs:
        environ = {"REDIS_URL": theirs.redis_url}
        async with stack_in(tmp_path / "ours", mongod=False, environ=environ) as ours:
            assert ours.redis_url == theirs.redis_url
            with pytest.raises(KeyError):
                ours.process("valkey")
        async with Redis.from_url(theirs.redis_url) as redis:
            assert await redis.ping()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("REDIS_URL", "redis://127.0.0.1:1/0"), ("REDIS_URL", "nonsense"), ("MONGODB_URI", "nonsense")],
)
async def test_a_server_of_the_users_that_does_not_answer_is_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ServiceUnreachable, match=f"{variable} is set, but"):
        await stack_in(
            tmp_path, environ={variable: value}, valkey=variable == "REDIS_URL", mongod=variable == "MONGODB_URI"
        ).__aenter__()


async def test_a_crashed_server_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    async with stack_in(tmp_path, mongod=False) as stack:
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            await redis.set("kept", "yes")
        await stack.kill("valkey")
        await asyncio.wait_for(stack.process("valkey").ready.wait(), 10)
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            assert await redis.get("kept") == "yes"


async def test_a_server_killed_without_restart_stays_away_until_it_is_started(tmp_path: Path) -> None:
    async with stack_in(tmp_path, mongod=False) as stack:
        await stack.kill("valkey", restart=False)
        await asyncio.sleep(0.5)
        with pytest.raises(ProcessLookupError):
            _ = stack.process("valkey").pid
        await stack.start("valkey")
        async with Redis.from_url(stack.redis_url, decode_responses=True) as redis:
            assert await redis.ping()
