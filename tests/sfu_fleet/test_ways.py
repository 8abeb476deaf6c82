"""Ways to a worker: a public address in front of a private one, both families, and TCP where UDP is blocked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from sfu_fleet import ice, ice_tcp
from sfu_fleet import rooms as rooms_module
from sfu_fleet.candidates import candidate_lines
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import VP8_KEYFRAME, Peer
from tests.sfu_fleet.scenes import publish, send_video

MakePeer = Callable[[], Peer]
WAYS = ("udp 127.0.0.1", "udp ::1", "tcp 127.0.0.1", "tcp ::1")


@pytest.fixture
async def dual(shared_valkey: Valkey) -> AsyncIterator[SfuWorker]:
    """A worker on both families."""
    async with SfuWorker(settings_for(shared_valkey.url, media_ipv6_host="::1")) as worker:
        yield worker


async def view_over(worker: SfuWorker, peer: Peer, over: str) -> str:
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, peer.view_answer(subscriber.sdp))
    await peer.connect(subscriber.sdp, over=over)
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    return subscriber.id


def test_udp_is_preferred_to_tcp_and_an_address_to_those_after_it() -> None:
    hosts = (("192.0.2.1", 9), ("2001:db8::1", 9))
    lines = candidate_lines(hosts, hosts)
    assert lines[-1] == "a=end-of-candidates"
    priorities = [int(line.split()[3]) for line in lines[:-1]]
    assert priorities == sorted(priorities, reverse=True)
    assert len({line.split()[0] for line in lines[:-1]}) == 4
    assert [line.endswith("typ host tcptype passive") for line in lines[:-1]] == [False, False, True, True]


async def test_behind_a_1_to_1_nat_the_candidates_say_the_public_addresses(
    shared_valkey: Valkey, peers: MakePeer
) -> None:
    public = ("203.0.113.7", "2001:db8::7")
    async with SfuWorker(settings_for(shared_valkey.url, announced_addresses=public)) as worker:
        source = peers()
        publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
        answer = publisher.agreement.sdp
        assert "127.0.0.1 " not in answer.partition("m=")[2]
        assert {line.split()[4] for line in answer.split("\r\n") if line.startswith("a=candidate")} == set(public)
        assert {line.split()[5] for line in answer.split("\r\n") if line.startswith("a=candidate")} == {
            str(worker.media_port)
        }
        # What the NAT does: the packet arrives at the private address.
        await source.connect(answer.replace(public[0], "127.0.0.1"))
        await eventually(lambda: publisher.state == "connected", "publisher connected")


@pytest.mark.parametrize("over", WAYS)
async def test_media_goes_every_way_that_is_offered(dual: SfuWorker, peers: MakePeer, over: str) -> None:
    source, viewer = peers(), peers()
    await publish(dual.rooms, source)
    await view_over(dual, viewer, over)
    send_video(source, 1, 1, VP8_KEYFRAME)
    send_video(source, 2, 49)
    await eventually(lambda: len(viewer.rtp) == 50, "fifty packets")
    assert [packet.payload[-1] for packet in viewer.video()] == list(range(1, 51))


@pytest.mark.parametrize("over", WAYS)
async def test_a_publisher_may_come_every_way_that_is_offered(dual: SfuWorker, peers: MakePeer, over: str) -> None:
    source, viewer = peers(), peers()
    publisher = dual.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    await source.connect(publisher.agreement.sdp, over=over)
    await view_over(dual, viewer, "udp")
    send_video(source, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: viewer.rtp, "video")


async def test_without_tcp_no_tcp_candidate_is_offered(shared_valkey: Valkey, peers: MakePeer) -> None:
    async with SfuWorker(settings_for(shared_valkey.url, media_tcp=False)) as worker:
        publisher = worker.rooms.publish("room", "streamer", "Streamer", peers().publish_offer())
        assert " tcp " not in publisher.agreement.sdp
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", worker.media_port)


async def test_a_connection_that_breaks_is_replaced_by_another_one(dual: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    await publish(dual.rooms, source)
    subscriber = dual.rooms.subscribe("room", "viewer", "Viewer", None)
    dual.rooms.answer(subscriber.id, viewer.view_answer(subscriber.sdp))
    await viewer.connect(subscriber.sdp, over="tcp")
    assert viewer.stream is not None
    viewer.stream.abort()
    await eventually(lambda: subscriber.transport.remote is None, "the loss")
    await viewer.open(subscriber.sdp, over="tcp")
    await viewer.check()
    send_video(source, 1, 1, VP8_KEYFRAME)
    await eventually(lambda: viewer.rtp, "video over the new connection")


async def test_the_connection_of_a_session_that_has_ended_is_closed(dual: SfuWorker, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    await publish(dual.rooms, source)
    session = await view_over(dual, viewer, "tcp")
    dual.rooms.hang_up(session)
    await eventually(lambda: viewer.stream_lost, "the end of the connection")
    assert viewer.dtls.state == "closed"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\x00\x05\x16dtls", "tcp_stranger"),
        (b"\xff\xff" + bytes(100), "tcp_frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "tcp_frame"),
        (b"\x00\x00", "tcp_stranger"),
    ],
)
async def test_a_connection_that_is_not_ice_is_cut_without_an_answer(dual: SfuWorker, sent: bytes, why: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", dual.media_port)
    writer.write(sent)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert dual.metrics.drops[why] == 1


async def test_a_connection_that_says_nothing_is_cut(dual: SfuWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_tcp, "PROOF_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", dual.media_port)
    assert await reader.read() == b""
    writer.close()
    assert dual.metrics.drops["tcp_stranger"] == 1


async def test_strangers_connections_are_bounded_and_do_not_keep_a_peer_out(
    dual: SfuWorker, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice_tcp, "MAX_STRANGERS", 4)
    writers = [(await asyncio.open_connection("127.0.0.1", dual.media_port))[1] for _ in range(8)]
    await eventually(lambda: dual.metrics.drops.get("tcp_stranger") == 4, "four to be cut")
    source = peers()
    publisher = dual.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    await source.connect(publisher.agreement.sdp, over="tcp")
    await eventually(lambda: publisher.state == "connected", "publisher connected")
    for writer in writers:
        writer.close()


async def test_a_peer_that_does_not_read_loses_packets_and_holds_up_nobody(
    dual: SfuWorker, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice_tcp, "MAX_BUFFERED", 2_000)
    source, slow, good = peers(), peers(), peers()
    await publish(dual.rooms, source)
    await view_over(dual, slow, "tcp")
    await view_over(dual, good, "udp")
    assert slow.stream is not None
    slow.stream.pause_reading()
    send_video(source, 1, 1, VP8_KEYFRAME)
    for first in range(2, 8_002, 50):
        send_video(source, first, 50, bytes(1_100))
        await eventually(lambda: dual.metrics.traffic.packets_in >= first, "the packets")  # noqa: B023 - at once
    await eventually(lambda: len(good.rtp) > 7_000, "all packets for the other one")
    assert dual.metrics.traffic.send_failures > 0


def test_the_death_of_a_peer_is_noticed_in_less_than_ten_seconds() -> None:
    assert rooms_module.LIVENESS_S + rooms_module.TICK_S < 10


async def test_an_address_that_stands_for_one_session_cannot_be_taken_by_another(
    dual: SfuWorker, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, thief = peers(), peers()
    publisher = dual.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    await source.connect(publisher.agreement.sdp)
    other = dual.rooms.publish("elsewhere", "thief", "Thief", thief.publish_offer())
    address = publisher.transport.remote
    # The thief's check under the source's address, as somebody could send it who forges addresses.
    thief.take_credentials(other.agreement.sdp)
    socket = publisher.context.media_socket
    assert address is not None
    socket.receive(thief.binding_request(), address)
    assert (publisher.transport.remote, other.transport.remote) == (address, None)
    assert dual.metrics.drops["address_taken"] == 1
    monkeypatch.setattr(ice, "QUIET_S", -1)
    socket.receive(thief.binding_request(), address)
    assert (publisher.transport.remote, other.transport.remote) == (None, address)


async def test_no_answer_is_longer_than_its_question(dual: SfuWorker, peers: MakePeer) -> None:
    source = peers()
    publisher = dual.rooms.publish("room", "streamer", "Streamer", source.publish_offer())
    await source.open(publisher.agreement.sdp, over="udp ::1")
    source.ufrag = "x"
    source.send_raw(source.binding_request(bare=True))
    await eventually(lambda: dual.metrics.drops == {"stun_short": 1}, "the drop")
    assert publisher.transport.remote is None
