"""Every fault of the table is survived; and a row that tells of a loss or a leak is a bad one."""

import asyncio
import json
import sys

import msgspec
import pytest

from shared.stack.paths import ROOT
from tests.chaos.loss.verdict import judge
from tests.chaos.table.__main__ import BEGIN, END, written
from tests.chaos.table.faults import FAULTS
from tests.chaos.table.rows import DESCRIPTORS, MEMORY_KB, Row, row_of
from tests.chaos.test_loss import LOG, speaker, witness

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


def test_the_table_is_written_between_its_marks_and_nowhere_else() -> None:
    page = written(f"before\n{BEGIN}\nold\n{END}\nafter\n", [GOOD])
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page
    assert "| valkey killed | killed |" in page
    with pytest.raises(ValueError, match="substring not found"):
        written("no marks", [GOOD])
