"""What a host's agent measures: its workers, and of the machine what the kernel counts (proc(5)), read when asked."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from shared.telemetry.catalogue import host, process
from shared.telemetry.metric import Metric, counter, gauge

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/net/dev after the interface's name.
_COLUMNS = {"in": (0, 1), "out": (8, 9)}
_UDP = {"receive_buffer": "RcvbufErrors", "send_buffer": "SndbufErrors"}


class HostMetrics(Collector):
    """In a registry of their own; `proc` is where the kernel tells."""

    def __init__(self, cores: int, proc: Path = Path("/proc")) -> None:
        self.registry = CollectorRegistry()
        self._proc = proc
        made = self.registry
        self.workers = gauge(host.WORKERS, made)
        self.restarts = counter(host.RESTARTS, made)
        gauge(host.CORES, made).set(cores)
        self.draining = gauge(process.DRAINING, made)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=made)  # type: ignore[no-untyped-call, unused-ignore]
        made.register(self)

    def collect(self) -> Iterable[Family]:
        """What the kernel has counted; what it does not tell here is left out."""
        busy = self._busy_seconds()
        if busy is not None:
            yield _counter(host.BUSY, {(): busy})
        available = self._available_bytes()
        if available is not None:
            yield GaugeMetricFamily(host.MEMORY.name, host.MEMORY.help, value=available)
        interfaces = list(self._interfaces())
        for metric, column in ((host.BYTES, 0), (host.PACKETS, 1)):
            sums: dict[tuple[str, ...], float] = {
                (direction,): float(sum(fields[columns[column]] for fields in interfaces))
                for direction, columns in _COLUMNS.items()
            }
            yield _counter(metric, sums)
        udp = self._udp()
        yield _counter(host.UDP_ERRORS, {(reason,): float(udp.get(name, 0)) for reason, name in _UDP.items()})

    def _busy_seconds(self) -> float | None:
        for line in self._lines("stat"):
            if line.startswith("cpu "):
                fields = [int(field) for field in line.split()[1:]]
                # Idle and waiting for input and output are no work; guests' time is in the user's already.
                return (sum(fields[:8]) - fields[3] - fields[4]) / _TICKS
        return None

    def _available_bytes(self) -> float | None:
        for line in self._lines("meminfo"):
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        return None

    def _interfaces(self) -> Iterator[list[int]]:
        for line in self._lines("net/dev"):
            name, separator, fields = line.partition(":")
            if separator and name.strip() != "lo":
                yield [int(field) for field in fields.split()]

    def _udp(self) -> dict[str, int]:
        rows = [line.split()[1:] for line in self._lines("net/snmp") if line.startswith("Udp:")]
        if len(rows) != 2:
            return {}
        names, values = rows
        return dict(zip(names, map(int, values), strict=True))

    def _lines(self, name: str) -> list[str]:
        try:
            return (self._proc / name).read_text(encoding="ascii").splitlines()
        except OSError:
            return []


def _counter(metric: Metric, values: dict[tuple[str, ...], float]) -> CounterMetricFamily:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.label_names)
    for labels, value in values.items():
        family.add_metric(list(labels), value)
    return family
