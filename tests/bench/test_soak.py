"""The soak sees a leak, is not fooled by noise, and runs."""

import random
from pathlib import Path

import msgspec
import pytest

from tests.bench.soak.__main__ import figures, run, table, trends
from tests.bench.soak.crowd import Plan
from tests.bench.soak.trend import LEAST_POINTS, Allowance, trend

SECONDS = [float(at) for at in range(0, 3600, 10)]
ALLOWANCE = Allowance(0.02, 4.0)


def test_a_leak_of_a_tenth_in_an_hour_is_seen_through_noise() -> None:
    noise = random.Random(1)
    values = [1000 + at * 100 / 3600 + noise.gauss(0, 30) for at in SECONDS]
    found = trend(SECONDS, values, ALLOWANCE)
    assert not found.flat
    assert found.slope_per_hour == pytest.approx(100, rel=0.3)


@pytest.mark.parametrize(
    "values",
    [
        [1000.0] * 360,
        [1000 + random.Random(at).gauss(0, 30) for at in range(360)],
        [1000 + at % 20 for at in range(360)],  # grows, is collected, grows
        [min(1000, 100 + at * 20) for at in range(360)],  # warms up
        [1000 + 5000 * (at in range(200, 210)) for at in range(360)],  # one peak
        [1000 - at for at in range(360)],
    ],
    ids=["still", "noise", "sawtooth", "warm-up", "peak", "falls"],
)
def test_what_does_not_grow_is_flat(values: list[float]) -> None:
    assert trend(SECONDS, values, ALLOWANCE).flat


def test_a_small_count_may_grow_by_what_is_allowed_and_no_more() -> None:
    for end, flat in ((3, True), (30, False)):
        found = trend(SECONDS, [10 + end * at / 3600 for at in SECONDS], ALLOWANCE)
        assert found.flat == flat


def test_too_few_points_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="points to judge"):
        trend(SECONDS[:LEAST_POINTS], [1.0] * LEAST_POINTS, ALLOWANCE)
    with pytest.raises(ValueError, match="points to judge"):
        trends(SECONDS, [{"function-1": {"rss_kb": 1.0}}] * 5 + [{}] * (len(SECONDS) - 5))


@pytest.mark.timeout(90)
async def test_a_short_soak_opens_and_closes_rooms_and_judges_every_process(tmp_path: Path) -> None:
    plan = Plan(rooms=3, people=3, live=1, per_second=2.0, room_s=2.0)
    outcome = await run(tmp_path, plan, seconds=12)
    assert outcome.wrong == {}
    assert outcome.done["rooms_closed"] >= 3
    assert outcome.done["deliveries"] >= outcome.done["messages"] > 0
    assert outcome.done["packets_watched"] > 0
    judged = {name.split("/")[0] for name in outcome.trends}
    assert judged == {"function-1", "function-2", "worker-1", "valkey", "cache", "mongod", "balancer"}
    for series in ("tasks", "backlog_frames", "rss_kb", "descriptors"):
        assert outcome.trends[f"function-1/{series}"].most >= 0
    assert outcome.trends["function-1/tasks"].most > 5
    assert "function-2 | rss_kb" in table(outcome)
    assert figures(outcome, plan)["wrong"] == 0
    # A leak of ours is one, what a store keeps is none.
    # Twelve seconds are too few to tell of anything else whether it grows, so that is said.
    leaky = {
        name: msgspec.structs.replace(found, growth=1e9 if name.endswith("rss_kb") else 0.0)
        for name, found in outcome.trends.items()
    }
    told = msgspec.structs.replace(outcome, trends=leaky).grows
    assert sorted(told) == [f"{name}/rss_kb" for name in ("balancer", "cache", "function-1", "function-2", "worker-1")]
