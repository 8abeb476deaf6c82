"""Something of what the platform measures: requests, a room that talks, a stream and somebody who watches."""

import asyncio
from contextlib import AsyncExitStack

import httpx

from shared.protocol import messages as m
from shared.stack.stack import LocalStack
from tests.sfu_fleet.peer import VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet
from tests.support.room_client import guest, joined

_SDP = {"content-type": "application/sdp"}


async def put_on(stack: LocalStack, *, seconds: float) -> None:
    """Put it on a stack for so long."""
    async with AsyncExitStack() as exit_stack:
        enter = exit_stack.enter_async_context
        http = await enter(httpx.AsyncClient(base_url=stack.functions[0].url))
        ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
        room, owner = await ana.create_room()
        viewer = await bo.room_token(room)
        await http.get("/v1/rooms/none")
        await http.get("/v1/guests", headers=_bearer("no token"))
        await http.post("/v1/rooms", json={"title": "x"}, headers=_bearer("no token"))
        await http.post(f"/v1/rooms/{room}/whip", content="no offer", headers=_SDP | _bearer(owner))
        streamer = await _stream(exit_stack, http, room, owner, viewer)
        # A socket at each process, so that what one says reaches the other through the log.
        one = await enter(joined(stack.functions[0].socket_url, room, owner))
        two = await enter(joined(stack.functions[-1].socket_url, room, viewer))
        await two.send(m.Gift(1, "rose", 2))
        await two.send(m.React("heart", 1))
        await two.send(m.Playback(layer=1, bitrate_kbps=2_000, fps=25, freezes=1, lost=0))
        end = asyncio.get_running_loop().time() + seconds
        sequence = 0
        while asyncio.get_running_loop().time() < end:
            await one.say(f"word {sequence}")
            for _ in range(5):
                payload = VP8_DELTA if sequence % 20 else VP8_KEYFRAME
                streamer.send_rtp(rtp_packet(sequence, timestamp=sequence * 3_000, payload=payload))
                sequence += 1
            await asyncio.sleep(0.2)


async def _stream(exit_stack: AsyncExitStack, http: httpx.AsyncClient, room: str, owner: str, viewer: str) -> Peer:
    streamer, watcher = Peer(), Peer()
    for peer in (streamer, watcher):
        exit_stack.push_async_callback(peer.close)
    whip = await http.post(f"/v1/rooms/{room}/whip", content=streamer.publish_offer(), headers=_SDP | _bearer(owner))
    await streamer.connect(whip.text)
    streamer.send_rtp(rtp_packet(65_535, payload=VP8_KEYFRAME))
    async with asyncio.timeout(10):
        while not (await http.get(f"/v1/rooms/{room}")).json()["live"]:
            await asyncio.sleep(0.05)
    whep = await http.post(f"/v1/rooms/{room}/whep", content=watcher.view_offer(), headers=_SDP | _bearer(viewer))
    await watcher.connect(whep.text)
    return streamer


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
