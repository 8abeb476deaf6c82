"""Reaping what was left over, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.stack.ledger import Ledger, start_of


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_recorded_process_is_ended(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    Ledger(tmp_path / "processes.json").record("sleeper", sleeper.pid)
    assert Ledger(tmp_path / "processes.json").reap() == ["sleeper"]
    assert sleeper.wait(5) == -9
    assert Ledger(tmp_path / "processes.json").reap() == []


def test_a_foreign_process_with_the_recorded_number_is_never_touched(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    path = tmp_path / "processes.json"
    earlier = f"{start_of(sleeper.pid)}0"  # another start, so another process that once had this number
    path.write_text(json.dumps({"mongod": [sleeper.pid, earlier]}))
    assert Ledger(path).reap() == []
    assert sleeper.poll() is None


def test_a_process_that_has_ended_is_not_reaped(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    ledger = Ledger(tmp_path / "processes.json")
    ledger.record("sleeper", sleeper.pid)
    ledger.forget("sleeper")
    assert Ledger(tmp_path / "processes.json").reap() == []
    assert sleeper.poll() is None


def test_a_zombie_counts_as_gone(sleeper: "subprocess.Popen[bytes]") -> None:
    sleeper.kill()
    while start_of(sleeper.pid) is not None:
        pass
    assert sleeper.wait(5) == -9


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": ["x", "y"]}', "null"])
def test_a_damaged_file_names_nothing_to_kill(tmp_path: Path, content: str) -> None:
    path = tmp_path / "processes.json"
    path.write_text(content)
    assert Ledger(path).reap() == []
