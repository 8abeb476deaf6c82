"""The SFU's benchmarks run, in small, and their last lines are what they promise."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from sfu_fleet.native import build
from tests.bench.sfu.bound import same_traffic
from tests.bench.sfu.cells import Bench, Cell, carried
from tests.bench.sfu.stream import AUDIO_ALONE, AUDIO_PACKET, Frames
from tests.bench.sfu.worker import Lag

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason="the benchmark needs a C compiler")
# The benchmark installs what is missing; a test does not.
HAS_JANUS = os.geteuid() == 0 and all(map(shutil.which, ("janus", "ip")))


def run(module: str, *arguments: str) -> dict[str, Any]:
    """What the last line of a benchmark says."""
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


@needs_compiler
def test_a_small_run_ends_with_its_figures() -> None:
    janus = ["--janus", "3"] if HAS_JANUS else ["--janus"]
    sizes = ["--native", "6", "--python", "6", "--rooms", "2", "--kbps", "2500", "500", "--seconds", "1", "--fixed"]
    figures = run("tests.bench.sfu", *janus, *sizes)
    for plane in ("native", "python"):
        assert figures[plane]["lost"] == 0, figures
        assert figures[plane]["packets_per_cpu_second"] > 0
        assert figures[plane]["viewers_measured"] == 6
        assert figures[plane]["several_rooms"]["rooms"] == 2
        assert figures[plane]["several_rooms"]["lost"] == 0
        assert {"ratio_to_bound", "ratio_to_trains_of_9", "ratio_to_janus", "delay_p95_ms"} <= set(figures[plane])
        assert {"loop_lag_p95_ms", "viewers_per_core_2500kbps", "viewers_per_core_500kbps"} <= set(figures[plane])
        assert (figures[plane]["ratio_to_janus"] is not None) == HAS_JANUS
    assert figures["bound_packets_per_cpu_second"]["trains_of_9"] > 0
    assert ("janus" in figures) == HAS_JANUS
    if HAS_JANUS:
        assert figures["janus"]["viewers_measured"] == 3


@needs_compiler
def test_a_few_small_publishers_lose_nothing() -> None:
    figures = run("tests.bench.publishers", "--publishers", "4", "--consumers", "8", "--workers", "2", "--seconds", "1")
    for case in ("audio", "video"):
        assert (figures[case]["publishers"], figures[case]["consumers"], figures[case]["lost"]) == (4, 8, 0)


@needs_compiler
def test_a_small_keyframe_storm_serves_everybody() -> None:
    figures = run("tests.bench.keyframes", "--viewers", "10")
    for plane in ("native", "python"):
        assert figures[plane]["served"] == 10
        assert figures[plane]["requests"] <= 2


def test_the_bound_s_traffic_is_the_stream_s() -> None:
    frames = Frames(((3_000, True), (100, False), (150_000, False)), "made up")
    trains = same_traffic(frames)
    audio = [(1, AUDIO_PACKET)]
    assert trains == [(3, 1_012), *audio, (1, 112), *audio * 2, (48, 1_158), (48, 1_158), (35, 1_158), *audio * 2]
    assert sum(packets for packets, _ in trains) * 10 == frames.packets_per_second + 50


class Modelled(Bench):
    """A target that carries so many viewers, the last of them at the price of all others' delay."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity

    async def measure(self, frames: Frames, count: int, seconds: float, *, rooms: int = 1) -> Cell:
        packets = frames.packets_per_viewer * count
        delay_ms = 1_000.0 if count > self._capacity else 5.0
        return Cell(
            viewers=count,
            rooms=rooms,
            packets_per_second=packets,
            worker_cores=min(1.0, count / self._capacity) * seconds,
            rest_cores=0.1,
            foreign_cores=0.0,
            lost=0,
            lost_share=0.0,
            delays_ms=(delay_ms, delay_ms, delay_ms),
            lag=None,
        )


@pytest.mark.parametrize(("error", "share"), [(0.6, 0.9), (1.0, 0.9), (1.2, 0.85), (1.5, 0.6), (3.0, 0.6)])
async def test_the_search_ends_near_the_most_that_is_carried(error: float, share: float) -> None:
    frames = Frames(((9_000, False),), "made up")
    bench = Modelled(400)
    near = await bench.measure(frames, 100, 1.0)
    # As if a packet had cost more, or less, than those of the search do.
    near = msgspec.structs.replace(near, worker_cores=near.worker_cores / error)
    cells = [cell async for cell in bench.limit(frames, near, 1.0)]
    most = carried(cells)
    assert most is not None
    assert share * 400 <= most <= 400


def test_nothing_is_carried_where_packets_are_lost() -> None:
    cell = Cell(
        viewers=9,
        rooms=1,
        packets_per_second=1.0,
        worker_cores=0.5,
        rest_cores=0.5,
        foreign_cores=0.0,
        lost=5,
        lost_share=0.01,
        delays_ms=(1.0, 1.0, 1.0),
        lag=None,
    )
    assert carried([cell]) is None


def test_audio_alone_is_fifty_packets_a_second() -> None:
    assert AUDIO_ALONE.packets_per_viewer == AUDIO_ALONE.rate * AUDIO_ALONE.audio_packets(0) == 50


def test_lag_is_told_by_the_upper_edge_of_its_interval() -> None:
    before = Lag({0.001: 5.0, 0.01: 5.0, float("inf"): 6.0})
    after = Lag({0.001: 14.0, 0.01: 15.0, float("inf"): 16.0})
    lag = after.since(before)
    assert [lag.percentile_ms(percent) for percent in (50, 90, 95, 100)] == [1.0, 1.0, 10.0, 10.0]
