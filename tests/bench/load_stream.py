"""Rooms that are live while a load test runs: each is published to, so that viewers have a stream to ask for."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx

from tests.bench.live import published

_MARGIN_S: Final = 60


@asynccontextmanager
async def live_rooms(url: str, count: int) -> AsyncIterator[list[dict[str, Any]]]:
    """So many rooms as `k6/config.js` takes them: {id, owner: {token, refreshToken, renewAt}}, live until the exit."""
    async with httpx.AsyncClient(base_url=url, timeout=15) as http, AsyncExitStack() as streams:
        yield [await _live_room(http, number, streams) for number in range(1, count + 1)]


async def _live_room(http: httpx.AsyncClient, number: int, streams: AsyncExitStack) -> dict[str, Any]:
    guest = (await http.post("/v1/guests", json={"name": f"Streamer {number}"})).raise_for_status().json()
    title, identity = {"title": f"Load test {number}"}, _bearer(guest["token"])
    made = (await http.post("/v1/rooms", json=title, headers=identity)).raise_for_status().json()
    room = made["room"]["id"]
    await streams.enter_async_context(published(http, room, made["token"]))
    renew_at = (time.time() + guest["expires_in_s"] - _MARGIN_S) * 1000
    owner = {"token": guest["token"], "refreshToken": guest["refresh_token"], "renewAt": renew_at}
    return {"id": room, "owner": owner}


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
