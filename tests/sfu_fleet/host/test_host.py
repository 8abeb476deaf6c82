"""`python -m sfu_fleet.host` as a process, with real workers on a real Valkey; the cloud around it is a fake."""

import asyncio
import os
import signal
from collections.abc import Callable

import httpx
from redis.asyncio import Redis

from sfu_fleet.host.__main__ import worker_specs
from sfu_fleet.host.metadata import Identity
from sfu_fleet.host.settings import Settings
from sfu_fleet.host.workers import ALIVE_POLL_S
from shared.state.fleet import Fleet, Worker
from tests.sfu_fleet.conftest import JWKS, Valkey, free_port
from tests.sfu_fleet.host.fake_cloud import INSTANCE, FakeCloud
from tests.sfu_fleet.host.running import host

NAMES = [f"{INSTANCE[-12:]}{index:03d}" for index in range(2)]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.05)


async def workers(valkey: Redis, count: int) -> dict[str, Worker]:
    """The fleet's workers, when they are so many."""
    async with asyncio.timeout(30):
        while True:
            found = {worker.id: worker for worker in await Fleet(valkey).workers()}
            if len(found) == count:
                return found
            await asyncio.sleep(0.05)


async def test_a_host_registers_a_worker_per_core_and_tells_its_group(valkey: Redis, shared_valkey: Valkey) -> None:
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS):
            found = await workers(valkey, 2)
            assert sorted(found) == NAMES
            await until(lambda: bool(cloud.did("CompleteLifecycleAction")))
            (told,) = cloud.did("CompleteLifecycleAction")
            assert (told["LifecycleHookName"], told["InstanceId"]) == ("ready", INSTANCE)
            assert not cloud.did("RecordLifecycleActionHeartbeat")


async def test_a_scale_in_drains_with_heartbeats_and_then_lets_the_group_go_on(
    valkey: Redis, shared_valkey: Valkey
) -> None:
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS) as process:
            await workers(valkey, 2)
            cloud.categories["autoscaling/target-lifecycle-state"] = "Terminated"
            await until(
                lambda: any(told["LifecycleHookName"] == "drain" for told in cloud.did("CompleteLifecycleAction"))
            )
            assert cloud.actions.index(cloud.did("RecordLifecycleActionHeartbeat")[0]) < len(cloud.actions) - 1
            assert await Fleet(valkey).workers() == []
            # Nothing may come back while the group ends the machine.
            assert process.returncode is None
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0


async def test_a_spot_notice_drains(valkey: Redis, shared_valkey: Valkey) -> None:
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS):
            await workers(valkey, 2)
            cloud.categories["spot/instance-action"] = '{"action": "terminate"}'
            await workers(valkey, 0)


async def test_sigterm_drains_and_ends_with_zero(valkey: Redis, shared_valkey: Valkey) -> None:
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS) as process:
            await workers(valkey, 2)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                assert await process.wait() == 0
        assert await valkey.hlen("{fleet}:workers") == 0


async def test_a_worker_that_dies_comes_back_on_its_port(valkey: Redis, shared_valkey: Valkey) -> None:
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS) as process:
            before = (await workers(valkey, 2))[NAMES[0]]
            children = await _children(process.pid)
            os.kill(min(children), signal.SIGKILL)
            await until(lambda: _is_gone(min(children)))
            async with httpx.AsyncClient() as http:
                await _ready_again(http, before.url)
            assert (await workers(valkey, 2))[NAMES[0]].url == before.url


async def test_a_worker_that_hangs_is_killed_and_comes_back(valkey: Redis, shared_valkey: Valkey) -> None:
    metrics = str(free_port())
    changes = {"HEADRACE_HOST_UNRESPONSIVE_S": "1", "HEADRACE_HOST_AGENT_METRICS_PORT": metrics}
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS, **changes) as process, httpx.AsyncClient() as http:
            await workers(valkey, 2)
            assert 'sfu_host_workers{state="running"} 2.0' in await _scraped(http, metrics)
            hung = min(await _children(process.pid))
            # Only one that has answered before is taken to hang.
            await asyncio.sleep(3 * ALIVE_POLL_S)
            os.kill(hung, signal.SIGSTOP)
            await until(lambda: _is_gone(hung))
            async with asyncio.timeout(30):
                while 'sfu_host_worker_restarts_total{reason="unresponsive"}' not in await _scraped(http, metrics):
                    await asyncio.sleep(0.1)
                while len(await _children(process.pid)) < 2:
                    await asyncio.sleep(0.1)


async def test_a_metadata_service_that_is_away_costs_nothing(valkey: Redis, shared_valkey: Valkey) -> None:
    with FakeCloud() as cloud:
        async with host(cloud, shared_valkey.url, JWKS) as process:
            await workers(valkey, 2)
            cloud.__exit__()
            await asyncio.sleep(0.5)
            assert process.returncode is None
            assert len(await Fleet(valkey).workers()) == 2


def test_workers_announce_the_public_address_and_have_ports_of_their_own() -> None:
    specs = worker_specs(
        Settings(media_port=40_000, control_port=7900, metrics_port=9464),
        Identity(INSTANCE, "10.0.0.5", "203.0.113.7", "eu-central-1/eu-central-1a"),
        {"REDIS_URL": "rediss://log", "HEADRACE_HOST_GROUP": "fleet"},
        [0, 1],
    )
    assert [spec.core for spec in specs] == [0, 1]
    assert specs[1].environ == {
        "REDIS_URL": "rediss://log",
        "HEADRACE_SFU_ANNOUNCED_ADDRESSES": "203.0.113.7",
        "HEADRACE_ZONE": "eu-central-1/eu-central-1a",
        "HEADRACE_INSTANCE": NAMES[1],
        "HEADRACE_SFU_CONTROL_HOST": "10.0.0.5",
        "HEADRACE_SFU_CONTROL_PORT": "7901",
        "HEADRACE_SFU_MEDIA_PORT": "40001",
        "HEADRACE_METRICS_PORT": "9465",
    }
    # The worker takes no longer id.
    assert all(len(spec.name) <= 16 for spec in specs)


async def _scraped(http: httpx.AsyncClient, port: str) -> str:
    return (await http.get(f"http://127.0.0.1:{port}/metrics")).text


async def _children(pid: int) -> list[int]:
    listing = await asyncio.create_subprocess_exec(
        "ps", "-o", "pid=", "--ppid", str(pid), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await listing.communicate()
    return [int(line) for line in output.split()]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def _ready_again(http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await http.get(f"{url}/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
