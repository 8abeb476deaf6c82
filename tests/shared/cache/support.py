"""A repository that counts, and processes with a cache."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import Counter as Metric

from shared.cache import bus as bus_module
from shared.cache.process import ProcessCache

_instances = itertools.count()


class Repository:
    """Numbers by key. `open` is cleared to hold loads up; `error` is what they raise."""

    def __init__(self, **values: int) -> None:
        self.values: dict[str, int] = dict(values)
        self.loads: Counter[str] = Counter()
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def load(self, key: str) -> int | None:
        self.loads[key] += 1
        found = self.values.get(key)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return found


@asynccontextmanager
async def processes(
    url: str, count: int = 1, *, warming: bool = False, loads_per_s: float = 1000.0, max_entries: int = 1000
) -> AsyncIterator[list[ProcessCache]]:
    """Processes that hear each other."""
    made = [
        ProcessCache(
            url,
            f"test-{next(_instances)}",
            max_entries=max_entries,
            max_bytes=2**25,
            loads_per_s=loads_per_s,
            warming=warming,
        )
        for _ in range(count)
    ]
    running = [asyncio.create_task(process.run()) for process in made]
    try:
        if url:
            await until(lambda: all(process.connected() for process in made))
        yield made
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for process in made:
            await process.close()


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for it."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def counted(metric: Metric, *labels: str) -> float:
    """Where a counter stands."""
    made = metric.labels(*labels) if labels else metric
    return float(made._value.get())


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats more often, so that a test need not wait."""
    monkeypatch.setattr(bus_module, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(bus_module, "RETRY_S", 0.05)
