"""What is in `dashboards/` is what the description says, and speaks of metrics that exist."""

import json
import re
from pathlib import Path

import pytest

from dashboards import boards, generate
from dashboards.alerting import ALERTS, WINDOWS, Alert, recorded
from dashboards.expressions import cloudwatch, dimensions, metrics_of, promql
from dashboards.panels import Panel
from shared.stack import paths
from shared.telemetry.catalogue import EVERY
from tests.support import metrics_reference
from tests.support.promql import metric_names

FILES = generate.files()
PANELS = [(dashboard.name, panel) for dashboard in boards.ALL for panel in dashboard.panels]
SERIES = {series for metric in EVERY.values() for series in metric.series}
OF_PROMETHEUS = {"up"} | {recorded(window) for window in WINDOWS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(generate.FOLDER)))
def test_a_file_is_as_the_description_has_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "run `task generate`"


def test_there_is_no_file_that_nobody_writes() -> None:
    found = {*generate.FOLDER.glob("*/*.json"), *generate.FOLDER.glob("*/*.yml"), *generate.FOLDER.glob("*.yaml")}
    assert found - set(FILES) == {generate.FOLDER / "alerts" / "tests.yml"}


def test_the_page_of_metrics_is_that_of_the_catalogue() -> None:
    assert metrics_reference.PAGE.read_text(encoding="utf-8") == metrics_reference.rendered(), "run `task generate`"


def test_there_are_more_than_fifty_metrics_and_all_labels_are_bounded() -> None:
    assert len(EVERY) > 50
    for metric in EVERY.values():
        assert metric.help
        assert metric.question.endswith((".", "?"))
        assert all(0 < label.bound <= 50 for label in metric.labels), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
        assert not metric.labels or not {"room", "participant", "address", "path"} & set(metric.label_names)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[f"{name}: {panel.title}" for name, panel in PANELS])
def test_a_panel_asks_for_metrics_that_exist_and_says_what_to_do(board: str, panel: Panel) -> None:
    assert len(panel.wrong) > 20, board
    for query in panel.queries:
        assert metric_names(promql(query.expression)) <= SERIES
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


def test_what_cloudwatch_is_asked_for_is_what_the_collector_keeps() -> None:
    text = FILES[generate.FOLDER / "collector.yaml"]
    for _, panel in PANELS:
        for query in panel.queries:
            for name, wanted in dimensions(query.expression):
                assert f"^{name}$" in text
                assert f'"${{prefix}}",{",".join(wanted)}}}' in cloudwatch(query.expression)


def test_an_alarm_has_a_metric_or_one_query_that_returns() -> None:
    alarms = json.loads(FILES[generate.FOLDER / "cloudwatch" / "alarms.json"])
    assert len(alarms) >= len(ALERTS)
    for name, alarm in alarms.items():
        returning = [query for query in alarm.get("queries", {}).values() if query.get("returns")]
        assert ("metric" in alarm) != (len(returning) == 1), name
        assert alarm["period_s"] * alarm["periods"] <= 86_400, name
        asked = [alarm] if "metric" in alarm else [query for query in alarm["queries"].values() if "metric" in query]
        for query in asked:
            metric = EVERY[query["metric"]]
            assert set(query["dimensions"]) - {"service"} <= set(metric.label_names), name
            for label in metric.labels:
                value = query["dimensions"].get(label.name)
                assert value is None or not label.values or value in label.values, name


def test_terraform_finds_nothing_in_the_files_that_it_would_not_know_how_to_fill_in() -> None:
    for path, text in FILES.items():
        if path.parent.name == "cloudwatch":
            assert set(re.findall(r"\$\{([^}]*)\}", text)) <= {"prefix", "region"}, path
            assert "%{" not in text, path
