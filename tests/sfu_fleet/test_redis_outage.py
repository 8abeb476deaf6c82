"""Redis away: media goes on, liveness holds, readiness falls, and events arrive afterwards in order."""

from collections.abc import Callable

import msgspec
import pytest

from sfu_fleet import registry, stream_events
from sfu_fleet.worker import SfuWorker
from shared.state.connect import connect_redis
from shared.state.fleet import Fleet
from shared.state.rooms import RoomLog
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import VP8_KEYFRAME, Peer
from tests.sfu_fleet.scenes import publish, send_video, view


async def test_media_flows_without_redis_and_the_log_learns_of_it_later(
    own_valkey: Valkey, peers: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_events, "RETRY_S", 0.05)
    monkeypatch.setattr(registry, "RENEW_S", 0.05)
    monkeypatch.setattr(registry, "LEASE_MS", 300)
    async with SfuWorker(settings_for(own_valkey.url)) as worker:
        await eventually(lambda: worker.registry.registered, "registration")
        own_valkey.stop()
        source, viewer = peers(), peers()
        session = await publish(worker.rooms, source)
        await view(worker.rooms, viewer)
        send_video(source, 1, 1, VP8_KEYFRAME)
        send_video(source, 2, 50)
        await eventually(lambda: len(viewer.rtp) == 51, "all of the media")
        await eventually(lambda: not worker.registry.registered, "the lease to be over")
        worker.rooms.hang_up(session)
        own_valkey.start()
        await eventually(lambda: worker.registry.registered, "registration again")
        await worker.events.flush(5)
        redis = connect_redis(own_valkey.url)
        entries = (await RoomLog(redis).resume("room")).entries
        assert [tuple(msgspec.msgpack.decode(event)[:3]) for _, event in entries] == [
            (2, session, "Streamer"),
            (3, session, "left"),
        ]
        assert [found.id for found in await Fleet(redis).workers()] == ["w1"]
        await redis.aclose()
        sample = worker.metrics.registry.get_sample_value
        assert sample("sfu_registration_failures_total")
        assert sample("sfu_stream_event_failures_total")
        assert sample("sfu_stream_events_lost_total") == 0


async def test_events_that_grow_too_old_are_given_up(own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_events, "RETRY_S", 0.01)
    monkeypatch.setattr(stream_events, "MAX_AGE_S", 0.05)
    async with SfuWorker(settings_for(own_valkey.url)) as worker:
        own_valkey.stop()
        worker.events.started("room", "session", "Name")
        await worker.events.flush(5)
        assert worker.metrics.registry.get_sample_value("sfu_stream_events_lost_total") == 1
