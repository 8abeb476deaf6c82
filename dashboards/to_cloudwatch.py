"""The same dashboards for CloudWatch. Terraform's monitoring module fills in `${prefix}` and its like."""

import re
from typing import Any

from dashboards.alerting import alarms
from dashboards.expressions import PERIOD_S, Firing, cloudwatch
from dashboards.panels import Dashboard, Panel, Query

_WIDTH, _HEIGHT, _COLUMNS = 8, 6, 3
_TEXT_HEIGHT = 2
_LEGEND_LABEL = re.compile(r"\{\{[a-z]+\}\}")


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The body of the dashboard: a drawing and, below it, what to do when it looks wrong."""
    widgets = [widget for number, panel in enumerate(dashboard.panels) for widget in _widgets(number, panel)]
    return {"start": "-PT3H", "widgets": widgets}


def _widgets(number: int, panel: Panel) -> tuple[dict[str, Any], dict[str, Any]]:
    x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * (_HEIGHT + _TEXT_HEIGHT)
    of_alarms = isinstance(panel.queries[0].expression, Firing)
    drawing = {
        "type": "alarm" if of_alarms else "metric",
        "x": x,
        "y": y,
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": _alarms(panel) if of_alarms else _metrics(panel),
    }
    text = {
        "type": "text",
        "x": x,
        "y": y + _HEIGHT,
        "width": _WIDTH,
        "height": _TEXT_HEIGHT,
        "properties": {"markdown": panel.wrong, "background": "transparent"},
    }
    return drawing, text


def _alarms(panel: Panel) -> dict[str, Any]:
    # Those that tell somebody, and not the parts that composite alarms look at.
    names = [name for name, alarm in alarms().items() if alarm["severity"]]
    start = "arn:${partition}:cloudwatch:${region}:${account}:alarm:${prefix}-"
    return {"title": panel.title, "alarms": [f"{start}{name}" for name in names]}


def _metrics(panel: Panel) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "title": panel.title,
        "region": "${region}",
        "view": "timeSeries",
        "period": PERIOD_S,
        "yAxis": {"left": {"min": 0, "label": panel.unit or "number", "showUnits": False}},
        "metrics": [[_metric(place, query)] for place, query in enumerate(panel.queries)],
    }
    if panel.limit is not None:
        properties["annotations"] = {"horizontal": [{"label": "limit", "value": panel.limit}]}
    return properties


def _metric(place: int, query: Query) -> dict[str, Any]:
    metric: dict[str, Any] = {"id": f"e{place + 1}", "expression": cloudwatch(query.expression)}
    # A search that finds several lines names each by what they differ in.
    if query.legend and not _LEGEND_LABEL.search(query.legend):
        metric["label"] = query.legend
    return metric
