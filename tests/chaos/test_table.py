"""Every fault of the table is survived; and a row that tells of a loss or a leak is a bad one."""

from pathlib import Path

import msgspec
import pytest

from tests.chaos.loss.verdict import judge
from tests.chaos.table.__main__ import BEGIN, END, written
from tests.chaos.table.faults import FAULTS
from tests.chaos.table.rows import DESCRIPTORS, MEMORY_KB, Row, row_of, rows
from tests.chaos.test_loss import LOG, speaker, witness

GOOD = Row(fault="valkey_killed", done="killed", messages=10, acknowledged=10)


@pytest.mark.timeout(420)
async def test_each_fault_is_survived_without_a_loss_a_double_or_a_leak(tmp_path: Path) -> None:
    found = [row async for row in rows(tmp_path, storm=80)]
    assert [row.fault for row in found] == [fault.__name__ for fault in FAULTS]
    bad = [row for row in found if not row.good]
    assert not bad, bad
    # What it takes to fill a disk is not everywhere; all else is.
    assert {row.fault for row in found if row.impossible} <= {"valkey_disk_full"}


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
