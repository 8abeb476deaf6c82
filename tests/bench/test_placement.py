"""The placement benchmark runs and tells all that it promises; what it measures is never asserted here."""

import json

import pytest

from tests.bench.placement import __main__ as bench


def test_a_small_fleet_s_evening_is_told_for_every_policy(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"workers": 9, "rooms": 40, "viewers": 200, "capacity": 15_000, "ramp": 4, "quiet": 2, "placements": 48}
    bench.main([word for name, size in sizes.items() for word in (f"--{name}", str(size))])
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert told["bench"] == "placement"
    for policy in ("headrace", "random", "round_robin"):
        for name in ("utilisation_percent", "rejected_percent", "moves", "worst_over_mean_ratio", "pulled_percent"):
            assert told[f"{policy}_{name}"] >= 0
        assert told[f"{policy}_highest_load_percent"] <= 100
    assert told["placement_p95_ms"] > 0
    assert any(line.startswith("Machine: ") for line in lines)
