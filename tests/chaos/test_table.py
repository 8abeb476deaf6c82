"""Every fault of the table is survived; and a row that tells of a loss or a leak is a bad one."""

import asyncio
import json
import sys

import msgspec
import pytest

from shared.stack.paths import ROOT
from tests.bench.fleet.faults import Outcome
from tests.chaos.loss.verdict import judge
from tests.chaos.table import media
from tests.chaos.table.faults import FAULTS
from tests.chaos.table.media import good
from tests.chaos.table.page import fleet_line, room_table, written
from tests.chaos.table.rows import DESCRIPTORS, MEMORY_KB, Row, row_of
from tests.chaos.test_loss import LOG, speaker, witness

FLEET = Outcome("an edge is killed", 18, 3, 3, 150, 0, 31, 1.3, False, 0, 0.1, 500.0, 2.0)
GOOD = Row(fault="valkey_killed", done="killed", messages=10, acknowledged=10)


@pytest.mark.timeout(420)
async def test_each_fault_is_survived_without_a_loss_a_double_or_a_leak() -> None:
    # As a program, since it moves into a network of its own.
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.table", "--storm", "80", "--pause", "2"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await program.communicate()
    finally:
        if program.returncode is None:
            # What it started ends with it.
            program.kill()
            await program.wait()
    *table, last = output.decode().splitlines()
    told = "\n".join([*table, last])
    assert program.returncode == 0, told
    found = json.loads(last)
    assert [row["fault"] for row in found["rows"]] == [fault.__name__ for fault in FAULTS]
    assert found["bad"] == []
    assert found["messages"] > 500
    # What it takes for these is not everywhere; all else is.
    assert set(found["not_possible"]) <= {
        "valkey_disk_full",
        "valkey_lossy",
        "function_clock_jumps",
        "valkey_clock_jumps",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": 1},
        {"doubled": 1},
        {"reordered": 1},
        {"unsettled": 1},
        {"refused": 1},
        {"acknowledged": 9},
        {"messages": 0, "acknowledged": 0},
        {"memory_kb": MEMORY_KB + 1.0},
        {"descriptors": DESCRIPTORS + 1.0},
    ],
)
def test_a_row_that_tells_of_a_fault_of_ours_is_bad(changes: dict[str, float]) -> None:
    assert GOOD.good
    assert not msgspec.structs.replace(GOOD, **changes).good


def test_an_event_that_somebody_never_got_is_lost_in_the_row_of_its_fault() -> None:
    people = [speaker([1, 2, 3]), witness(list(LOG.values())[:3])]
    people[0].received = list(LOG.values())[:3]
    before = judge(people, {offset: LOG[offset] for offset in (1, 2, 3)}, {})
    people[0].said = speaker([1, 2, 3, 4, 5]).said
    people[0].received = list(LOG.values())
    people[1].received = [event for event in LOG.values() if event.offset != 4]
    after = judge(people, LOG, {})
    told = {"silent_s": 0.0, "reconnections": 0, "unsettled": 0, "changes": (0.0, 0.0)}
    row = row_of("valkey_killed", "", before=before, after=after, said=people[0].said[3:], **told)  # type: ignore[arg-type]
    assert (row.lost, row.messages, row.good) == (1, 2, False)


def test_a_worker_that_leaks_is_a_bad_row_of_the_fleet() -> None:
    assert good(FLEET)
    assert "| an edge is killed | 3 of 18 | 3 |" in fleet_line(FLEET)
    for changes in ({"orphans": 1}, {"memory_kb": media.MEMORY_KB + 1.0}, {"descriptors": media.DESCRIPTORS + 1.0}):
        bad = msgspec.structs.replace(FLEET, **changes)
        assert not good(bad)
        assert fleet_line(bad).startswith("| **an edge is killed** |")


def test_a_table_is_written_between_its_marks_and_nowhere_else() -> None:
    marks = [f"<!-- tests.chaos.table, {part}: {mark} -->" for part in ("room", "fleet") for mark in ("begin", "end")]
    page = "\n".join(["before", marks[0], "old", marks[1], "between", marks[2], "kept", marks[3], "after"])
    found = written(page, "room", room_table([GOOD]))
    assert found.startswith(f"before\n{marks[0]}\n| fault |")
    assert "old" not in found
    assert "| valkey killed | killed |" in found
    assert found.endswith(f"\n{marks[1]}\nbetween\n{marks[2]}\nkept\n{marks[3]}\nafter")
    with pytest.raises(ValueError, match="substring not found"):
        written("no marks", "room", "")
