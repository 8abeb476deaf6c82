"""A worker tells how late its event loop is."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Histogram

from sfu_fleet import loop_lag
from shared.tasks import end


async def test_a_loop_that_was_held_up_is_seen_to_be_late() -> None:
    registry = CollectorRegistry()
    watching = asyncio.create_task(loop_lag.watch(Histogram("lag", "lag", registry=registry)))
    await asyncio.sleep(loop_lag.INTERVAL_S / 2)
    time.sleep(0.2)  # noqa: ASYNC251 - what is being tested
    await asyncio.sleep(loop_lag.INTERVAL_S)
    await end(watching)
    assert (registry.get_sample_value("lag_count") or 0) >= 1
    assert (registry.get_sample_value("lag_sum") or 0) >= 0.1
