"""ICE restart: new credentials on both sides, another address, and the same association and media."""

from collections.abc import Callable

import pytest

from sfu_fleet import trickle
from sfu_fleet.errors import EtagMismatch
from sfu_fleet.session import Session
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import VP8_KEYFRAME, Peer
from tests.sfu_fleet.scenes import publish, send_video, view

MakePeer = Callable[[], Peer]


def restart(worker: SfuWorker, session: str, peer: Peer) -> Session:
    """Ask for a restart and take over the answer."""
    peer.ufrag, peer.password = peer.ufrag + "N", peer.password + "N"
    fragment = f"a=ice-ufrag:{peer.ufrag}\r\na=ice-pwd:{peer.password}\r\n"
    restarted = worker.rooms.trickle(session, fragment, "*")
    assert restarted is not None
    tracks = restarted.agreed_tracks
    peer.take_credentials(trickle.restarted(restarted.local_transport(), tracks[0], ["0", "1"]))
    return restarted


async def test_media_goes_on_over_another_address_without_a_new_handshake(worker: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    session = await publish(worker.rooms, source)
    watching = await view(worker.rooms, viewer)
    send_video(source, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: len(viewer.rtp) == 1, "video")
    for peer, of in ((source, session), (viewer, watching)):
        restarted = restart(worker, of, peer)
        before = restarted.transport.remote
        await peer.rebind()
        await peer.check()
        assert restarted.transport.remote == peer.mapped != before
    send_video(source, 2, 3)
    await eventually(lambda: len(viewer.rtp) == 4, "video after the restart")
    assert [packet.payload[-1] for packet in viewer.video()] == [1, 2, 3, 4]
    assert worker.metrics.registry.get_sample_value("sfu_ice_restarts_total") == 2


async def test_until_the_first_new_check_the_old_address_and_credentials_hold(
    worker: SfuWorker, peers: MakePeer
) -> None:
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    watching = await view(worker.rooms, viewer)
    old = viewer.binding_request()
    restarted = restart(worker, watching, viewer)
    viewer.send_raw(old)
    send_video(source, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: viewer.rtp, "video on the old path")
    assert worker.metrics.drops == {}
    await viewer.check()
    viewer.send_raw(old)
    await eventually(lambda: worker.metrics.drops.get("unknown_ufrag"), "the old credentials to be forgotten")
    assert restarted.transport.remote == viewer.mapped


async def test_an_ice_session_that_was_ended_does_not_come_back(worker: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    session = await publish(worker.rooms, source)
    former = f"a=ice-ufrag:{source.ufrag}\r\na=ice-pwd:{source.password}\r\n"
    restart(worker, session, source)
    with pytest.raises(EtagMismatch):
        worker.rooms.trickle(session, former, None)
