"""A room's life: who replaces whom, why a stream ends, and what the room log is told."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from aiortc.rtcdtlstransport import RTCCertificate, generate_certificate
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import Redis

from sfu_fleet import rooms as rooms_module
from sfu_fleet import source as source_module
from sfu_fleet.errors import (
    AtCapacity,
    Draining,
    EtagMismatch,
    NoPublisher,
    RestartUnsupported,
    SdpRefused,
    UnknownSession,
)
from sfu_fleet.worker import SfuWorker
from shared.state.rooms import RoomLog
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import AUDIO_SSRC, OPUS, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import publish, send_video, view

MakePeer = Callable[[], Peer]


async def events(worker: SfuWorker, valkey: Redis, room: str = "room") -> list[tuple[int, str, str]]:
    """The room log: (2, session, name) for a start, (3, session, reason) for an end."""
    await worker.events.flush(5)
    position = await RoomLog(valkey).resume(room)
    return [tuple(msgspec.msgpack.decode(event)[:3]) for _, event in position.entries]


async def go_live(worker: SfuWorker, peer: Peer) -> str:
    session = await publish(worker.rooms, peer)
    send_video(peer, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: any(info.session == session and info.live for info in worker.rooms.infos()), "live")
    return session


async def test_a_stream_starts_with_its_first_keyframe_and_not_before(
    worker: SfuWorker, valkey: Redis, peers: MakePeer
) -> None:
    source = peers()
    session = await publish(worker.rooms, source)
    send_video(source, 1, 3)
    source.send_rtp(rtp_packet(1, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: worker.metrics.traffic.packets_in == 4, "four packets")
    assert await events(worker, valkey) == []
    send_video(source, 4, 1, VP8_KEYFRAME)
    await eventually(lambda: worker.rooms.infos()[0].live, "live")
    assert await events(worker, valkey) == [(2, session, "Streamer")]
    live = await RoomLog(valkey).live("room")
    assert live is not None
    assert (live.session, live.worker) == (session, "w1")


async def test_a_stream_of_sound_alone_starts_with_its_first_packet(
    worker: SfuWorker, valkey: Redis, peers: MakePeer
) -> None:
    source = peers()
    session = await publish(worker.rooms, source, audio_only=True)
    source.send_rtp(rtp_packet(1, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: worker.rooms.infos()[0].live, "live")
    assert await events(worker, valkey) == [(2, session, "Streamer")]


async def test_a_stream_whose_video_does_not_come_starts_with_its_sound_after_a_grace(
    worker: SfuWorker, valkey: Redis, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, viewer = peers(), peers()
    monkeypatch.setattr(source_module, "SOUND_ALONE_AFTER_S", 0.2)
    session = await publish(worker.rooms, source)
    source.send_rtp(rtp_packet(1, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: worker.metrics.traffic.packets_in == 1, "the first packet")
    assert not worker.rooms.infos()[0].live
    await asyncio.sleep(0.25)
    source.send_rtp(rtp_packet(2, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: worker.rooms.infos()[0].live, "live")
    assert await events(worker, valkey) == [(2, session, "Streamer")]
    await view(worker.rooms, viewer)
    send_video(source, 1, 1, VP8_KEYFRAME)
    await eventually(viewer.video, "video that begins later")
    assert await events(worker, valkey) == [(2, session, "Streamer")]


async def test_sound_does_not_start_a_stream_whose_video_has_begun(
    worker: SfuWorker, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = peers()
    monkeypatch.setattr(source_module, "SOUND_ALONE_AFTER_S", 0)
    await publish(worker.rooms, source)
    send_video(source, 1, 1)
    await eventually(lambda: worker.metrics.traffic.packets_in == 1, "the first packet")
    source.send_rtp(rtp_packet(1, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    await eventually(lambda: worker.metrics.traffic.packets_in == 2, "the sound")
    assert not worker.rooms.infos()[0].live


async def test_hanging_up_ends_the_stream_as_left_for_everybody(
    worker: SfuWorker, valkey: Redis, peers: MakePeer
) -> None:
    source, viewer = peers(), peers()
    session = await go_live(worker, source)
    await view(worker.rooms, viewer)
    worker.rooms.hang_up(session)
    assert worker.rooms.infos() == []
    assert await events(worker, valkey) == [(2, session, "Streamer"), (3, session, "left")]
    with pytest.raises(UnknownSession):
        worker.rooms.hang_up(session)
    with pytest.raises(NoPublisher):
        worker.rooms.subscribe("room", "viewer", "Viewer", None)


async def test_close_notify_ends_the_stream_as_left(worker: SfuWorker, valkey: Redis, peers: MakePeer) -> None:
    source = peers()
    session = await go_live(worker, source)
    await source.stop_dtls()
    await eventually(lambda: worker.rooms.infos() == [], "the end")
    assert await events(worker, valkey) == [(2, session, "Streamer"), (3, session, "left")]


async def test_silence_ends_the_stream_as_lost(
    worker: SfuWorker, valkey: Redis, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms_module, "LIVENESS_S", 0.5)
    session = await go_live(worker, peers())
    await eventually(lambda: worker.rooms.infos() == [], "the end")
    assert await events(worker, valkey) == [(2, session, "Streamer"), (3, session, "lost")]


async def test_a_second_publisher_replaces_the_first_once_it_is_connected(
    worker: SfuWorker, valkey: Redis, peers: MakePeer
) -> None:
    first, second, viewer = peers(), peers(), peers()
    old = await go_live(worker, first)
    watching = await view(worker.rooms, viewer)
    offered = worker.rooms.publish("room", "streamer", "Again", second.publish_offer())
    assert {info.session for info in worker.rooms.infos()} == {old, watching, offered.id}
    await second.connect(offered.agreement.sdp)
    await eventually(lambda: [info.session for info in worker.rooms.infos()] == [offered.id], "the replacement")
    send_video(second, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: offered.live, "live again")
    assert await events(worker, valkey) == [(2, old, "Streamer"), (3, old, "replaced"), (2, offered.id, "Again")]


async def test_a_second_publisher_that_never_connects_does_no_harm(
    worker: SfuWorker, valkey: Redis, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await go_live(worker, peers())
    monkeypatch.setattr(rooms_module, "SETUP_S", 0.1)
    pending = worker.rooms.publish("room", "streamer", "Again", peers().publish_offer())
    await eventually(lambda: pending.state == "failed", "the failure")
    assert pending.reason == "no connectivity check arrived"
    assert await events(worker, valkey) == [(2, old, "Streamer")]
    assert old in {info.session for info in worker.rooms.infos()}


async def test_a_refused_certificate_is_explained(worker: SfuWorker) -> None:
    key = ec.generate_private_key(ec.SECP224R1())
    encoder = Peer(certificate=RTCCertificate(key, generate_certificate(key)))
    publisher = worker.rooms.publish("room", "streamer", "Encoder", encoder.publish_offer(setup="active"))
    await encoder.connect(publisher.agreement.sdp)
    await eventually(lambda: publisher.state == "failed", "the failure")
    await encoder.close()
    info = worker.rooms.infos()[0]
    assert info.state == "failed"
    assert "DTLS handshake failed" in info.reason
    assert "P-256" in info.reason or "alert" in info.reason


async def test_a_foreign_certificate_is_refused(worker: SfuWorker, peers: MakePeer) -> None:
    honest, thief = peers(), peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", honest.publish_offer())
    await thief.connect(publisher.agreement.sdp)
    await eventually(lambda: publisher.state == "failed", "the failure")
    assert "fingerprint" in publisher.reason


async def test_draining_ends_streams_and_refuses_new_ones(worker: SfuWorker, valkey: Redis, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    session = await go_live(worker, source)
    await view(worker.rooms, viewer)
    await worker.drain()
    assert worker.rooms.infos() == []
    assert await events(worker, valkey) == [(2, session, "Streamer"), (3, session, "drained")]
    with pytest.raises(Draining):
        worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    assert await valkey.zcard("{fleet}:leases") == 0


async def test_the_packet_budget_is_kept(shared_valkey: Valkey, peers: MakePeer) -> None:
    async with SfuWorker(settings_for(shared_valkey.url, capacity_pps=700)) as worker:
        source = peers()
        worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
        for _ in range(2):
            worker.rooms.subscribe("room", "viewer", "Viewer", None)
        with pytest.raises(AtCapacity):
            worker.rooms.subscribe("room", "viewer", "Viewer", None)


async def test_trickled_candidates_are_checked_and_counted(worker: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"
    lines = [f"a=ice-ufrag:{source.ufrag}", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", candidate, ""]
    fragment = "\r\n".join(lines)
    worker.rooms.trickle(publisher.id, fragment, f'"{publisher.etag}"')
    with pytest.raises(EtagMismatch):
        worker.rooms.trickle(publisher.id, fragment, '"other"')
    with pytest.raises(SdpRefused, match="without its a=ice-pwd"):
        worker.rooms.trickle(publisher.id, fragment.replace(source.ufrag, "newufrag"), None)
    with pytest.raises(SdpRefused, match="line 1: a=ice-ufrag"):
        worker.rooms.trickle(publisher.id, fragment.replace(source.ufrag, "x y"), None)
    offered = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    with pytest.raises(RestartUnsupported):
        worker.rooms.trickle(offered.id, fragment, None)
    with pytest.raises(SdpRefused, match="line 4: malformed candidate"):
        worker.rooms.trickle(publisher.id, fragment.replace("udp 1 ", "udp x "), None)
    assert worker.metrics.registry.get_sample_value("sfu_trickled_candidates_total") == 3


async def test_a_refused_offer_leaves_nothing_behind(worker: SfuWorker, peers: MakePeer) -> None:
    with pytest.raises(SdpRefused):
        worker.rooms.publish("room", "streamer", "Streamer", "v=0\r\n")
    with pytest.raises(SdpRefused):
        worker.rooms.publish("room", "streamer", "Streamer", peers().view_offer())
    assert worker.rooms.infos() == []
    with pytest.raises(NoPublisher):
        worker.rooms.subscribe("room", "viewer", "Viewer", None)


async def test_an_answer_is_taken_once(worker: SfuWorker, peers: MakePeer) -> None:
    viewer = peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", peers().publish_offer())
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
    with pytest.raises(SdpRefused, match="already"):
        worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
    with pytest.raises(SdpRefused, match="publisher"):
        worker.rooms.answer(publisher.id, viewer.view_answer(subscriber.sdp))
