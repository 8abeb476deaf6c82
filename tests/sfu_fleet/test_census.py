"""What the census counts of real sessions, and that the catalogue knows every reason for which something is dropped."""

import re
from collections.abc import Callable

from sfu_fleet.census import Census
from sfu_fleet.subscriber import Subscriber
from sfu_fleet.worker import SfuWorker
from shared.stack import paths
from shared.telemetry.catalogue.media import DROP_REASONS
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import VP8_KEYFRAME, Peer
from tests.sfu_fleet.scenes import publish, send_video, view


async def test_the_census_counts_streams_viewers_layers_time_and_losses(
    worker: SfuWorker, peers: Callable[[], Peer]
) -> None:
    streamer, viewer = peers(), peers()
    await publish(worker.rooms, streamer)
    await view(worker.rooms, viewer)
    send_video(streamer, 1, 1, VP8_KEYFRAME)
    await eventually(viewer.video, "the viewer gets the keyframe")
    (watching,) = [session for session in worker.rooms.sessions() if isinstance(session, Subscriber)]
    watching.rtt_ms = 40.0
    watching.legs[0].lost = 7
    census, now = Census(worker.rooms, worker.metrics), watching.context.clock()
    census.count(now, 5.0)
    census.count(now, 5.0)

    def value(name: str, **labels: str) -> float | None:
        found: float | None = worker.metrics.registry.get_sample_value(name, labels)
        return found

    assert value("sfu_live_rooms") == 1
    assert value("sfu_viewers", layer="0") == 1
    assert value("sfu_viewers", layer="none") == 0
    assert value("sfu_layers") == 1
    assert value("sfu_watch_seconds_total") == 10
    assert value("sfu_downlink_packets_lost_total") == 7
    assert value("sfu_round_trip_seconds_count") == 2
    assert value("sfu_recordings") == 0
    # What comes after all is no loss, and is not counted twice when it is lost again.
    watching.legs[0].lost = 5
    census.count(now, 0.0)
    watching.legs[0].lost = 8
    census.count(now, 0.0)
    assert value("sfu_downlink_packets_lost_total") == 8


def test_every_reason_for_a_drop_is_in_the_catalogue() -> None:
    found: set[str] = set()
    for path in (paths.SFU_FLEET / "sfu_fleet").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'\b(?:drop|refuse)\("([a-z_]+)"', source))
        found |= set(re.findall(r'\bdropped\(.*, "([a-z_]+)"\)', source))
    assert {"late", "tcp_full", "stun_malformed"} <= found
    assert found <= set(DROP_REASONS)
