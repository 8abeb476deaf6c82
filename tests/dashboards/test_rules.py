"""The alerts under promtool: each has been seen to fire and to be silent."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from dashboards.alerting import ALERTS
from dashboards.generate import FOLDER

TESTS = FOLDER / "alerts" / "tests.yml"

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")


@needs_promtool
def test_the_rules_are_ones_that_prometheus_takes() -> None:
    _promtool("check", "rules", str(FOLDER / "alerts" / "rules.yml"))


@needs_promtool
def test_alerts_fire_and_are_silent_as_their_tests_say() -> None:
    _promtool("test", "rules", str(TESTS))


@needs_promtool
@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1) > 0"], ids=["never", "always"])
def test_these_tests_notice_alerts_that_fire_never_or_always(tmp_path: Path, expression: str) -> None:
    model = yaml.safe_load((FOLDER / "alerts" / "rules.yml").read_text(encoding="utf-8"))
    del model["groups"][0]  # nothing that is recorded is looked at any more, and recording takes longest
    for rule in model["groups"][0]["rules"]:
        rule["expr"] = expression
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(model), encoding="utf-8")
    shutil.copy(TESTS, tmp_path)
    command = ["promtool", "test", "rules", str(tmp_path / "tests.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert [alert.title for alert in ALERTS if f"alertname: {alert.title}," not in said] == []


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for alert in ALERTS:
        mine = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert.title]
        assert set(mine) == {True, False}, alert.title


def _promtool(*arguments: str) -> None:
    ended = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
