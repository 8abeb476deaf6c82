"""A viewer's limits on a running worker: heights learned from the stream, told to the viewer, kept to."""

from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from sfu_fleet import picture_heights, rtp, sdp
from sfu_fleet.settings import Settings
from sfu_fleet.worker import SfuWorker
from shared.protocol import messages as m
from shared.security.tokens import Tier
from shared.settings import SettingsError, load
from shared.state.qualities import Told, decode_qualities, quality_channel
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import Peer, rtp_packet
from tests.sfu_fleet.recording.test_depacketize import SPS
from tests.sfu_fleet.test_layers import Scene, connect
from tests.sfu_fleet.test_settings import REQUIRED

MakePeer = Callable[[], Peer]

HEIGHTS = {"q": 180, "h": 360, "f": 720}


def vp8_keyframe(height: int) -> bytes:
    return b"\x10\x00\x02\x00\x9d\x01\x2a" + (height * 16 // 9).to_bytes(2, "little") + height.to_bytes(2, "little")


async def scene_with_heights(worker: SfuWorker, peers: MakePeer) -> Scene:
    scene = await connect(worker, peers)
    for layer in scene.publisher.tracks[1].layers:
        layer.height = HEIGHTS[layer.name]
    await scene.frames(10, keyframe="qhf")
    return scene


def target(scene: Scene) -> str | None:
    info = scene.subscriber.info().adaptation
    assert info is not None
    return info.target


@pytest.mark.parametrize(
    ("encoding", "payload", "height"),
    [
        ("vp8", vp8_keyframe(720).hex(), 720),
        ("vp8", "10 01 0000", 0),
        ("vp9", "88 81ff 82498342 00 4f f0 2c f0", 720),
        ("h264", SPS.hex(), 720),
        ("h264", f"78 00{len(SPS):02x} {SPS.hex()} 0002 6888", 720),
        ("h264", "6588", 0),
        ("h264", "78", 0),
        ("av1", "18 0a", 0),
        ("opus", "fc", 0),
    ],
)
def test_heights_are_read_where_the_payload_tells_them(encoding: str, payload: str, height: int) -> None:
    packet = rtp.parse(rtp_packet(1, payload=bytes.fromhex(payload)))
    assert picture_heights.height(encoding, packet) == height


def test_a_publisher_may_say_the_heights_in_the_offer() -> None:
    peer = Peer()
    offer = peer.publish_offer(rids=("q", "f"))
    offer = offer.replace("a=rid:q send", "a=rid:q send pt=96;max-width=320;max-height=180")
    (_, video) = sdp.parse(offer).media
    assert (video.rids, video.rid_heights) == (("q", "f"), {"q": 180})


async def test_a_height_is_learned_from_a_keyframe_and_follows_the_camera(worker: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    await source.connect(publisher.agreement.sdp)
    for number, height in ((1, 720), (2, 480)):
        source.send_rtp(rtp_packet(number, timestamp=number * 3_000, payload=vp8_keyframe(height)))
        await eventually(lambda h=height: publisher.info().layers[0].height == h, f"{height} lines")  # type: ignore[misc]


async def test_a_small_player_is_sent_a_small_layer_and_told_why(
    worker: SfuWorker, peers: MakePeer, valkey: Redis
) -> None:
    told: list[m.QualityNotice] = []
    pubsub = valkey.pubsub()
    await pubsub.ssubscribe(quality_channel("room"))
    scene = await scene_with_heights(worker, peers)
    worker.rooms.viewer(scene.subscriber.id).fit(200)
    await eventually(lambda: target(scene) == "q", "the smallest layer")
    for _ in range(200):
        await scene.frames(2, keyframe="q")
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.05)
        news = decode_qualities(message["data"]) if message else []
        told += [found.notice for found in news if isinstance(found, Told)]
        if told and (told[-1].layer, told[-1].why) == ("q", m.QualityReason.VIEWPORT):
            break
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    assert (told[-1].session, told[-1].height) == (scene.subscriber.id, 180)
    assert told[-1].why is m.QualityReason.VIEWPORT
    assert [(layer.name, layer.height) for layer in told[-1].layers] == [("q", 180), ("h", 360), ("f", 720)]
    info = scene.subscriber.info().adaptation
    assert info is not None
    assert (info.ceiling, info.bounds.viewport) == ("viewport", 200)


async def test_a_tier_is_bound_by_the_workers_settings(valkey: Redis, shared_valkey: Valkey, peers: MakePeer) -> None:
    assert await valkey.dbsize() == 0
    async with SfuWorker(settings_for(shared_valkey.url, tier_limits=("anonymous=360p",), plane="python")) as worker:
        scene = await scene_with_heights(worker, peers)
        for tier, expected in ((Tier.ANONYMOUS, 360), (Tier.VIEWER, 0)):
            subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None, tier)
            viewer = peers()
            worker.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
            await viewer.connect(subscriber.sdp)
            info = subscriber.info().adaptation
            assert info is not None
            assert info.bounds.tier.height == expected
        assert scene.subscriber.info().adaptation is not None


async def test_who_pauses_gets_nothing_and_goes_on_later_without_a_jump(worker: SfuWorker, peers: MakePeer) -> None:
    scene = await connect(worker, peers)
    source = scene.encoders["q"].peer

    def sound(first: int, count: int) -> None:
        for number in range(first, first + count):
            packet = rtp_packet(number, payload_type=111, ssrc=0x22222222, timestamp=number * 960, payload=b"\xfc\xff")
            source.send_rtp(packet)

    def heard() -> list[int]:
        return [packet.sequence_number for packet in scene.viewer.audio()]

    sound(1, 3)
    await eventually(lambda: len(heard()) == 3, "sound")
    scene.subscriber.choose(None, paused=True, sound=False)
    sound(4, 3)
    await scene.frames(3, keyframe="qhf")
    scene.subscriber.choose(None, paused=True)
    sound(7, 3)
    await eventually(lambda: len(heard()) == 6, "sound after the pause")
    numbers = heard()
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(6)]
    times = [packet.timestamp for packet in scene.viewer.audio()]
    assert (times[3] - times[2]) & 0xFFFFFFFF == 4 * 960


@pytest.mark.parametrize("text", ["anonymous=0p", "streamer=480p", "viewer=fast", "viewer=480"])
def test_a_limit_that_makes_no_sense_is_refused_at_start(text: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_SFU_TIER_LIMITS"):
        load(Settings, REQUIRED | {"HEADRACE_SFU_TIER_LIMITS": text})


def test_a_tier_may_have_both_limits() -> None:
    settings = load(Settings, REQUIRED | {"HEADRACE_SFU_TIER_LIMITS": "viewer=720p, viewer=1500000, anonymous=480p"})
    tiers = settings.tiers()
    assert (tiers[Tier.VIEWER].height, tiers[Tier.VIEWER].bitrate) == (720, 1_500_000)
    assert (tiers[Tier.ANONYMOUS].height, tiers[Tier.ANONYMOUS].bitrate) == (480, 0)
