"""What is in `dashboards/` is what the description says, and speaks of metrics that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from dashboards import boards, generate
from dashboards.alerting import ALERTS, COUNTED, WINDOWS, Alert, counted, recorded
from dashboards.expressions import NAMESPACE, cloudwatch, dimensions, metrics_of, promql
from dashboards.panels import Panel
from shared.stack import paths
from shared.telemetry.catalogue import EVERY, host
from tests.support import metrics_reference
from tests.support.promql import metric_names

FILES = generate.files()
PANELS = [(dashboard.name, panel) for dashboard in boards.ALL for panel in dashboard.panels]
SERIES = {series for metric in EVERY.values() for series in metric.series}
OF_PROMETHEUS = {"up", "ALERTS", *map(recorded, WINDOWS), *map(counted, COUNTED)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(generate.FOLDER)))
def test_a_file_is_as_the_description_has_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "run `task generate`"


def test_there_is_no_file_that_nobody_writes() -> None:
    found = {path for kind in ("json", "yml", "yaml") for path in generate.FOLDER.glob(f"**/*.{kind}")}
    assert found - set(FILES) == {generate.FOLDER / "alerts" / "tests.yml"}


def test_the_page_of_metrics_is_that_of_the_catalogue() -> None:
    assert metrics_reference.PAGE.read_text(encoding="utf-8") == metrics_reference.rendered(), "run `task generate`"


def test_there_are_more_than_fifty_metrics_and_all_labels_are_bounded() -> None:
    assert len(EVERY) > 50
    for metric in EVERY.values():
        assert metric.help
        assert metric.question.endswith((".", "?"))
        assert all(0 < label.bound <= 80 for label in metric.labels), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
        assert not metric.labels or not {"room", "participant", "address", "path"} & set(metric.label_names)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[f"{name}: {panel.title}" for name, panel in PANELS])
def test_a_panel_asks_for_metrics_that_exist_and_says_what_to_do(board: str, panel: Panel) -> None:
    assert len(panel.wrong) > 20, board
    for query in panel.queries:
        assert metric_names(promql(query.expression)) <= SERIES | {"ALERTS"}
        for metric in metrics_of(query.expression):
            assert EVERY[metric.name] is metric
            labels = set(metric.label_names) | {"job", "le"}
            assert set(re.findall(r"by \(([^)]*)\)", promql(query.expression))) <= {
                *labels,
                *(f"le, {label}" for label in labels),
            }


def test_units_are_those_of_the_metrics() -> None:
    for board, panel in PANELS:
        for query in panel.queries:
            kind = type(query.expression).__name__
            units = {metric.unit for metric in metrics_of(query.expression)}
            if kind in {"Level", "Quantile", "Mean"}:
                (unit,) = units
                assert panel.unit == unit, f"{board}: {panel.title}"
            elif kind == "Rate":
                (unit,) = units
                per_second = {"": "per second", "bytes": "bytes per second", "seconds": ""}
                assert panel.unit == per_second[unit], f"{board}: {panel.title}"
            elif kind == "Ratio":
                assert panel.unit == "share", f"{board}: {panel.title}"


def test_every_metric_of_ours_is_in_a_dashboard_or_a_rule_or_is_known_to_be_in_none() -> None:
    drawn = {metric.name for _, panel in PANELS for query in panel.queries for metric in metrics_of(query.expression)}
    looked_up_by_hand = {
        "headrace_memory_limit_bytes",
        "headrace_event_loop_tasks",  # what a soak looks at
        "headrace_task_failures_total",
        "headrace_passwords_waiting",
        "headrace_signing_keys",
        "headrace_revocations",
        "sfu_trickled_candidates_total",
        "sfu_ice_restarts_total",
        "sfu_stream_event_failures_total",
        "sfu_stream_events_lost_total",
        "sfu_quality_notices_lost_total",
        "sfu_handshake_failures_total",
        "sfu_registration_failures_total",
        "sfu_loop_errors_total",
        "sfu_rtcp_skipped_total",
        "sfu_stun_checks_total",
    }
    # At a host, by its agent: what a panel shows of the fleet comes from its workers.
    looked_up_by_hand |= {metric.name for metric in host.ALL}
    ours = {name for name in EVERY if not name.startswith(("process_", "python_"))}
    assert ours - drawn <= looked_up_by_hand


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_asks_for_metrics_that_exist_and_has_a_runbook(alert: Alert) -> None:
    assert metric_names(alert.expr) <= SERIES | OF_PROMETHEUS
    page = (paths.ROOT / "docs" / "runbooks" / f"{alert.name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {alert.title}\n")
    assert "**Look at**" in page
    assert "**Do**" in page
    assert alert.alarms


def test_there_is_no_runbook_without_an_alert() -> None:
    pages = {page.stem for page in (paths.ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {alert.name for alert in ALERTS}


def test_what_cloudwatch_is_asked_for_is_what_the_collectors_keep() -> None:
    kept = {
        (selector.strip("^$"), tuple(one))
        for service in ("functions", "sfu")
        for declaration in _collector(service)["exporters"]["awsemf"]["metric_declarations"]
        for selector in declaration["metric_name_selectors"]
        for one in declaration["dimensions"]
    }
    for _, panel in PANELS:
        for query in panel.queries:
            for name, wanted in dimensions(query.expression):
                assert (name, wanted) in kept
                assert f'"${{prefix}}",{",".join(wanted)}}}' in cloudwatch(query.expression)
    for name, alarm in ALARMS.items():
        for asked in _metrics_of(alarm):
            if asked["namespace"] == NAMESPACE:
                wanted = tuple(sorted(asked["dimensions"], key=lambda label: label != "service"))
                assert (asked["metric"], wanted) in kept, name


def test_what_the_collector_ships_to_cloudwatch_are_differences() -> None:
    # The exporter makes them of counters itself, and of histograms not.
    for service in ("functions", "sfu"):
        pipeline = _collector(service)["service"]["pipelines"]["metrics/cloudwatch"]
        assert pipeline["processors"].index("cumulativetodelta") < pipeline["processors"].index("batch")


@pytest.mark.parametrize("service", ["functions", "sfu"])
def test_every_part_of_a_collectors_pipelines_is_configured(service: str) -> None:
    first, second = _collector(service), _collector(f"{service}-prometheus")
    whole = {name: first.get(name, {}) | second.get(name, {}) for name in first}
    pipelines = first["service"]["pipelines"] | second["service"]["pipelines"]
    for pipeline in pipelines.values():
        for kind, names in pipeline.items():
            assert set(names) <= set(whole[kind]), kind
    # A list in the second file takes the place of that in the first.
    assert set(second["service"]["extensions"]) == set(whole["extensions"])


def _collector(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILES[generate.FOLDER / "collector" / f"{name}.yaml"])
    return found


ALARMS = json.loads(FILES[generate.FOLDER / "cloudwatch" / "alarms.json"])


def _metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that an alarm looks at, ours and AWS'."""
    asked = [alarm] if "metric" in alarm else list(alarm.get("queries", {}).values())
    return [one for one in asked if "metric" in one]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_has_a_metric_or_one_query_that_returns_or_a_rule(name: str) -> None:
    alarm = ALARMS[name]
    if "rule" in alarm:
        looked_at = re.findall(r'ALARM\("\$\{prefix\}-([^"]+)"\)', alarm["rule"])
        assert looked_at
        # Parts tell nobody, or the same would be said five times.
        assert [ALARMS[part]["severity"] for part in looked_at] == [None] * len(looked_at)
        return
    returning = [query for query in alarm.get("queries", {}).values() if query.get("returns")]
    assert ("metric" in alarm) != (len(returning) == 1)
    # PutMetricAlarm: a day in all, or a week where a period is an hour or more.
    assert alarm["period_s"] * alarm["periods"] <= (604_800 if alarm["period_s"] >= 3600 else 86_400)
    for query in _metrics_of(alarm):
        if query["namespace"] != NAMESPACE:
            continue
        metric = EVERY[query["metric"]]
        assert set(query["dimensions"]) - {"service"} <= set(metric.label_names)
        for label in metric.labels:
            value = query["dimensions"].get(label.name)
            assert value is None or not label.values or value in label.values


def test_the_overview_begins_with_every_alarm_that_tells_somebody() -> None:
    first = json.loads(FILES[generate.FOLDER / "cloudwatch" / "overview.json"])["widgets"][0]
    assert first["type"] == "alarm"
    shown = {arn.partition("alarm:${prefix}-")[2] for arn in first["properties"]["alarms"]}
    assert shown == {name for name, alarm in ALARMS.items() if alarm["severity"]}
    assert len(shown) <= 100  # CloudWatch draws no more


def test_every_alarm_tells_somebody_or_is_a_part_of_one_that_does() -> None:
    parts = {part for alarm in ALARMS.values() for part in re.findall(r"\$\{prefix\}-([^\"]+)", alarm.get("rule", ""))}
    assert {name for name, alarm in ALARMS.items() if alarm["severity"] is None} == parts
    assert {alarm["severity"] for alarm in ALARMS.values()} == {"page", "ticket", None}


def test_terraform_finds_nothing_in_the_files_that_it_would_not_know_how_to_fill_in() -> None:
    for path, text in FILES.items():
        if path.parent.name == "cloudwatch":
            known = {
                "prefix",
                "region",
                *({"load_balancer"} if path.name == "alarms.json" else {"account", "partition"}),
            }
            assert set(re.findall(r"\$\{([^}]*)\}", text)) <= known, path
            assert "%{" not in text, path
