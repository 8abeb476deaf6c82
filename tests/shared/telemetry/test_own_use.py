"""What a process says of its own use of processor and memory."""

import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shared.telemetry import own_use


def test_all_processor_time_of_a_quarter_of_a_core_is_a_share_near_four_quarters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = {"now": 100.0, "used": 5.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(time, "process_time", lambda: clock["used"])
    share = own_use.ProcessorShare(0.25)
    clock |= {"now": 110.0, "used": 7.4}
    assert share() == pytest.approx(0.96)


def test_what_was_used_more_than_a_minute_ago_no_longer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0, "used": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(time, "process_time", lambda: clock["used"])
    share = own_use.ProcessorShare(1.0)
    said = []
    for second in range(15, 76, 15):  # busy at first, then idle, asked every quarter of a minute
        clock |= {"now": float(second), "used": 15.0}
        said.append(share())
    assert said[0] == pytest.approx(1.0)
    assert said[-1] == 0.0


@pytest.mark.parametrize(("text", "cores"), [("50000 100000", 0.5), ("max 100000", 1.0), ("400000 100000", 1.0)])
def test_a_containers_share_of_a_core_is_its_limit_and_more_than_one_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, cores: float
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(own_use, "_CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(own_use, "_CPU_QUOTA", tmp_path / "none")
    assert own_use.cpu_limit() == cores


def test_memory_is_measured_against_the_containers_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1073741824\n")
    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 7340032 kB\n")
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  943718 kB\n")
    monkeypatch.setattr(own_use, "_MEMORY_LIMITS", (tmp_path / "memory.max", tmp_path / "none"))
    monkeypatch.setattr(own_use, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(own_use, "_STATUS", tmp_path / "status")
    limit = own_use.memory_limit()
    assert limit == 1 << 30
    assert own_use.memory_share(limit) == pytest.approx(0.9, abs=1e-3)


def test_many_workers_that_fill_a_machine_together_are_each_near_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 100 kB\n")
    (tmp_path / "status").write_text("VmRSS: 50 kB\n")
    monkeypatch.setattr(own_use, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(own_use, "_STATUS", tmp_path / "status")
    assert own_use.memory_share(1000 * 1024) == pytest.approx(0.9)


def test_a_real_process_has_shares_that_can_be() -> None:
    registry = CollectorRegistry()
    own_use.measure(registry)
    text = generate_latest(registry).decode()
    found = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
    assert float(found["headrace_memory_limit_bytes"]) > 0
    assert 0 < float(found["headrace_memory_used_ratio"]) < 1
    assert float(found["headrace_cpu_used_ratio"]) >= 0
