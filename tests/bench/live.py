"""A room that is live over WHIP, and people who watch it over WHEP: small pictures, so that many cost little."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx

from shared.tasks import end
from tests.sfu_fleet.peer import VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet

FRAME_RATE: Final = 10
_KEYFRAME_EVERY: Final = 10
# Consent has to be asked for anew within 30 s (RFC 7675, section 5.1); viewers are missed after less.
_CHECK_S: Final = 2.0
_LIVE_S: Final = 10.0


@asynccontextmanager
async def published(http: httpx.AsyncClient, room: str, token: str) -> AsyncIterator[None]:
    """Publish to a room until the exit, when the session is ended.

    Raises:
        httpx.HTTPStatusError: the platform refused.
        TimeoutError: the room does not say that it is live.
    """
    async with _session(http, f"/v1/rooms/{room}/whip", token, Peer.publish_offer) as peer:
        sending = asyncio.create_task(_send(peer), name=f"stream {room}")
        try:
            async with asyncio.timeout(_LIVE_S):
                while not (await http.get(f"/v1/rooms/{room}")).raise_for_status().json()["live"]:
                    await asyncio.sleep(0.1)
            yield
        finally:
            await end(sending)


async def watched(http: httpx.AsyncClient, room: str, token: str, seconds: float) -> int:
    """Watch a room for so long; how many packets of its picture came.

    Raises:
        httpx.HTTPStatusError: the platform refused.
        TimeoutError: no connection was made in time.
    """
    packets = 0
    async with _session(http, f"/v1/rooms/{room}/whep", token, Peer.view_offer) as peer:
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            peer.send_raw(peer.binding_request())
            await asyncio.sleep(min(_CHECK_S, left))
            packets += len(peer.video())
            peer.rtp.clear()
            peer.rtcp.clear()
    return packets


@asynccontextmanager
async def _session(http: httpx.AsyncClient, path: str, token: str, offer: Callable[[Peer], str]) -> AsyncIterator[Peer]:
    headers, peer = {"authorization": f"Bearer {token}"}, Peer()
    answered = await http.post(path, content=offer(peer), headers=headers | {"content-type": "application/sdp"})
    answered.raise_for_status()
    try:
        await peer.connect(answered.text)
        yield peer
    finally:
        await peer.close()
        await http.delete(answered.headers["location"], headers=headers)


async def _send(peer: Peer) -> None:
    number = 0
    while True:
        payload = VP8_DELTA if number % _KEYFRAME_EVERY else VP8_KEYFRAME
        peer.send_rtp(rtp_packet(number & 0xFFFF, timestamp=number * 90_000 // FRAME_RATE, payload=payload))
        if number % round(_CHECK_S * FRAME_RATE) == 0:
            peer.send_raw(peer.binding_request())
        peer.rtcp.clear()
        number += 1
        await asyncio.sleep(1 / FRAME_RATE)
