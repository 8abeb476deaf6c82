"""The benchmark of bad ways runs, in small, draws its plot, and its last line is what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_a_small_run_ends_with_its_figures_and_a_plot(tmp_path: Path) -> None:
    plot = tmp_path / "layer.svg"
    sizes = ["--cells", "5,50", "--seconds", "2", "--bottleneck-scale", "0.05", "--plot", str(plot)]
    command = [sys.executable, "-m", "tests.bench.impaired", *sizes]
    run = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    figures = json.loads(run.stdout.splitlines()[-1])
    (cell,) = figures["cells"]
    assert cell["frames_per_second"] > 0
    assert cell["nacks"] > 0
    assert [step["kbps"] for step in figures["bottleneck"]] == [900, 300, 900, None]
    assert "picture height" in plot.read_text(encoding="utf-8")
