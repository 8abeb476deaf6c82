"""All files that are made from the description, by path."""

import json
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from dashboards import boards, to_cloudwatch, to_collector, to_grafana
from dashboards.alerting import ALERTS, alarms, recordings, rules
from dashboards.expressions import SERVICE, dimensions

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
        FOLDER / "collector.yaml": _yaml(to_collector.rendered(_kept())),
    }
    for dashboard in boards.ALL:
        made[FOLDER / "grafana" / f"{dashboard.name}.json"] = _json(to_grafana.rendered(dashboard))
        made[FOLDER / "cloudwatch" / f"{dashboard.name}.json"] = _json(to_cloudwatch.rendered(dashboard))
    return made


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
        for alarm in alert.alarms.values()
        for one in alarm.watched.values()
    }
    return drawn | watched


def _json(model: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(model, indent=2, ensure_ascii=False) + "\n"


def _yaml(model: Any) -> str:  # noqa: ANN401 - any YAML
    text: str = yaml.safe_dump(model, sort_keys=False, width=120, allow_unicode=True)
    return _NOTE + text
