"""The benchmark of the cache runs and counts right; what it measures is never asserted here."""

import json

import pytest

from shared.stack.stack import LocalStack
from tests.bench.cache.__main__ import Sizes, measure, race
from tests.bench.cache.rooms import zipf


def test_zipf_gives_the_first_its_share() -> None:
    names = [str(number) for number in range(1000)]
    reads = zipf(names, 50_000, 1.0)
    harmonic = sum(1 / rank for rank in range(1, 1001))
    assert reads.count("0") / 50_000 == pytest.approx(1 / harmonic, rel=0.1)
    assert reads.count("9") / 50_000 == pytest.approx(0.1 / harmonic, rel=0.2)


async def test_a_small_run_has_the_figures_of_the_last_line(
    state: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = Sizes(
        latency_reads=20,
        replay_reads=2_000,
        replay_rooms=(50,),
        exponents=(1.0,),
        reads_per_write=500,
        processes=2,
        stampede_reads=100,
        stampede_rounds=2,
        invalidations=3,
        crowd_rooms=4,
    )
    result = await measure(state, sizes)
    assert await race(state, 3) == 0
    assert json.loads(json.dumps(result)) == result
    assert {"l1_p50_us", "l2_p99_us", "bare_mongodb_find_p50_us", "l2_to_bare_redis_get_ratio"} <= set(result)
    (replayed,) = result["replays"]
    assert replayed["reads"] == 2_000
    # Rooms that are asked for are read from MongoDB once, and again when they were written.
    assert replayed["cold_mongodb_reads"] <= 50 + 5 + 5
    assert replayed["steady_mongodb_reads"] <= 5 + 5
    assert (result["stampede_reads"], result["stampede_mongodb_reads_worst"]) == (100, 1)
    assert {"announced_warm_l1_share", "rising_cold_first_read_p95_us"} <= set(result)
    assert "2,000 reads, 50 rooms" in capsys.readouterr().out
