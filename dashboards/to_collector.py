"""The OpenTelemetry collector's configurations: a sidecar scrapes processes and ships to CloudWatch and Prometheus.

To CloudWatch goes only what its dashboards and alarms ask for, under the dimensions that they ask for it by: there,
each combination of dimensions is a metric that costs money. Counters and histograms go as what came since the last
scrape: the exporter would send a histogram's count and sum since the process' start each minute.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

from dashboards.expressions import PROCESS, SERVICE

_SERVICE_SOURCES = {"functions": "${env:ECS_CONTAINER_METADATA_URI_V4}", "sfu": "${env:HEADRACE_PROCESS}"}
"""Where each service's collector learns of which task or host it is: ECS tells every container a URL of its own."""
_TARGETS = "${env:HEADRACE_METRICS_TARGETS}"
_UNNAMED = "__process"

Service = Literal["functions", "sfu"]
Kept = tuple[str, tuple[str, ...]]


def rendered(service: Service, kept: Iterable[Kept]) -> dict[str, Any]:
    """A service's configuration, given the metrics to keep in CloudWatch with the dimensions of each."""
    return {
        # An alarm looks at minutes: a gauge that came twice in one would count twice.
        "receivers": {"prometheus/cloudwatch": {"config": {"scrape_configs": [_scrape(service, "60s")]}}},
        "processors": {
            "batch": {"timeout": "10s"},
            "memory_limiter": {"check_interval": "1s", "limit_mib": 128, "spike_limit_mib": 24},
            "cumulativetodelta": {},
        },
        "exporters": {
            "awsemf": {
                "namespace": "${env:HEADRACE_NAMESPACE}",
                "region": "${env:AWS_REGION}",
                "log_group_name": "/${env:HEADRACE_NAMESPACE}/metrics",
                "log_stream_name": service,
                "dimension_rollup_option": "NoDimensionRollup",
                "metric_declarations": _declarations(kept),
            },
        },
        "extensions": {"health_check": {"endpoint": "127.0.0.1:13133"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "metrics/cloudwatch": {
                    "receivers": ["prometheus/cloudwatch"],
                    "processors": ["memory_limiter", "cumulativetodelta", "batch"],
                    "exporters": ["awsemf"],
                },
            },
        },
    }


def with_prometheus(service: Service) -> dict[str, Any]:
    """A second configuration, which the collector merges into the first: all metrics to Amazon Managed Prometheus."""
    return {
        "receivers": {"prometheus/managed": {"config": {"scrape_configs": [_scrape(service, "15s")]}}},
        "exporters": {
            "prometheusremotewrite": {
                "endpoint": "${env:HEADRACE_REMOTE_WRITE_URL}",
                "auth": {"authenticator": "sigv4auth"},
                "target_info": {"enabled": False},
            },
        },
        "extensions": {"sigv4auth": {"region": "${env:AWS_REGION}", "service": "aps"}},
        "service": {
            "extensions": ["health_check", "sigv4auth"],
            "pipelines": {
                "metrics/managed": {
                    "receivers": ["prometheus/managed"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["prometheusremotewrite"],
                },
            },
        },
    }


def _scrape(service: Service, interval: str) -> dict[str, Any]:
    return {
        "job_name": service,
        "scrape_interval": interval,
        "scrape_timeout": "10s",
        "static_configs": [{"targets": _TARGETS, "labels": {SERVICE: service, _UNNAMED: _SERVICE_SOURCES[service]}}],
        "relabel_configs": [
            # The end of a URL or the whole name, and the port: a host has several workers.
            {
                "source_labels": [_UNNAMED, "__address__"],
                "regex": "(?:.*/)?([^/;]+);.*:([0-9]+)",
                "target_label": PROCESS,
                "replacement": "$${1}-$${2}",
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
