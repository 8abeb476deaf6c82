"""How late the event loop runs its timers: so long do checks, reports and keyframe requests wait as well."""

import asyncio
import time

from prometheus_client import Histogram

INTERVAL_S = 0.02


async def watch(lag: Histogram) -> None:
    """Observe the lag in seconds of a timer that fires fifty times a second, until cancelled."""
    while True:
        # The loop's own clock stands still while callbacks run.
        due = time.perf_counter() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        lag.observe(max(0.0, time.perf_counter() - due))
