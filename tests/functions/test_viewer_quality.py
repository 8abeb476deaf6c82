"""Over the room socket: what a viewer wishes reaches their worker, what they get comes back, and ICE is restarted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from functions.signaling.qualities import Viewports
from sfu_fleet.rtp import pack_extensions
from shared.protocol import messages as m
from shared.protocol import sdp
from shared.protocol.errors import ErrorCode
from shared.stack.stack import LocalStack
from tests.sfu_fleet.peer import MID, STREAM_ID, Peer, rtp_packet
from tests.sfu_fleet.test_layers import NAMES, SSRCS
from tests.sfu_fleet.test_viewer_limits import HEIGHTS, vp8_keyframe
from tests.support.room_client import RoomClient, guest, joined
from tests.support.sfu import sessions


class Scene:
    """A publisher of three layers and a viewer, both over room sockets and both connected."""

    def __init__(self, stack: LocalStack, room: str, token: str, owner: RoomClient, viewer: RoomClient) -> None:
        self.stack = stack
        self.room = room
        self.token = token
        self.owner = owner
        self.socket = viewer
        self.source = Peer()
        self.watcher = Peer()
        self.session = ""
        self._number = 0

    async def begin(self) -> None:
        await self.owner.send(m.Publish(1, self.source.publish_offer(rids=NAMES)))
        answer = await self.owner.expect(m.Answer)
        await self.source.connect(sdp.plain(answer.sdp))
        sending = asyncio.create_task(self._send_for_ever())
        try:
            await self.socket.until(lambda: any(isinstance(event, m.StreamStarted) for _, event in self.socket.events))
            await self.socket.send(m.Subscribe(2))
            offer = await self.socket.expect(m.Offer)
            text = sdp.plain(offer.sdp)
            self.session = offer.session
            await self.socket.send(m.Accept(3, offer.session, self.watcher.view_answer(text)))
            await self.socket.expect(m.Done, lambda done: done.request == 3)
            await self.watcher.connect(text)
        except BaseException:
            sending.cancel()
            raise
        self.sending = sending

    async def _send_for_ever(self) -> None:
        """Keyframes of all layers, ever larger ones: what they cost is told by that."""
        while True:
            self._number += 1
            for index, name in enumerate(NAMES):
                elements = pack_extensions({MID: b"1", STREAM_ID: name.encode()})
                payload = vp8_keyframe(HEIGHTS[name]) + bytes(40 * 4**index)
                self.source.send_rtp(
                    rtp_packet(
                        self._number,
                        timestamp=self._number * 3_000,
                        ssrc=SSRCS[name],
                        payload=payload,
                        extension=elements,
                    )
                )
            await asyncio.sleep(0.03)

    async def notice(self, layer: str | None, why: m.QualityReason, *, on: RoomClient | None = None) -> m.QualityNotice:
        return await (on or self.socket).expect(
            m.QualityNotice, lambda notice: (notice.layer, notice.why) == (layer, why)
        )

    async def close(self) -> None:
        self.sending.cancel()
        await asyncio.gather(self.sending, return_exceptions=True)
        await self.source.close()
        await self.watcher.close()


@pytest.fixture
async def scene(stack: LocalStack, http: httpx.AsyncClient) -> AsyncIterator[Scene]:
    room, owner_token = await (await guest(http, "Ana")).create_room()
    token = await (await guest(http, "Bo")).room_token(room)
    first, second = stack.functions
    async with AsyncExitStack() as exits:
        owner = await exits.enter_async_context(joined(first.url, room, owner_token))
        viewer = await exits.enter_async_context(joined(second.url, room, token))
        scene = Scene(stack, room, token, owner, viewer)
        await scene.begin()
        exits.push_async_callback(scene.close)
        yield scene


async def test_a_viewer_is_told_what_they_get_and_gets_what_they_choose(scene: Scene) -> None:
    best = await scene.notice("f", m.QualityReason.BEST)
    assert (best.session, best.height) == (scene.session, 720)
    await scene.socket.until(
        lambda: any(isinstance(x, m.QualityNotice) and len(x.layers) == 3 for x in scene.socket.received)
    )
    wishes = (
        (m.Quality(10, scene.session, m.QualityMode.LAYER, "q"), "q", m.QualityReason.CHOICE),
        (m.Quality(11, scene.session, m.QualityMode.AUDIO_ONLY), None, m.QualityReason.CHOICE),
        (m.Quality(12, scene.session, m.QualityMode.PAUSED), None, m.QualityReason.CHOICE),
    )
    for wish, layer, why in wishes:
        scene.socket.received.clear()
        await scene.socket.send(wish)
        await scene.socket.expect(m.Done, lambda done, wish=wish: done.request == wish.request)  # type: ignore[misc]
        await scene.notice(layer, why)
    scene.socket.received.clear()
    await scene.socket.send(m.Quality(13, scene.session, m.QualityMode.AUTO))
    await scene.notice("f", m.QualityReason.BEST)


async def test_a_player_that_is_resized_gets_what_fits_its_last_size(scene: Scene) -> None:
    await scene.notice("f", m.QualityReason.BEST)
    for height in range(900, 199, -20):
        await scene.socket.send(m.Viewport(scene.session, height))
    notice = await scene.notice("q", m.QualityReason.VIEWPORT)
    assert notice.height == 180
    assert not [message for message in scene.socket.received if isinstance(message, m.Error)]
    infos = [info for worker in scene.stack.workers for info in await sessions(scene.stack, worker.url)]
    (info,) = [info for info in infos if info["session"] == scene.session]
    assert (info["adaptation"]["ceiling"], info["adaptation"]["bounds"]["viewport"]) == ("viewport", 200)


async def test_a_socket_that_comes_back_elsewhere_hears_of_its_session_again(scene: Scene) -> None:
    await scene.notice("f", m.QualityReason.BEST)
    await scene.socket.close()
    async with joined(scene.stack.functions[0].url, scene.room, scene.token) as again:
        await again.send(m.Quality(1, scene.session, m.QualityMode.LAYER, "h"))
        await scene.notice("h", m.QualityReason.CHOICE, on=again)


async def test_ice_is_restarted_over_the_socket_and_media_goes_on_from_another_address(scene: Scene) -> None:
    await scene.notice("f", m.QualityReason.BEST)
    for socket, peer, session in (
        (scene.socket, scene.watcher, scene.session),
        (scene.owner, scene.source, (await scene.owner.expect(m.Answer)).session),
    ):
        ufrag, password = peer.ufrag + "N", peer.password + "N"
        for request in (20, 21):  # An answer that was lost is asked for again.
            await socket.send(m.Restart(request, session, ufrag, password))
        first, second = [
            await socket.expect(m.Restarted, lambda done, request=request: done.request == request)  # type: ignore[misc]
            for request in (20, 21)
        ]
        assert (first.ufrag, first.password) == (second.ufrag, second.password)
        peer.ufrag, peer.password = ufrag, password
        peer.take_credentials(f"a=ice-ufrag:{first.ufrag}\r\na=ice-pwd:{first.password}")
        before = peer.mapped
        await peer.rebind()
        await peer.check()
        assert peer.mapped != before
    count = len(scene.watcher.rtp)
    async with asyncio.timeout(10):
        while len(scene.watcher.rtp) < count + 30:
            await asyncio.sleep(0.02)


async def test_nobody_reaches_the_session_of_somebody_else(scene: Scene, http: httpx.AsyncClient) -> None:
    await scene.notice("f", m.QualityReason.BEST)
    token = await (await guest(http, "Eve")).room_token(scene.room)
    async with joined(scene.stack.functions[0].url, scene.room, token) as eve:
        await eve.send(m.Quality(1, scene.session, m.QualityMode.PAUSED))
        await eve.send(m.Restart(2, scene.session, "evil", "x" * 22))
        await eve.send(m.Viewport(scene.session, 100))
        for request in (1, 2):
            error = await eve.expect(m.Error, lambda error, request=request: error.reference == request)  # type: ignore[misc]
            assert error.code == ErrorCode.SESSION_UNKNOWN
        assert not [message for message in eve.received if isinstance(message, m.QualityNotice)]
    assert not [x for x in scene.socket.received if isinstance(x, m.QualityNotice) and x.why != m.QualityReason.BEST]


async def test_of_many_heights_that_wait_only_the_latest_goes_on() -> None:
    handed: list[tuple[str, int]] = []

    async def hand_on(session: str, height: int) -> None:
        handed.append((session, height))

    viewports = Viewports(hand_on)
    for height in range(1, 100):
        viewports.note(m.Viewport("s1", height))
        viewports.note(m.Viewport("s2", height))
    async with asyncio.timeout(10):
        while len(handed) < 2:
            await asyncio.sleep(0.01)
    assert handed == [("s1", 99), ("s2", 99)]
    for session in range(20):
        viewports.note(m.Viewport(f"t{session}", 1))
    async with asyncio.timeout(10):
        while len(handed) < 6:
            await asyncio.sleep(0.01)
    viewports.stop()
