"""Figures of the function processes, scraped from their metrics while k6 runs, and k6's own, as evidence."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from shared.stack.stack import LocalStack
from shared.tasks import end
from shared.telemetry.catalogue import cache, signaling, state, web
from tests.bench.sla.evidence import (
    APPENDED,
    CACHE_READS,
    DELIVERIES,
    ERROR_FRAMES,
    HTTP_ERRORS,
    HTTP_REQUESTS,
    Crowd,
    Histogram,
    Moment,
    Quantiles,
)

INTERVAL_S: Final = 0.5
_BUCKET: Final = f"{state.TAIL_SECONDS.name}_bucket"

_IN_FAMILY: Final = {
    metric.name.removesuffix("_total"): names
    for metric, names in (
        (state.APPENDED, (APPENDED,)),
        (signaling.DELIVERIES, (DELIVERIES,)),
        (signaling.ERRORS_OUT, (ERROR_FRAMES,)),
        (web.HTTP_REQUESTS, (HTTP_REQUESTS, HTTP_ERRORS)),
        (cache.READS, tuple(CACHE_READS + level for level in cache.LEVELS)),
    )
}


class Scrape(msgspec.Struct):
    """What all function processes together say at one moment."""

    sockets: float = 0.0
    counters: dict[str, float] = msgspec.field(default_factory=dict)
    tail: dict[float, float] = msgspec.field(default_factory=dict)


async def scrape(stack: LocalStack, http: httpx.AsyncClient) -> Scrape:
    """Ask every function process; one that does not answer is left out."""
    found = Scrape()
    counters: defaultdict[str, float] = defaultdict(float)
    tail: defaultdict[float, float] = defaultdict(float)
    for endpoint in stack.functions:
        try:
            text = (await http.get(f"http://127.0.0.1:{endpoint.metrics_port}/metrics")).text
        except httpx.HTTPError:
            continue
        for family in text_string_to_metric_families(text):
            # A counter with labels has no sample before it has counted, and is not missing for that.
            for name in _IN_FAMILY.get(family.name, ()):
                counters[name] += 0.0
            for sample in family.samples:
                if sample.name == signaling.CONNECTIONS.name:
                    found.sockets += sample.value
                elif sample.name == _BUCKET:
                    tail[float(sample.labels["le"])] += sample.value
                elif name := _counted_as(sample.name, sample.labels):
                    counters[name] += sample.value
    found.counters, found.tail = dict(counters), dict(tail)
    return found


def _counted_as(name: str, labels: Mapping[str, str]) -> str:
    """The counter of `evidence` that a sample adds to; '' for none."""
    if name == state.APPENDED.name:
        return APPENDED if labels["outcome"] == "appended" else ""
    if name == signaling.DELIVERIES.name:
        return DELIVERIES
    if name == signaling.ERRORS_OUT.name:
        return ERROR_FRAMES
    if name == web.HTTP_REQUESTS.name:
        return HTTP_ERRORS if int(labels["status"]) >= 400 else HTTP_REQUESTS
    if name == cache.READS.name:
        return CACHE_READS + labels["level"]
    return ""


class Watch:
    """Looks at a stack's function processes twice a second from `start` to `stop`."""

    def __init__(self, stack: LocalStack) -> None:
        self.moments: list[Moment] = []
        self.began = 0.0  # loop time
        self._stack = stack
        self._http = httpx.AsyncClient(timeout=2.0)
        self._before = Scrape()
        self._after = Scrape()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the counters' first reading."""
        self._before = await scrape(self._stack, self._http)
        self.began = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Take the last reading."""
        if self._task is not None:
            await end(self._task)
        self._after = await scrape(self._stack, self._http)
        await self._http.aclose()

    @property
    def counters(self) -> dict[str, float]:
        """Differences from the first reading to the last. A counter that no process has had is not there."""
        names = self._after.counters.keys() | self._before.counters.keys()
        return {name: self._after.counters.get(name, 0.0) - self._before.counters.get(name, 0.0) for name in names}

    @property
    def tail(self) -> Histogram | None:
        """How old events were when they had been handed to the sockets; None without a bucket."""
        edges = sorted(self._after.tail)
        counts = [self._after.tail[edge] - self._before.tail.get(edge, 0.0) for edge in edges]
        return Histogram(edges[:-1], counts) if edges else None

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            seen = await scrape(self._stack, self._http)
            at_s = loop.time() - self.began
            self.moments.append(Moment(round(at_s, 2), seen.sockets, seen.counters.get(DELIVERIES, 0.0)))
            await asyncio.sleep(INTERVAL_S)


def crowd(summary: Mapping[str, Any], watch: Watch) -> Crowd:
    """A run of k6 (`tests.bench.load.run`) as evidence. What is not in its summary stays None."""
    killed_at = summary.get("killed_at")
    killed_at_s = None if killed_at is None else killed_at - watch.began
    counts: Mapping[str, Any] = summary.get("counts", {})
    latency: Mapping[str, Any] = summary.get("latency", {})
    return Crowd(
        shape=summary["shape"],
        users=summary["users"],
        seconds=summary["seconds"],
        sent=_sum(counts, "sent", "gifts"),
        delivered=counts.get("delivered"),
        operations=summary.get("operations"),
        error_rate=summary.get("error_rate"),
        lost=counts.get("lost"),
        duplicated=counts.get("duplicated"),
        misordered=counts.get("misordered"),
        cut_off=counts.get("visits_cut_off"),
        message=quantiles(latency.get("message_ms")),
        afterwards=quantiles(latency.get("message_afterwards_ms")),
        delivery=quantiles(latency.get("delivery_ms")),
        late_p99_ms=(latency.get("generator_lateness_ms") or {}).get("p99"),
        stages=list(summary.get("stages", [])),
        breaking_point_users=summary.get("breaking_point_users"),
        cores=summary.get("cores"),
        moments=watch.moments,
        # A process that was killed took its counters with it.
        counters=watch.counters if killed_at_s is None else None,
        tail=watch.tail if killed_at_s is None else None,
        killed_at_s=killed_at_s,
    )


def quantiles(found: Mapping[str, Any] | None) -> Quantiles | None:
    """Of k6's summary; None where nothing was measured."""
    if not found or not found.get("count"):
        return None
    return msgspec.convert({name: found.get(name) for name in Quantiles.__struct_fields__}, Quantiles)


def _sum(counts: Mapping[str, Any], *names: str) -> int | None:
    return sum(counts[name] for name in names) if all(name in counts for name in names) else None
