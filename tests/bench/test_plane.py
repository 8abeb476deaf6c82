"""The benchmark of the native plane's thread runs, in small, and its last line is what it promises."""

import json
import subprocess
import sys

import pytest

from sfu_fleet.native import build


@pytest.mark.skipif(build.compiler() is None, reason="the benchmark needs a C compiler")
def test_a_small_run_ends_with_its_figures() -> None:
    command = [sys.executable, "-m", "tests.bench.plane", "--viewers", "5", "--seconds", "0.3", "--rounds", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    figures = json.loads(run.stdout.splitlines()[-1])["5"]
    assert figures["packets_per_cpu_second"] > 0
    assert figures["bound_packets_per_cpu_second"] > 0
    assert figures["packets_per_train"] >= 1
