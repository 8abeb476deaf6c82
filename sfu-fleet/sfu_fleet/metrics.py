"""What a worker counts, as `shared.telemetry.catalogue.media` defines it.

Hot paths count in plain integers that are read when Prometheus asks; the rest are counters. Every label has a fixed set
of values.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shared.telemetry import own_use
from shared.telemetry.catalogue import media, process
from shared.telemetry.metric import counter, gauge, histogram


class Traffic:
    """Counters of the packet path: plain integers, since an increment happens for every packet of every viewer."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "feedbacks_in",
        "keyframe_requests_in",
        "keyframe_requests_out",
        "nacks_in",
        "nacks_out",
        "packets_in",
        "packets_out",
        "packets_probed",
        "packets_resent",
        "rtcp_skipped",
        "send_failures",
        "stun_checks",
    )

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.feedbacks_in = 0
        self.keyframe_requests_in = 0
        self.keyframe_requests_out = 0
        self.nacks_in = 0
        self.nacks_out = 0
        self.packets_in = 0
        self.packets_out = 0
        self.packets_probed = 0
        self.packets_resent = 0
        self.rtcp_skipped = 0
        self.send_failures = 0
        self.stun_checks = 0

    @property
    def all_packets_out(self) -> int:
        """RTP packets sent to viewers for any reason."""
        return self.packets_out + self.packets_resent + self.packets_probed


class Metrics(Collector):
    """All metrics of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.traffic = Traffic()
        self.sessions: Callable[[], dict[str, int]] = dict
        self.registration_age: Callable[[], float] = float
        self._drops: dict[str, int] = {}
        made = self.registry
        self.loop_errors = counter(media.LOOP_ERRORS, made)
        self.task_failures = counter(process.TASK_FAILURES, made)
        self.registration_failures = counter(media.REGISTRATION_FAILURES, made)
        self.event_failures = counter(media.EVENT_FAILURES, made)
        self.qualities_lost = counter(media.QUALITY_NOTICES_LOST, made)
        self.events_lost = counter(media.EVENTS_LOST, made)
        self.candidates = counter(media.CANDIDATES, made)
        self.restarts = counter(media.RESTARTS, made)
        self.handshake_failures = counter(media.HANDSHAKE_FAILURES, made)
        self.sessions_ended = counter(media.SESSIONS_ENDED, made)
        self.links = counter(media.LINKS, made)
        self.orphans = counter(media.ORPHANS, made)
        self.moves = counter(media.MOVES, made)
        self.layer_decisions = counter(media.LAYER_DECISIONS, made)
        self.refused = counter(media.REFUSED, made)
        self.loop_lag = histogram(media.LOOP_LAG, made)
        self._uploads = counter(media.RECORDING_UPLOADS, made)
        self.load = gauge(media.LOAD, made)
        self.capacity = gauge(media.CAPACITY, made)
        self.live_rooms = gauge(media.LIVE_ROOMS, made)
        self.viewers = gauge(media.VIEWERS, made)
        self.layers = gauge(media.LAYERS_SENT, made)
        self.watch_seconds = counter(media.WATCH_SECONDS, made)
        self.recordings = gauge(media.RECORDINGS, made)
        self.uplink_lost = counter(media.UPLINK_LOST, made)
        self.downlink_lost = counter(media.DOWNLINK_LOST, made)
        self.round_trip = histogram(media.ROUND_TRIP, made)
        self.estimate = histogram(media.ESTIMATE, made)
        self.draining = gauge(process.DRAINING, made)
        own_use.measure(made)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=made)
        self.registry.register(self)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count datagrams or packets that went no further. `reason` is one of a fixed set of words in the code."""
        self._drops[reason] = self._drops.get(reason, 0) + count

    def upload(self, outcome: str) -> None:
        """Count an attempt to upload a recording: done, failed or abandoned."""
        self._uploads.labels(outcome).inc()

    @property
    def drops(self) -> dict[str, int]:
        """Drops by reason."""
        return dict(self._drops)

    def collect(self) -> Iterable[Metric]:
        """Read the plain integers for Prometheus."""
        for name, metric in media.TRAFFIC.items():
            yield CounterMetricFamily(metric.name, metric.help, value=getattr(self.traffic, name))
        drops = CounterMetricFamily(media.DROPS.name, media.DROPS.help, labels=media.DROPS.label_names)
        for reason, count in (dict.fromkeys(media.DROP_REASONS, 0) | self._drops).items():
            drops.add_metric([reason], count)
        yield drops
        sessions = GaugeMetricFamily(media.SESSIONS.name, media.SESSIONS.help, labels=media.SESSIONS.label_names)
        for kind, count in self.sessions().items():
            sessions.add_metric([kind], count)
        yield sessions
        yield GaugeMetricFamily(media.REGISTRATION_AGE.name, media.REGISTRATION_AGE.help, value=self.registration_age())
