"""A room on two workers: the edge pulls what its viewers need, once, and they see what viewers of the origin see."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from aiortc.rtp import RtcpPsfbPacket, RtcpRrPacket, RtcpRtpfbPacket

from sfu_fleet.cascade.link import RemoteLink
from sfu_fleet.cascade.pull import Pull
from sfu_fleet.cascade.room_info import RoomInfo, room_info
from sfu_fleet.rtp import is_rtcp, pack_extensions
from sfu_fleet.worker import SfuWorker
from shared.security.tokens import Grant
from tests.sfu_fleet.cascade.conftest import Fleet, relay_token
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import AUDIO_SSRC, OPUS, STREAM_ID, VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import publish, send_video
from tests.sfu_fleet.test_forwarding import keyframe_requests

MakePeer = Callable[[], Peer]


def pull_of(worker: SfuWorker, room: str = "room") -> Pull:
    found = worker.rooms.room(room)
    assert found is not None
    assert found.pull is not None
    return found.pull


async def live(fleet: Fleet, source: Peer, *, plane: str = "auto") -> tuple[SfuWorker, SfuWorker]:
    """A publisher at w1, which is the origin, and w2 beside it."""
    origin = await fleet.start("w1", plane=plane)
    edge = await fleet.start("w2", plane=plane)
    fleet.originate("w1")
    await publish(origin.rooms, source, token=1)
    send_video(source, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: any(info.live for info in origin.rooms.infos()), "live")
    return origin, edge


async def asked(source: Peer, before: int = 0) -> None:
    await eventually(lambda: len(keyframe_requests(source)) > before, "a keyframe request")


def _has(viewer: Peer, packets: int) -> bool:
    return len(viewer.rtp) >= packets


@pytest.mark.parametrize("plane", ["python", "native"])
async def test_an_edge_pulls_once_and_its_viewers_see_the_publisher_s_media(
    fleet: Fleet, peers: MakePeer, plane: str
) -> None:
    source, viewers = peers(), [peers() for _ in range(3)]
    origin, edge = await live(fleet, source, plane=plane)
    for viewer in viewers:
        await fleet.watch("w2", viewer)
    await asked(source)
    before = origin.metrics.traffic.packets_in
    send_video(source, 2, 1, VP8_KEYFRAME)
    send_video(source, 3, 8)
    for index in range(5):
        source.send_rtp(rtp_packet(index, timestamp=960 * index, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS))
    for viewer in viewers:
        await eventually(partial(_has, viewer, 14), "14 packets each")
        numbers = [packet.sequence_number for packet in viewer.video()]
        assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(9)]
        assert [packet.payload[-1] for packet in viewer.video()] == list(range(2, 11))
        assert viewer.video()[0].payload[:5] == VP8_KEYFRAME[:5]
    await eventually(lambda: origin.metrics.traffic.packets_out == 14, "the count of the thread")
    assert origin.metrics.traffic.packets_in - before == 14
    await eventually(lambda: edge.metrics.traffic.packets_out == 42, "the edge's")


async def test_only_the_layer_that_is_watched_is_pulled_and_the_others_are_known(fleet: Fleet, peers: MakePeer) -> None:
    origin, edge = await fleet.start("w1"), await fleet.start("w2")
    fleet.originate("w1")
    source, viewer = peers(), peers()
    publisher = origin.rooms.publish("room", "s", "S", source.publish_offer(rids=("q", "h")), 1)
    await source.connect(publisher.agreement.sdp)

    def send(first: int, count: int, payload: bytes = VP8_DELTA) -> None:
        for sequence in range(first, first + count):
            for index, rid in enumerate((b"q", b"h")):
                extension = pack_extensions({STREAM_ID: rid})
                source.send_rtp(
                    rtp_packet(
                        sequence, timestamp=3_000 * sequence, ssrc=50 + index, payload=payload, extension=extension
                    )
                )

    send(1, 1, VP8_KEYFRAME)
    await eventually(lambda: publisher.live, "live")
    await fleet.watch("w2", viewer)
    subscriber = next(iter(edge.rooms.room("room").subscribers.values()))  # type: ignore[union-attr]
    subscriber.choose("q")
    (feed,) = origin.rooms.room("room").feeds.values()  # type: ignore[union-attr]

    def used() -> set[str]:
        return {layer.name for layer in feed.used if layer.kind == "video"}

    await eventually(lambda: used() == {"q"}, "one layer is wanted")
    send(2, 1, VP8_KEYFRAME)
    send(3, 20)
    await eventually(lambda: len(viewer.rtp) >= 20, "media of one layer")
    low, high = pull_of(edge).tracks[-1].layers
    assert [layer.name for layer in (low, high)] == ["q", "h"]
    await eventually(lambda: high.active(asyncio.get_running_loop().time()), "what is not pulled is told of")
    assert high.rate.rate(asyncio.get_running_loop().time()) > 0
    assert used() == {"q"}
    before = len(keyframe_requests(source))
    subscriber.choose("h")
    subscriber.legs[-1].switch.to(high)
    await eventually(lambda: "h" in used(), "the origin knows that another layer is wanted")
    await asked(source, before)
    send(23, 1, VP8_KEYFRAME)
    send(24, 5)
    await eventually(lambda: subscriber.legs[-1].switch.layer is high, "the viewer has gone over")
    await eventually(lambda: used() == {"h"}, "the layer that nobody watches is let go", 8)
    numbers = [packet.sequence_number for packet in viewer.video()]
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(len(numbers))]


async def test_a_keyframe_request_goes_up_and_a_nack_is_answered_by_the_edge(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    origin, edge = await live(fleet, source)
    await fleet.watch("w2", viewer)
    await asked(source)
    send_video(source, 2, 1, VP8_KEYFRAME)
    send_video(source, 3, 5)
    await eventually(lambda: len(viewer.rtp) == 6, "six packets")
    video = viewer.video()[2]
    before = len(keyframe_requests(source))
    viewer.send_rtcp(RtcpRrPacket(ssrc=1), RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=video.ssrc))
    await asked(source, before)
    nack = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=video.ssrc, lost=[video.sequence_number])
    viewer.send_rtcp(RtcpRrPacket(ssrc=1), nack)
    await eventually(lambda: edge.metrics.traffic.packets_resent == 1, "sent again by the edge")
    assert origin.metrics.traffic.packets_resent == 0


async def test_what_is_lost_between_workers_is_repaired_there(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    origin, edge = await live(fleet, source)
    await fleet.watch("w2", viewer)
    await asked(source)
    send_video(source, 2, 1, VP8_KEYFRAME)
    await eventually(lambda: len(viewer.rtp) == 1, "a picture")
    link = pull_of(edge).current
    assert isinstance(link, RemoteLink)
    link._socket._socket = _Lossy(link._socket._socket, {2, 3})  # type: ignore[assignment]
    send_video(source, 3, 8)
    await eventually(lambda: len(viewer.rtp) == 9, "all packets")
    assert {packet.payload[-1] for packet in viewer.video()} == set(range(2, 11))
    await eventually(lambda: origin.metrics.traffic.packets_resent == 2, "two were sent again by the origin")


class _Lossy:
    """A socket that loses some of the media datagrams, counted from 0."""

    def __init__(self, sock: socket.socket, lost: set[int]) -> None:
        self._sock = sock
        self._lost = lost
        self._count = -1

    def recv(self, size: int) -> bytes:
        while True:
            data = self._sock.recv(size)
            if is_rtcp(data):
                return data
            self._count += 1
            if self._count not in self._lost:
                return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


async def test_the_pull_ends_with_its_last_viewer_and_leaves_nothing_behind(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    origin, edge = await live(fleet, source)
    session = await fleet.watch("w2", viewer)
    assert origin.rooms.counts()["feed"] == edge.rooms.counts()["pull"] == 1
    edge.rooms.hang_up(session)
    await eventually(lambda: not edge.rooms.sessions(), "nothing is left at the edge", 8)
    await eventually(lambda: origin.rooms.counts()["feed"] == 0, "nor at the origin of it")
    assert edge.rooms.room("room") is None
    assert origin.rooms.counts()["publish"] == 1


async def test_totals_of_the_origin_are_those_of_the_tree(fleet: Fleet, peers: MakePeer) -> None:
    source = peers()
    origin, _ = await live(fleet, source)
    await fleet.start("w3")
    for name, first in (("w1", ""), ("w2", ""), ("w2", ""), ("w3", "w2")):
        await fleet.watch(name, peers(), first=first)
    await eventually(lambda: room_info_of(origin).total.viewers == 4, "four in the tree")
    info = room_info_of(origin)
    assert (info.role, info.viewers, [edge.viewers for edge in info.edges]) == ("origin", 1, [3])
    below = room_info_of(fleet.workers["w3"])
    assert (below.role, below.depth, below.parent, below.total.viewers) == ("edge", 2, "w2", 1)


def room_info_of(worker: SfuWorker) -> RoomInfo:
    room = worker.rooms.room("room")
    assert room is not None
    return room_info(room)


async def test_an_origin_at_its_budget_names_an_edge_which_then_feeds_the_next(fleet: Fleet, peers: MakePeer) -> None:
    source, first, second = peers(), peers(), peers()
    origin, edge = await live(fleet, source)
    third = await fleet.start("w3")
    await fleet.watch("w2", first)
    origin.rooms.load_pps = origin.rooms._limits.capacity_pps
    await fleet.watch("w3", second)
    pull = pull_of(third)
    assert pull.current is not None
    assert (pull.current.parent.worker, pull.depth) == ("w2", 2)
    await eventually(lambda: len(keyframe_requests(source)) > 0, "a keyframe request")
    send_video(source, 2, 1, VP8_KEYFRAME)
    send_video(source, 3, 5)
    for viewer in (first, second):
        await eventually(partial(_has, viewer, 6), "media over one hop and over two")
    assert edge.rooms.counts()["feed"] == origin.rooms.counts()["feed"] == 1


async def test_media_flows_on_while_the_parent_s_control_api_answers_nobody(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    _, edge = await live(fleet, source)
    await fleet.watch("w2", viewer)
    await asked(source)
    send_video(source, 2, 1, VP8_KEYFRAME)
    await eventually(lambda: len(viewer.rtp) == 1, "a picture")
    await fleet.unplug("w1")
    before = len(keyframe_requests(source))
    video = viewer.video()[0]
    send_video(source, 3, 5)
    await eventually(lambda: len(viewer.rtp) == 6, "media")
    viewer.send_rtcp(RtcpRrPacket(ssrc=1), RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=video.ssrc))
    await asked(source, before)
    # Another viewer comes, for whom nothing has to be asked.
    await fleet.watch("w2", peers())
    assert edge.rooms.counts()["subscribe"] == 2


async def test_who_has_no_relay_token_for_the_room_gets_no_feed(fleet: Fleet) -> None:
    worker = await fleet.start("w1")
    body = {"worker": "w2", "url": "http://127.0.0.1:1", "address": "127.0.0.1", "port": 9}
    url = f"{worker._settings.url}/v1/rooms/room/feeds"
    async with httpx.AsyncClient() as http:
        for bearer, status in (
            (relay_token(grants=frozenset({Grant.CONTROL})), 403),
            (relay_token("another"), 403),
            ("nonsense", 401),
            (relay_token(), 409),  # nobody is live
        ):
            response = await http.post(url, json=body, headers={"authorization": f"Bearer {bearer}"})
            assert response.status_code == status, response.text
