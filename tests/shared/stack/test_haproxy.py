"""HAProxy in the cloud load balancer's place: the platform behind it is the same."""

import asyncio
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import WebSocketException

from functions.signaling.connection import PING_INTERVAL_S
from shared.stack import haproxy
from shared.stack.errors import PrerequisitesMissing
from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.support.room_client import guest, joined


def _installed() -> bool:
    try:
        haproxy.program()
    except PrerequisitesMissing:
        return False
    return True


pytestmark = pytest.mark.skipif(not _installed(), reason="HAProxy is not installed")


async def test_a_room_works_behind_haproxy_and_survives_the_death_of_a_process(tmp_path: Path) -> None:
    async with (
        LocalStack(tmp_path, functions=2, balancer="haproxy", environ=child_environ(), report=lambda _: None) as stack,
        httpx.AsyncClient(base_url=stack.url) as http,
    ):
        ana = await guest(http, "Ana")
        room, owner = await ana.create_room()
        async with joined(stack.url, room, owner) as client:
            await client.say("before")
            assert client.welcome is not None
            served_by, epoch, offset = client.welcome.instance, client.welcome.epoch, client.offset
        await stack.kill(served_by, restart=False)
        async with asyncio.timeout(20):
            while True:
                try:
                    async with joined(stack.url, room, owner, epoch=epoch, offset=offset) as again:
                        await again.say("after")
                        await again.until(lambda again=again: bool(again.chats))  # type: ignore[misc]
                        assert again.welcome is not None
                        assert again.welcome.instance != served_by
                        break
                except (OSError, AssertionError, WebSocketException):
                    await asyncio.sleep(0.1)


async def test_room_sockets_go_to_the_port_that_takes_them_cheaply(tmp_path: Path) -> None:
    async with LocalStack(
        tmp_path, functions=1, balancer="haproxy", environ=child_environ(), report=lambda _: None
    ) as stack:
        config = (tmp_path / "haproxy.cfg").read_text(encoding="utf-8")
        endpoint = stack.functions[0]
        assert f"127.0.0.1:{endpoint.socket_port} track requests/{endpoint.name}" in config
        assert f"timeout tunnel {haproxy.IDLE_S}s" in config
        assert haproxy.IDLE_S >= 300


def test_its_time_outs_are_longer_than_two_pings() -> None:
    assert haproxy.IDLE_S > 2 * PING_INTERVAL_S
