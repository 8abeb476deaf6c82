"""Over the room socket: a session takes another one's place at another worker, and a worker's word to go arrives."""

import asyncio

from shared.protocol import messages as m
from shared.protocol import sdp
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.fleet import Fleet, Move
from tests.functions.test_viewer_quality import Scene, scene
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import Peer
from tests.sfu_fleet.test_layers import NAMES
from tests.support.sfu import sessions

__all__ = ["scene"]


def worker_of(session: str) -> str:
    return session.partition("-")[0]


async def subscribe(scene: Scene, request: int, instead_of: str | None) -> tuple[str, Peer]:
    """Another subscription of the viewer's; its session, connected."""
    await scene.socket.send(m.Subscribe(request, instead_of))
    offer = await scene.socket.expect(m.Offer, lambda offer: offer.request == request)
    peer = Peer()
    await scene.socket.send(m.Accept(request + 1, offer.session, peer.view_answer(sdp.plain(offer.sdp))))
    await scene.socket.expect(m.Done, lambda done: done.request == request + 1)
    await peer.connect(sdp.plain(offer.sdp))
    return offer.session, peer


async def test_a_subscription_in_another_one_s_place_is_at_another_worker_and_plays(
    scene: Scene, stack: LocalStack
) -> None:
    session, peer = await subscribe(scene, 20, scene.session)
    try:
        assert worker_of(session) != worker_of(scene.session)
        await eventually(lambda: len(peer.rtp) > 10, "media by way of the cascade", 10)
        infos = [info for worker in stack.workers for info in await sessions(stack, worker.url)]
        kinds = [info["kind"] for info in infos if info["room"] == scene.room]
        assert sorted(kinds) == ["feed", "publish", "pull", "subscribe", "subscribe"]
    finally:
        await peer.close()


async def test_a_stream_goes_on_from_another_worker_under_a_new_session(scene: Scene) -> None:
    session, peer = await subscribe(scene, 20, scene.session)
    again = Peer()
    started = [event for _, event in scene.socket.events if isinstance(event, m.StreamStarted)][-1]
    await scene.owner.send(m.Publish(30, again.publish_offer(rids=NAMES), started.session))
    answer = await scene.owner.expect(m.Answer, lambda answer: answer.request == 30)
    await again.connect(sdp.plain(answer.sdp))
    old, scene.source = scene.source, again
    try:
        assert worker_of(answer.session) != worker_of(started.session)
        await scene.socket.until(
            lambda: any(
                isinstance(event, m.StreamStarted) and event.continues == started.session
                for _, event in scene.socket.events
            )
        )
        before = len(peer.rtp)
        await eventually(lambda: len(peer.rtp) > before + 10, "the same subscription gets the new session's media", 10)
        assert worker_of(session) == worker_of(answer.session)
        assert len({packet.ssrc for packet in peer.video()}) == 1
    finally:
        await asyncio.gather(peer.close(), old.close())


async def test_an_order_to_move_reaches_the_viewer_s_socket(scene: Scene, stack: LocalStack) -> None:
    redis = connect_redis(stack.redis_url)
    try:
        await Fleet(redis).order(worker_of(scene.session), Move(scene.room, scene.session))
        told = await scene.socket.expect(m.Relocate)
        assert told.session == scene.session
    finally:
        await redis.aclose()
