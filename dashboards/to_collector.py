"""The OpenTelemetry collector's configuration: a sidecar that scrapes a process and ships to CloudWatch and Prometheus.

To CloudWatch goes only what its dashboards and alarms ask for, under the dimensions that they ask for it by: there,
each combination of dimensions is a metric that costs money.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from dashboards.expressions import PROCESS, SERVICE

_TARGETS = "${env:HEADRACE_METRICS_TARGETS}"
_PROCESS = "${env:HEADRACE_PROCESS}"

Kept = tuple[str, tuple[str, ...]]


def rendered(kept: Iterable[Kept]) -> dict[str, Any]:
    """The configuration, given the metrics to keep in CloudWatch with the dimensions of each."""
    return {
        "receivers": {
            # Twice: an alarm of CloudWatch looks at minutes, and a gauge that comes twice in one counts twice.
            "prometheus/cloudwatch": {"config": {"scrape_configs": [_scrape("60s")]}},
            "prometheus/managed": {"config": {"scrape_configs": [_scrape("15s")]}},
        },
        "processors": {
            "batch": {"timeout": "10s"},
            "memory_limiter": {"check_interval": "1s", "limit_mib": 100, "spike_limit_mib": 20},
        },
        "exporters": {
            "awsemf": {
                "namespace": "${env:HEADRACE_NAMESPACE}",
                "region": "${env:AWS_REGION}",
                "log_group_name": "/${env:HEADRACE_NAMESPACE}/metrics",
                "log_stream_name": _PROCESS,
                "dimension_rollup_option": "NoDimensionRollup",
                "metric_declarations": _declarations(kept),
            },
            "prometheusremotewrite": {
                "endpoint": "${env:HEADRACE_REMOTE_WRITE_URL}",
                "auth": {"authenticator": "sigv4auth"},
                "resource_to_telemetry_conversion": {"enabled": False},
            },
        },
        "extensions": {
            "sigv4auth": {"region": "${env:AWS_REGION}", "service": "aps"},
            "health_check": {"endpoint": "127.0.0.1:13133"},
        },
        "service": {
            "extensions": ["health_check", "sigv4auth"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "metrics/cloudwatch": {
                    "receivers": ["prometheus/cloudwatch"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["awsemf"],
                },
                "metrics/managed": {
                    "receivers": ["prometheus/managed"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["prometheusremotewrite"],
                },
            },
        },
    }


def _scrape(interval: str) -> dict[str, Any]:
    return {
        "job_name": "${env:HEADRACE_SERVICE}",
        "scrape_interval": interval,
        "scrape_timeout": "10s",
        "static_configs": [{"targets": _TARGETS, "labels": {SERVICE: "${env:HEADRACE_SERVICE}"}}],
        "relabel_configs": [
            # A host has several workers, which differ in their port.
            {
                "source_labels": ["__address__"],
                "regex": ".*:([0-9]+)",
                "target_label": PROCESS,
                "replacement": f"{_PROCESS}-$${{1}}",
            },
            {"source_labels": [PROCESS], "target_label": "instance"},
        ],
    }


def _declarations(kept: Iterable[Kept]) -> list[dict[str, Any]]:
    # Metrics with the same dimensions share a declaration.
    dimensions: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for name, wanted in kept:
        dimensions[name].add(wanted)
    names: defaultdict[tuple[tuple[str, ...], ...], list[str]] = defaultdict(list)
    for name, wanted_by in sorted(dimensions.items()):
        names[tuple(sorted(wanted_by))].append(f"^{name}$")
    return [
        {"dimensions": [list(one) for one in sets], "metric_name_selectors": selectors}
        for sets, selectors in sorted(names.items())
    ]
