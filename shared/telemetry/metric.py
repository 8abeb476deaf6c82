"""What a metric is: defined once, made into prometheus-client's object by the process that measures it.

Names follow Prometheus' rules: base units, `_total` for counters. A label has few values, and says which: what a user
typed is never one.
"""

from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Literal, TypeVar

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes", "bits per second", "packets per second", "share"]
Made = TypeVar("Made", Counter, Gauge, Histogram)

_SEEN = 8

# When each series began says nothing here and would double their number.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Label(msgspec.Struct, frozen=True):
    """One label. `values` are all that there can be; where only their number is known, `at_most` has it."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    at_most: int = 0

    @property
    def bound(self) -> int:
        """How many values there can be."""
        return len(self.values) or self.at_most


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: what it counts (`help`), and the `question` that somebody looks at it for."""

    name: str
    kind: Kind
    help: str
    question: str
    unit: Unit = ""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def label_names(self) -> list[str]:
        """The names of its labels."""
        return [label.name for label in self.labels]

    def values_of(self, names: Iterable[str]) -> int:
        """About how many combinations of values these labels come in: few of what is not listed is ever seen."""
        return prod(len(label.values) or min(label.at_most, _SEEN) for label in self.labels if label.name in set(names))

    @property
    def combinations(self) -> list[tuple[str, ...]]:
        """All values of its labels, where each of them lists its own."""
        return list(product(*(label.values for label in self.labels))) if self.labels else []

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus stores it."""
        return (
            tuple(f"{self.name}{suffix}" for suffix in ("_bucket", "_count", "_sum"))
            if self.kind == "histogram"
            else (self.name,)
        )


def counter(metric: Metric, registry: CollectorRegistry = REGISTRY) -> Counter:
    """The counter of that definition, 0 for every value that its labels can have."""
    _check(metric, "counter")
    return _begin(Counter(metric.name, metric.help, metric.label_names, registry=registry), metric)


def gauge(metric: Metric, registry: CollectorRegistry = REGISTRY) -> Gauge:
    """The gauge of that definition."""
    _check(metric, "gauge")
    return _begin(Gauge(metric.name, metric.help, metric.label_names, registry=registry), metric)


def histogram(metric: Metric, registry: CollectorRegistry = REGISTRY) -> Histogram:
    """The histogram of that definition."""
    _check(metric, "histogram")
    made = Histogram(metric.name, metric.help, metric.label_names, registry=registry, buckets=metric.buckets)
    return _begin(made, metric)


def _begin(made: Made, metric: Metric) -> Made:
    # A series that begins with its first event hides that event from rate().
    for values in metric.combinations:
        made.labels(*values)
    return made


def _check(metric: Metric, kind: Kind) -> None:
    if metric.kind != kind:
        message = f"{metric.name} is a {metric.kind}"
        raise TypeError(message)
