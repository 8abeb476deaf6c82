"""All files that are made from the description, by path."""

import json
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from dashboards import boards, to_cloudwatch, to_collector, to_grafana
from dashboards.alerting import ALERTS, alarms, recordings, rules
from dashboards.expressions import NAMESPACE, PROCESS, SERVICE, dimensions
from shared.telemetry.catalogue import EVERY, FUNCTIONS, INTERPRETER, SFU

FOLDER = Path(__file__).resolve().parent
_NOTE = "# Written by `python -m dashboards`; the description is beside it.\n"


def files() -> dict[Path, str]:
    """Path -> content."""
    made = {
        FOLDER / "alerts" / "rules.yml": _yaml(
            {
                "groups": [
                    {"name": "headrace-recordings", "rules": recordings()},
                    {"name": "headrace-alerts", "rules": rules()},
                ]
            }
        ),
        FOLDER / "cloudwatch" / "alarms.json": _json(alarms()),
    }
    services: dict[to_collector.Service, set[str]] = {
        "functions": {metric.name for metric in (*FUNCTIONS, *INTERPRETER)},
        "sfu": {metric.name for metric in (*SFU, *INTERPRETER)},
    }
    made[FOLDER / "collector" / "size.json"] = _json({service: _size(names) for service, names in services.items()})
    for service, names in services.items():
        kept = {one for one in _kept() if one[0] in names}
        made[FOLDER / "collector" / f"{service}.yaml"] = _yaml(to_collector.rendered(service, kept))
        made[FOLDER / "collector" / f"{service}-prometheus.yaml"] = _yaml(to_collector.with_prometheus(service))
    for dashboard in boards.ALL:
        made[FOLDER / "grafana" / f"{dashboard.name}.json"] = _json(to_grafana.rendered(dashboard))
        made[FOLDER / "cloudwatch" / f"{dashboard.name}.json"] = _json(to_cloudwatch.rendered(dashboard))
    return made


def _size(names: set[str]) -> dict[str, int]:
    """About so many of CloudWatch's metrics, of all processes and of each; and of Prometheus' series of each."""
    kept = [(EVERY[name], labels) for name, labels in _kept() if name in names]
    return {
        "metrics": sum(metric.values_of(labels[1:]) for metric, labels in kept if PROCESS not in labels),
        "metrics_per_process": sum(1 for _, labels in kept if PROCESS in labels),
        "series_per_process": sum(
            (len(metric.buckets) + 3 if metric.kind == "histogram" else 1) * metric.values_of(metric.label_names)
            for metric in map(EVERY.__getitem__, names)
        ),
    }


def _kept() -> set[to_collector.Kept]:
    """The metrics that CloudWatch's dashboards and alarms ask for."""
    drawn = {
        kept
        for dashboard in boards.ALL
        for panel in dashboard.panels
        for query in panel.queries
        for kept in dimensions(query.expression)
    }
    watched = {
        (one.metric, (SERVICE, *(name for name in one.dimensions if name != SERVICE)))
        for alert in ALERTS
        for alarm in (*alert.alarms.values(), *alert.parts.values())
        for one in alarm.watched.values()
        if one.namespace == NAMESPACE
    }
    return drawn | watched


def _json(model: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(model, indent=2, ensure_ascii=False) + "\n"


def _yaml(model: Any) -> str:  # noqa: ANN401 - any YAML
    text: str = yaml.safe_dump(model, sort_keys=False, width=120, allow_unicode=True)
    return _NOTE + text
