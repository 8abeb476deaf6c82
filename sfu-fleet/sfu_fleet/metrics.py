"""What a worker counts. Hot paths count in plain integers that are read when Prometheus asks; the rest are counters.

Every label has a fixed set of values.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Fine enough to tell percentiles apart, from what is nothing to what ends sessions.
_LAG_BUCKETS_S = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0),
)
SESSION_KINDS = ("publish", "subscribe")


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


_TRAFFIC_HELP = {
    "bytes_in": "Bytes of RTP received from publishers, decrypted",
    "bytes_out": "Bytes of SRTP sent to viewers",
    "feedbacks_in": "Packets of transport-wide feedback received from viewers",
    "keyframe_requests_in": "PLI and FIR received from viewers",
    "keyframe_requests_out": "PLI and FIR sent to publishers",
    "nacks_in": "Sequence numbers that viewers reported missing",
    "nacks_out": "Sequence numbers that we reported missing to publishers",
    "packets_in": "RTP packets received from publishers",
    "packets_out": "RTP packets sent to viewers, without those sent again for any reason",
    "packets_probed": "RTP packets sent to a viewer again to see whether the way carries more",
    "packets_resent": "RTP packets sent to a viewer again",
    "rtcp_skipped": "RTCP packets of a kind that we do not read, or malformed",
    "send_failures": "Datagrams that the kernel did not take",
    "stun_checks": "Authenticated connectivity checks answered",
}


class Metrics(Collector):
    """All metrics of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.traffic = Traffic()
        self.sessions: Callable[[], dict[str, int]] = dict
        self.registration_age: Callable[[], float] = float
        self._drops: dict[str, int] = {}
        self.loop_errors = self._counter("sfu_loop_errors", "Exceptions that reached the event loop's handler")
        self.registration_failures = self._counter("sfu_registration_failures", "Lease renewals that failed")
        self.event_failures = self._counter("sfu_stream_event_failures", "Failed attempts to append a stream event")
        self.qualities_lost = self._counter("sfu_quality_notices_lost", "Notices to viewers that could not be sent")
        self.events_lost = self._counter("sfu_stream_events_lost", "Stream events given up")
        self.candidates = self._counter("sfu_trickled_candidates", "Candidates received by trickle and not needed")
        self.restarts = self._counter("sfu_ice_restarts", "ICE sessions begun anew within a session")
        self.handshake_failures = Counter(
            "sfu_handshake_failures", "DTLS handshakes that failed", ["kind"], registry=self.registry
        )
        self.sessions_ended = Counter(
            "sfu_sessions_ended", "Sessions ended, by reason", ["kind", "reason"], registry=self.registry
        )
        self.layer_decisions = Counter(
            "sfu_layer_decisions", "Changes of a viewer's layer, by reason", ["reason"], registry=self.registry
        )
        self.refused = Counter("sfu_refused", "Sessions refused, by problem code", ["code"], registry=self.registry)
        self.loop_lag = Histogram(
            "sfu_event_loop_lag_seconds",
            "How late the event loop runs a timer",
            buckets=_LAG_BUCKETS_S,
            registry=self.registry,
        )
        self._uploads = Counter(
            "sfu_recording_uploads", "Attempts to upload a recording, by outcome", ["outcome"], registry=self.registry
        )
        self.load = Gauge("sfu_load_packets_per_second", "Packets sent per second", registry=self.registry)
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
        for name, text in _TRAFFIC_HELP.items():
            yield CounterMetricFamily(f"sfu_{name}", text, value=getattr(self.traffic, name))
        drops = CounterMetricFamily("sfu_drops", "Datagrams and packets that went no further", labels=["reason"])
        for reason, count in self._drops.items():
            drops.add_metric([reason], count)
        yield drops
        sessions = GaugeMetricFamily("sfu_sessions", "Sessions that exist", labels=["kind"])
        for kind, count in self.sessions().items():
            sessions.add_metric([kind], count)
        yield sessions
        yield GaugeMetricFamily(
            "sfu_registration_age_seconds", "Time since the lease was last renewed", value=self.registration_age()
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)
