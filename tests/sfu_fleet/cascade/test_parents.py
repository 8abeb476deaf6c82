"""A parent goes, another comes: viewers of an edge see one stream, and no origin is taken for a later one's."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sfu_fleet.cascade import upstream
from sfu_fleet.errors import Fenced, Unreachable
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.cascade.conftest import Fleet, relay_token
from tests.sfu_fleet.cascade.test_pull import asked, live, pull_of
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import VP8_KEYFRAME, Peer
from tests.sfu_fleet.scenes import publish, send_video
from tests.sfu_fleet.test_forwarding import keyframe_requests

MakePeer = Callable[[], Peer]


async def watched(fleet: Fleet, source: Peer, viewer: Peer) -> tuple[SfuWorker, SfuWorker]:
    """A viewer at w2, which pulls from w1, has seen two packets."""
    origin, edge = await live(fleet, source)
    await fleet.watch("w2", viewer)
    await asked(source)
    send_video(source, 2, 1, VP8_KEYFRAME)
    send_video(source, 3, 1)
    await eventually(lambda: len(viewer.rtp) == 2, "two packets")
    return origin, edge


def shows(viewer: Peer, *numbers: int) -> bool:
    """Whether these packets came last."""
    return [packet.payload[-1] for packet in viewer.video()][-len(numbers) :] == list(numbers)


def unbroken(viewer: Peer) -> bool:
    numbers = [packet.sequence_number for packet in viewer.video()]
    assert len({packet.ssrc for packet in viewer.video()}) == 1
    return numbers == [(numbers[0] + index) & 0xFFFF for index in range(len(numbers))]


async def test_a_publisher_goes_to_another_worker_and_viewers_go_on_at_a_keyframe(
    fleet: Fleet, peers: MakePeer
) -> None:
    source, again, viewer = peers(), peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    target = await fleet.start("w3")
    # The second connection first; the old one goes on sending.
    await publish(target.rooms, again, token=2)
    send_video(again, 1, 1, VP8_KEYFRAME)
    fleet.originate("w3", 2)
    origin.rooms.supersede("room", 2)
    await eventually(lambda: pull_of(edge).next is not None, "a second link")
    send_video(source, 4, 3)
    await eventually(lambda: shows(viewer, 4, 5, 6), "the old one still feeds viewers")
    await asked(again)
    send_video(again, 2, 1, VP8_KEYFRAME)
    send_video(again, 3, 4)
    await eventually(lambda: shows(viewer, 2, 3, 4, 5, 6), "the new one does")
    assert unbroken(viewer)
    await eventually(lambda: pull_of(edge).fence == 2, "the pull is the new origin's")
    await eventually(lambda: not origin.rooms.sessions(), "the old session ends once nobody needs it", 8)


@pytest.mark.parametrize("silently", [False, True], ids=["with_a_word", "silent"])
async def test_a_dead_origin_is_replaced_under_the_feet_of_an_edge_s_viewers(
    fleet: Fleet, peers: MakePeer, *, silently: bool
) -> None:
    source, again, viewer = peers(), peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    target = await fleet.start("w3")
    await fleet.unplug("w1")
    if silently:
        # As a host that is gone: nothing comes, and nothing says so.
        for feed in list(origin.rooms.room("room").feeds.values()):  # type: ignore[union-attr]
            feed.transport.outbound = None
    else:
        origin.rooms.end(next(found for found in origin.rooms.sessions() if found.kind == "publish"), "lost")
    await publish(target.rooms, again, token=2)
    send_video(again, 1, 1, VP8_KEYFRAME)
    fleet.originate("w3", 2)
    await eventually(lambda: keyframe_requests(again), "the edge has found the new origin")
    send_video(again, 2, 1, VP8_KEYFRAME)
    send_video(again, 3, 4)
    await eventually(lambda: shows(viewer, 2, 3, 4, 5, 6), "its media")
    assert unbroken(viewer)
    assert edge.rooms.counts()["subscribe"] == 1


async def test_nothing_comes_from_an_origin_whose_lease_another_has_by_now(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    origin, edge = await live(fleet, source)
    fleet.originate("w1", 5)
    with pytest.raises(Unreachable):
        await edge.upstreams.have("room", fleet.origins["room"], fleet.parent("w1"), relay_token())
    origin.rooms.supersede("room", 5)
    with pytest.raises(Fenced):
        origin.rooms.publish("room", "s", "S", viewer.publish_offer(), 4)


async def test_an_edge_becomes_the_origin_and_its_viewers_stay(fleet: Fleet, peers: MakePeer) -> None:
    source, again, viewer, below = peers(), peers(), peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    await fleet.start("w3")
    await fleet.watch("w3", below, first="w2")
    await publish(edge.rooms, again, token=2)
    send_video(again, 1, 1, VP8_KEYFRAME)
    fleet.originate("w2", 2)
    origin.rooms.supersede("room", 2)
    before = len(keyframe_requests(again))
    await asked(again, before)
    send_video(again, 2, 1, VP8_KEYFRAME)
    send_video(again, 3, 4)
    await eventually(lambda: shows(viewer, 2, 3, 4, 5, 6), "media of the session beside it")
    assert unbroken(viewer)
    await eventually(lambda: len(below.rtp) >= 5, "and for the edge behind")
    await eventually(lambda: not origin.rooms.sessions(), "the old origin is free", 8)


async def test_an_edge_that_cannot_reach_the_origin_goes_by_another_edge(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer, other = peers(), peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    await fleet.start("w3")
    await fleet.watch("w3", other)
    held = fleet.origins["room"]
    fleet.origins["room"] = upstream.Origin(held.parent, held.fence, (fleet.parent("w3"),))
    # The way between these two is cut: no media, and no control API either.
    await fleet.unplug("w1")
    next(feed for feed in origin.rooms.room("room").feeds.values() if feed.worker == "w2").transport.outbound = None  # type: ignore[union-attr]
    await eventually(lambda: (link := pull_of(edge).current) is not None and link.parent.worker == "w3", "by w3")
    await sees_by_way_of(fleet.workers["w3"], source, viewer)


async def test_an_edge_that_is_fed_by_one_that_is_cut_off_goes_to_the_origin_and_feeds_that_one(
    fleet: Fleet, peers: MakePeer
) -> None:
    source, viewer, other = peers(), peers(), peers()
    _, edge = await watched(fleet, source, viewer)
    below = await fleet.start("w3")
    await fleet.watch("w3", other, first="w2")
    held = fleet.origins["room"]
    fleet.origins["room"] = upstream.Origin(held.parent, held.fence, (fleet.parent("w2"), fleet.parent("w3")))
    await cut_off(fleet)
    await eventually(
        lambda: (link := pull_of(below).current) is not None and link.parent.worker == "w1", "to the origin"
    )
    await eventually(lambda: (link := pull_of(edge).current) is not None and link.parent.worker == "w3", "by w3")
    assert (pull_of(below).depth, pull_of(edge).depth) == (1, 2)


async def test_an_edge_that_reaches_nobody_who_has_the_stream_has_another_worker_fetch_it(
    fleet: Fleet, peers: MakePeer
) -> None:
    source, viewer = peers(), peers()
    _, edge = await watched(fleet, source, viewer)
    await fleet.start("w3")
    could_fetch(fleet, "w3")
    await cut_off(fleet)
    await eventually(lambda: (link := pull_of(edge).current) is not None and link.parent.worker == "w3", "by w3")
    assert (pull_of(fleet.workers["w3"]).depth, pull_of(edge).depth) == (1, 2)
    await sees_by_way_of(fleet.workers["w3"], source, viewer)
    # It is there for the edge alone, and ends with it.
    edge.rooms.hang_up(next(info.session for info in edge.rooms.infos() if info.kind == "subscribe"))
    await eventually(lambda: not fleet.workers["w3"].rooms.sessions(), "w3 has let go")


async def test_nobody_is_asked_to_fetch_what_the_origin_says_it_does_not_have(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    third = await fleet.start("w3")
    could_fetch(fleet, "w3")
    origin.rooms.hang_up(next(info.session for info in origin.rooms.infos() if info.kind == "publish"))
    await eventually(lambda: edge.upstreams._upstreams["room"].no_publisher_since is not None, "the origin has said so")
    assert not third.upstreams._upstreams


@pytest.mark.usefixtures("short_leases")
async def test_viewers_of_an_edge_that_is_cut_off_from_all_others_are_let_go(fleet: Fleet, peers: MakePeer) -> None:
    source, viewer = peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    await cut_off(fleet)
    await eventually(lambda: not edge.rooms.counts()["subscribe"], "the viewer is let go", 8)
    assert origin.rooms.counts()["publish"] == 1


@pytest.mark.usefixtures("short_leases")
async def test_an_edge_waits_longer_for_an_origin_of_which_nobody_knows_whether_it_lives(
    fleet: Fleet, peers: MakePeer
) -> None:
    source, viewer = peers(), peers()
    _, edge = await watched(fleet, source, viewer)
    await cut_off(fleet)
    # Its lease has run out.
    del fleet.origins["room"]
    await eventually(lambda: pull_of(edge).current is None or not pull_of(edge).gives, "the link is lost")
    await asyncio.sleep(2.0)
    assert edge.rooms.counts()["subscribe"] == 1


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "LEASE_MS", 600)
    monkeypatch.setattr(upstream, "OUT_OF_REACH_S", 1.0)


async def cut_off(fleet: Fleet) -> None:
    """What the origin w1 sends to the edge w2 does not arrive, nor does it answer."""
    parents = fleet.workers["w2"].upstreams._parents
    answering, parents._http = parents._http, _Cut(fleet.parent("w1").url)
    await answering.aclose()
    room = fleet.workers["w1"].rooms.room("room")
    next(feed for feed in room.feeds.values() if feed.worker == "w2").transport.outbound = None  # type: ignore[union-attr]


def could_fetch(fleet: Fleet, name: str) -> None:
    """That worker does not have the room's stream and could get it."""
    held = fleet.origins["room"]
    fleet.origins["room"] = upstream.Origin(held.parent, held.fence, (), (fleet.parent(name),))


async def sees_by_way_of(worker: SfuWorker, source: Peer, viewer: Peer) -> None:
    """Once that worker feeds the viewer's, packets 4 to 7 come by way of it."""
    way = worker.rooms.room("room")
    await eventually(lambda: way and any(feed.used for feed in way.feeds.values()), "it knows what is wanted")
    send_video(source, 4, 1, VP8_KEYFRAME)
    send_video(source, 5, 3)
    await eventually(lambda: shows(viewer, 4, 5, 6, 7), "media by way of it")
    assert unbroken(viewer)


class _Cut(httpx.AsyncClient):
    """A client whose way to one URL is cut."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=1.0, trust_env=False)
        self._cut = url

    async def post(self, url: str, **arguments: Any) -> httpx.Response:  # type: ignore[override]  # noqa: ANN401 - httpx's
        if url.startswith(self._cut):
            raise httpx.ConnectTimeout("cut")
        return await super().post(url, **arguments)


async def test_a_feed_whose_edge_is_gone_is_reaped_and_counted(
    fleet: Fleet, peers: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu_fleet.rooms.LIVENESS_S", 0.5)
    source, viewer = peers(), peers()
    origin, edge = await watched(fleet, source, viewer)
    link = pull_of(edge).current
    assert link is not None
    next(found for found in origin.rooms.sessions() if found.kind == "publish").transport.heard_at = float("inf")
    link._socket.close()  # type: ignore[attr-defined]
    edge.upstreams._directory = _unknown
    await fleet.unplug("w1")
    await eventually(lambda: origin.rooms.counts()["feed"] == 0, "reaped")
    assert origin.metrics.registry.get_sample_value("sfu_orphans_reaped_total") == 1


async def _unknown(room: str) -> upstream.Origin | None:
    await asyncio.sleep(0)
    raise ConnectionError(room)
