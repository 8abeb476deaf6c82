"""A drain moves people before it ends anything: publishers first, viewers at a pace, the rest at the deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis

from sfu_fleet.errors import Draining
from sfu_fleet.worker import SfuWorker
from shared.state.fleet import Drain, Fleet, Move
from shared.state.qualities import Leaving, decode_qualities, quality_channel
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import VP8_KEYFRAME, Peer
from tests.sfu_fleet.scenes import publish, send_video, view
from tests.sfu_fleet.test_control import token

MakePeer = Callable[[], Peer]


@asynccontextmanager
async def two_workers(valkey: Redis, url: str, **changes: object) -> AsyncIterator[SfuWorker]:
    """The first of two workers of a fleet, both registered."""
    async with (
        SfuWorker(settings_for(url, **changes)) as worker,
        SfuWorker(settings_for(url, instance="w2")),
    ):
        while await valkey.zcard("{fleet}:leases") < 2:
            await asyncio.sleep(0.02)
        yield worker


class Ears:
    """Hears what the room's sockets are told, in order."""

    def __init__(self, valkey: Redis) -> None:
        self._pubsub = valkey.pubsub()
        self.heard: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._pubsub.ssubscribe(quality_channel("room"))
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self) -> None:
        while True:
            message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
            for news in decode_qualities(message["data"]) if message is not None else []:
                if isinstance(news, Leaving):
                    self.heard.append(news.session)


@pytest.fixture
async def ears(valkey: Redis) -> AsyncIterator[Ears]:
    """A function process' ears."""
    made = Ears(valkey)
    await made.open()
    yield made
    await made.close()


async def test_the_publisher_is_asked_to_go_then_viewers_and_it_is_over_when_they_have(
    valkey: Redis, shared_valkey: Valkey, peers: MakePeer, ears: Ears
) -> None:
    async with two_workers(valkey, shared_valkey.url) as worker:
        source = peers()
        streamer = await publish(worker.rooms, source)
        send_video(source, 1, 1, VP8_KEYFRAME)
        viewers = [await view(worker.rooms, peers()) for _ in range(2)]
        worker.drainer.start("a test")
        with pytest.raises(Draining):
            worker.rooms.publish("other", "p", "P", source.publish_offer())
        await eventually(lambda: len(ears.heard) == 3, "all are told")
        assert ears.heard[0] == streamer
        assert set(ears.heard[1:]) == set(viewers)
        assert worker.drainer.progress.phase == "draining"
        assert worker.drainer.progress.left["subscribe"] == 2
        for session in (*viewers, streamer):
            worker.rooms.hang_up(session)
        await eventually(lambda: worker.drainer.progress.phase == "drained", "everybody has gone")
        assert (worker.drainer.progress.told, worker.drainer.progress.ended) == (3, 0)


async def test_viewers_are_told_at_a_pace(valkey: Redis, shared_valkey: Valkey, peers: MakePeer, ears: Ears) -> None:
    async with two_workers(valkey, shared_valkey.url, drain_moves_per_s=2.0) as worker:
        await publish(worker.rooms, peers())
        for _ in range(3):
            await view(worker.rooms, peers())
        began = asyncio.get_running_loop().time()
        worker.drainer.start("a test")
        await eventually(lambda: len(ears.heard) == 4, "all are told")
        assert asyncio.get_running_loop().time() - began > 1.0


async def test_what_is_left_at_the_deadline_is_ended(valkey: Redis, shared_valkey: Valkey, peers: MakePeer) -> None:
    async with two_workers(valkey, shared_valkey.url, drain_deadline_s=0.4) as worker:
        await publish(worker.rooms, peers())
        await view(worker.rooms, peers())
        worker.drainer.start("a test")
        await eventually(lambda: worker.drainer.progress.phase == "drained", "the deadline")
        assert worker.drainer.progress.ended == 2
        assert worker.rooms.sessions() == ()


async def test_a_drain_of_the_fleet_s_registry_is_obeyed_shown_and_taken_back(
    valkey: Redis, shared_valkey: Valkey, peers: MakePeer
) -> None:
    fleet = Fleet(valkey)
    async with two_workers(valkey, shared_valkey.url) as worker:
        await publish(worker.rooms, peers())
        await fleet.drain("w1", Drain("ops", "a kernel", 0.0))
        await eventually(lambda: worker.rooms.draining, "the order")
        transport = httpx.ASGITransport(app=worker.app)  # type: ignore[arg-type] # Litestar's scope is narrower
        headers = {"authorization": f"Bearer {token()}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://worker", headers=headers) as api:
            shown = (await api.get("/v1/drain")).json()
            assert (shown["phase"], shown["left"]["publish"]) == ("draining", 1)
            await fleet.undrain("w1")
            await eventually(lambda: not worker.rooms.draining, "the order is taken back")
            assert (await api.get("/v1/drain")).json()["phase"] == "serving"
        assert worker.rooms.counts()["publish"] == 1


async def test_one_session_is_moved_by_an_order(
    valkey: Redis, shared_valkey: Valkey, peers: MakePeer, ears: Ears
) -> None:
    async with two_workers(valkey, shared_valkey.url) as worker:
        await publish(worker.rooms, peers())
        first, second = [await view(worker.rooms, peers()) for _ in range(2)]
        await Fleet(valkey).order("w1", Move("room", first))
        await eventually(lambda: ears.heard, "the order")
        assert ears.heard == [first]
        assert worker.rooms.viewer(second).state == "connected"


async def test_who_has_nowhere_to_go_is_not_kept_waiting(worker: SfuWorker, peers: MakePeer) -> None:
    await publish(worker.rooms, peers())
    worker.drainer.start("the only worker")
    await eventually(lambda: worker.drainer.progress.phase == "drained", "at once")
    assert worker.drainer.progress.ended == 1
