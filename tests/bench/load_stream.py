"""Rooms that are live while a load test runs: each is published to, so that viewers have a stream to ask for."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx

from shared.tasks import end
from tests.sfu_fleet.peer import VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet

_FRAME_RATE: Final = 10
_KEYFRAME_EVERY: Final = 10
# Consent has to be asked for anew within 30 s (RFC 7675, section 5.1).
_CHECK_EVERY: Final = 2 * _FRAME_RATE
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
    peer = Peer()
    streams.push_async_callback(peer.close)
    headers = _bearer(made["token"]) | {"content-type": "application/sdp"}
    whip = await http.post(f"/v1/rooms/{room}/whip", content=peer.publish_offer(), headers=headers)
    await peer.connect(whip.raise_for_status().text)
    sending = asyncio.create_task(_send(peer), name=f"stream {room}")
    streams.push_async_callback(end, sending)
    renew_at = (time.time() + guest["expires_in_s"] - _MARGIN_S) * 1000
    owner = {"token": guest["token"], "refreshToken": guest["refresh_token"], "renewAt": renew_at}
    return {"id": room, "owner": owner}


async def _send(peer: Peer) -> None:
    number = 0
    while True:
        payload = VP8_DELTA if number % _KEYFRAME_EVERY else VP8_KEYFRAME
        peer.send_rtp(rtp_packet(number & 0xFFFF, timestamp=number * 90_000 // _FRAME_RATE, payload=payload))
        if number % _CHECK_EVERY == 0:
            peer.send_raw(peer.binding_request())
        number += 1
        await asyncio.sleep(1 / _FRAME_RATE)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
