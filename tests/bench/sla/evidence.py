"""What a report is made from. A field that was not measured is None, and whoever needs it gets `MissingError`."""

from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

APPENDED: Final = "appended"
DELIVERIES: Final = "deliveries"
ERROR_FRAMES: Final = "error_frames"
HTTP_REQUESTS: Final = "http_requests"
HTTP_ERRORS: Final = "http_errors"
CACHE_READS: Final = "cache_reads_"  # and the level


class MissingError(Exception):
    """What an objective needs was not measured: it counts as a miss."""


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of a latency in ms, from the intended send time; `count` measurements."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    count: int = 0


class Moment(msgspec.Struct, frozen=True):
    """What the servers said at a time: `at_s` since the start of the load, open sockets, deliveries so far."""

    at_s: float
    sockets: float
    deliveries: float


class Histogram(msgspec.Struct, frozen=True):
    """A server's histogram over a run: counts up to each of `edges_s`, cumulative, and one more of all there were."""

    edges_s: list[float]
    counts: list[float]

    def between_s(self, share: float) -> tuple[float, float]:
        """The edges between which the quantile lies.

        Raises:
            MissingError: it is empty.
        """
        if not self.counts or self.counts[-1] <= 0:
            raise MissingError("the server's histogram has no measurements")
        wanted, below = share * self.counts[-1], 0.0
        for edge, count in zip((*self.edges_s, float("inf")), self.counts, strict=True):
            if count >= wanted:
                return below, edge
            below = edge
        return below, float("inf")


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """A run of users in k6, and what the function processes said of it.

    `counters` are differences over the run (names above). They are None where a process was killed in it, whose
    counters went with it.
    """

    shape: str
    users: int
    seconds: float
    sent: int | None = None
    delivered: int | None = None
    operations: int | None = None
    error_rate: float | None = None
    lost: int | None = None
    duplicated: int | None = None
    misordered: int | None = None
    cut_off: int | None = None
    message: Quantiles | None = None
    afterwards: Quantiles | None = None
    delivery: Quantiles | None = None
    late_p99_ms: float | None = None
    stages: list[dict[str, Any]] = []
    breaking_point_users: int | None = None
    cores: dict[str, dict[str, float]] | None = None
    moments: list[Moment] = []
    counters: dict[str, float] | None = None
    tail: Histogram | None = None
    killed_at_s: float | None = None


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the project's own generator against one function process with a core to itself."""

    sockets: int
    opened: int | None = None
    published_per_s: float
    deliveries_per_s: float | None = None
    latency: Quantiles | None = None
    missing: int | None = None
    duplicated: int | None = None
    misordered: int | None = None
    server_cores: float | None = None
    generator_saturated: bool | None = None


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the media swarm (docs/media-load.md); ratios are shares of 1."""

    viewers: int
    viewers_connected: int | None = None
    seconds: float | None = None
    offered_kbps: float | None = None
    received_kbps_mean: float | None = None
    loss_ratio: float | None = None
    frames_missing_ratio: float | None = None
    freezes: int | None = None
    join_ms_p95: float | None = None
    jitter_ms_p95: float | None = None
    worker_cores_mean: float | None = None
    swarm_cores_mean: float | None = None
    saturated: str | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `commands` are what each part was run with, `failures` what could not be run and why."""

    profile: str
    at: str
    commit: str
    machine: str
    versions: dict[str, str]
    crowds: dict[str, Crowd] = {}
    bursts: list[Burst] = []
    media: Media | None = None
    commands: list[str] = []
    failures: list[str] = []


def need(value: T | None, what: str) -> T:
    """The value.

    Raises:
        MissingError: it was not measured.
    """
    if value is None:
        raise MissingError(what)
    return value
