import json
import subprocess
import sys

import pytest

from shared.stack import paths
from tests.bench import protocol_fuzz


def test_five_seconds_of_damage_crash_no_decoder() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.protocol_fuzz", "--seconds", "5", "--seed", "3"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["crashes"] == 0, done.stdout
    assert done.returncode == 0
    assert result["inputs"] >= 10_000
    assert all(count > 0 for count in result["per_decoder"].values())
    # Damage that leaves nothing to accept would test the first check alone.
    assert result["accepted"] > result["inputs"] / 100


def test_a_decoder_that_fails_in_another_way_is_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_: bytes) -> None:
        raise IndexError("out of bounds")

    target = protocol_fuzz.Target("broken", fails, [b"seed"])
    protocol_fuzz.feed(target, b"\x01\x02")
    assert (target.inputs, target.accepted, target.crashes) == (1, 0, 1)
    assert "broken: IndexError: out of bounds: 0102" in capsys.readouterr().out
