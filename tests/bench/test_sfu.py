"""The SFU benchmark runs, in small, and its last line is what it promises."""

import json
import subprocess
import sys

import pytest

from sfu_fleet.native import build


@pytest.mark.skipif(build.compiler() is None, reason="the benchmark needs a C compiler")
def test_a_small_run_ends_with_its_figures() -> None:
    sizes = ["--native", "6", "--python", "6", "--seconds", "1"]
    command = [sys.executable, "-m", "tests.bench.sfu", *sizes]
    run = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    figures = json.loads(run.stdout.splitlines()[-1])
    for plane in ("native", "python"):
        assert figures[plane]["lost"] == 0, run.stdout
        assert figures[plane]["packets_per_cpu_second"] > 0
        assert figures[plane]["viewers_measured"] == 6
    assert figures["bound_packets_per_cpu_second"]["trains_of_9"] > 0
