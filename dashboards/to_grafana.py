"""Dashboards for Grafana 9 and later, as JSON to import or to provision. The data source is asked for at the top."""

from typing import Any

from dashboards.expressions import promql
from dashboards.panels import Dashboard, Panel, PanelUnit

_UNITS: dict[PanelUnit, str] = {
    "": "short",
    "per second": "cps",
    "seconds": "s",
    "bytes": "bytes",
    "bytes per second": "Bps",
    "bits per second": "bps",
    "share": "percentunit",
}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard's model."""
    return {
        "uid": f"headrace-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["headrace"],
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 37,
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "links": [
            {"type": "dashboards", "title": "Headrace", "tags": ["headrace"], "asDropdown": True, "keepTime": True}
        ],
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.wrong,
        "datasource": _SOURCE,
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH,
            "y": number // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": _UNITS[panel.unit],
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "line" if panel.limit is not None else "off"}},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": promql(query.expression),
                "legendFormat": query.legend or "__auto",
            }
            for place, query in enumerate(panel.queries)
        ],
    }
