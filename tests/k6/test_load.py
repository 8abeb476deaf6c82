"""The load tests themselves, at the smoke size: that they work and find no fault, never how fast anything is."""

import json
import re
from pathlib import Path

import pytest

from shared.stack import paths
from shared.stack.stack import LocalStack
from tests.bench.load import SHAPES, LoadError, Plan, Target, describe, figures, loopback, run

THRESHOLDS = paths.ROOT / "k6" / "thresholds.json"


@pytest.mark.timeout(200)
async def test_a_smoke_run_of_all_five_kinds_of_users_finds_no_loss_no_duplicate_and_no_error(
    stack: LocalStack, tmp_path: Path
) -> None:
    target = Target(urls=(stack.url,), jwt_keys=stack.jwt_keys, stack=stack, media=True)
    # Livelier than users are, and every visit compared with the log: twenty seconds must be worth something.
    plan = Plan(shape="smoke", activity=3, audit=1, thresholds="functional")
    summary = await run(plan, target, tmp_path)

    assert summary["passed"], (tmp_path / "k6.log").read_text(encoding="utf-8")
    assert summary["k6_exit_code"] == 0
    assert not summary["stalled"]
    assert not [reason for reason in summary["reasons"] if reason.startswith("problem")], summary["reasons"]
    counts = summary["counts"]
    assert (counts["lost"], counts["duplicated"], counts["misordered"], counts["visits_cut_off"]) == (0, 0, 0, 0)
    assert summary["error_rate"] < 0.01
    assert not [check for check in summary["checks"] if check["fails"]]
    # It was not all well because nothing happened.
    assert summary["users"] == 25
    assert counts["visits"] >= 25
    assert counts["sent"] >= 50
    assert counts["delivered"] > 10 * counts["sent"]
    assert counts["audited_events"] > counts["sent"]
    assert counts["reconnects"] > 0
    supports = summary["supports"]
    assert [counts["gifts"] > 0, counts["reacted"] > 0] == [supports["gift"], supports["react"]]
    assert supports["quality"]
    assert summary["latency"]["message_slow_ms"]["count"] > 0
    assert counts["qualities"] > 0
    assert figures(summary)["passed"]
    # Every delivery that was timed belongs to one stage.
    assert sum(stage["deliveries"] for stage in summary["stages"]) == summary["latency"]["message_ms"]["count"]
    assert [stage["users"] for stage in summary["stages"]] == [25, 25, 25]
    for page in ("report.html", "dashboard.html"):
        text = (tmp_path / page).read_text(encoding="utf-8")
        assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?https?://""", text), page


@pytest.mark.parametrize("url", ["http://192.0.2.1:80", "https://127.0.0.1:80", "http://example.org", "", "127.0.0.1"])
def test_no_other_machine_can_be_a_target(url: str) -> None:
    with pytest.raises(LoadError):
        loopback(url)


async def test_the_script_itself_refuses_another_machine_as_well(tmp_path: Path) -> None:
    target = Target(urls=("http://192.0.2.1",))
    with pytest.raises(LoadError, match="not a loopback address"):
        await run(Plan(), target, tmp_path)


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_can_be_read_by_k6_and_has_its_users(shape: str) -> None:
    found = await describe(Plan(shape=shape, scale=0.1))
    users = {"progressive": 100, "sustained": 100, "spike": 150, "stress": 250, "recovery": 80, "smoke": 25}
    assert found["users"] == users[shape]
    assert found["seconds"] >= 20


def test_the_thresholds_are_those_that_were_promised() -> None:
    groups = json.loads(THRESHOLDS.read_text(encoding="utf-8"))
    assert groups["timing"]["headrace_message_latency"] == ["p(95)<100", "p(99)<250"]
    assert groups["functional"]["headrace_errors"] == ["rate<0.01"]
    for metric in ("lost", "duplicated", "misordered"):
        assert groups["functional"][f"headrace_{metric}"] == ["count==0"]


def test_every_threshold_is_of_a_metric_that_is_measured() -> None:
    measured = set(re.findall(r"'(headrace_[a-z_]+)'", (paths.ROOT / "k6" / "metrics.js").read_text(encoding="utf-8")))
    groups = json.loads(THRESHOLDS.read_text(encoding="utf-8"))
    named = {metric.partition("{")[0] for group in groups.values() for metric in group}
    assert named - {"checks"} <= measured
