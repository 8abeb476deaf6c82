"""Fifty viewers ask for a keyframe at once: the publisher hears of it twice at most, and all get one."""

import asyncio
from collections.abc import Callable

from sfu_fleet.worker import SfuWorker
from tests.bench.keyframes import Encoder, Watcher, storm
from tests.sfu_fleet.peer import Peer
from tests.sfu_fleet.scenes import publish, view

VIEWERS = 50


async def test_a_storm_reaches_the_publisher_as_two_requests_and_serves_everybody(
    worker: SfuWorker, peers: Callable[[], Peer]
) -> None:
    source = peers()
    await publish(worker.rooms, source)
    encoder = Encoder(source)
    sending = asyncio.create_task(encoder.run())
    watchers = []
    for _ in range(VIEWERS):
        viewer = peers()
        watchers.append(Watcher(viewer))
        await view(worker.rooms, viewer)
    outcome = await storm(encoder, watchers, within_s=0.3)
    sending.cancel()
    assert outcome.served == VIEWERS
    assert 1 <= outcome.requests <= 2
