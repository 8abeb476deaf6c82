"""The floods flood, are held off, and one that was not would be seen."""

from pathlib import Path

import msgspec
import pytest

from tests.bench.floods import FLOODS, Phase, passed, run

HELD = Phase("joins", 1.0, 1000, 0, {"error unauthorized": 400, "error backed_off": 600}, 1.0, 2.0, 3.0, 10)


@pytest.mark.timeout(120)
async def test_whoever_floods_is_held_off_and_the_others_have_everything_once(tmp_path: Path) -> None:
    phases, verdict = await run(tmp_path, seconds=2.5, report=lambda _: None)
    assert [phase.name for phase in phases] == ["undisturbed", *(flood.__name__ for flood in FLOODS)]
    assert verdict.clean, verdict.examples
    assert verdict.refused == 0
    assert verdict.acknowledged > 50
    for phase in phases[1:]:
        assert phase.tried > 20, phase
        assert phase.held_off, phase
    assert passed(phases, verdict)


@pytest.mark.parametrize(
    "phase",
    [
        msgspec.structs.replace(HELD, through=900),
        msgspec.structs.replace(HELD, answers={"error unauthorized": 1000}),
        msgspec.structs.replace(HELD, name="idle_connections", through=1),
    ],
    ids=["gets through", "is never told to stay away", "idle ones get in"],
)
def test_a_flood_that_is_not_held_off_is_seen(phase: Phase) -> None:
    assert HELD.held_off
    assert not phase.held_off
