"""The tables of faults in a page of documentation, between marks of their own."""

from collections.abc import Iterable, Sequence
from typing import Final

from tests.bench.fleet.faults import Outcome
from tests.bench.impaired import Cell
from tests.chaos.table.media import good
from tests.chaos.table.rows import Row

_ROOM: Final = (
    *("fault", "what was done", "longest without acknowledgement, s", "longest without hearing anything, s"),
    *("reconnections", "messages", "lost", "doubled", "out of order", "memory, kB", "descriptors"),
)
_FLEET: Final = (
    *("fault", "viewers hit", "moved", "frames lost, median and most", "longest hole, s", "origin moved"),
    *("orphans", "memory, kB", "descriptors"),
)
_WAYS: Final = (
    *("loss", "round trip, ms", "frames/s", "freezes", "frozen, s", "lines", "NACKed", "repaired"),
    *("keyframes asked", "recovery after a burst, s"),
)


def room_table(found: Sequence[Row]) -> str:
    """What people in a room saw of each fault, in Markdown."""
    return _table(_ROOM, map(room_line, found))


def room_line(row: Row) -> str:
    """A row of it; in bold where something was not as it should be."""
    name = row.fault.replace("_", " ")
    if row.impossible:
        return _line((name, f"not here: {row.impossible}", *("" for _ in _ROOM[2:])))
    counts = (row.lost, row.doubled, row.reordered)
    seen = (f"{row.unacknowledged_s:.2f}", f"{row.silent_s:.2f}", f"{row.reconnections:,}", f"{row.messages:,}")
    return _line((_name(name, good=row.good), row.done, *seen, *map(str, counts), *_held(row)))


def fleet_table(found: Sequence[Outcome]) -> str:
    """What viewers saw of each fault of the media fleet, in Markdown."""
    return _table(_FLEET, map(fleet_line, found))


def fleet_line(row: Outcome) -> str:
    """A row of it."""
    seen = (
        f"{row.affected} of {row.viewers}",
        f"{row.moved}",
        f"{row.lost_median} and {row.lost_most} of {row.frames:,}",
        f"{row.hole_s:.2f}",
        "yes" if row.origin_moved else "no",
        f"{row.orphans}",
    )
    return _line((_name(row.fault, good=good(row)), *seen, *_held(row)))


def ways_table(found: Sequence[Cell]) -> str:
    """What a browser saw on a bad way, in Markdown."""
    return _table(_WAYS, map(way_line, found))


def way_line(row: Cell) -> str:
    """A row of it."""
    seen = (f"{row.frames_per_second:.1f}", f"{row.freezes}", f"{row.frozen_s:.2f}", f"{row.height}", f"{row.nacks}")
    recovery = "none in time" if row.recovery_s is None else f"{row.recovery_s:.2f}"
    more = (f"{row.repaired}", f"{row.keyframe_requests}", recovery)
    return _line((f"{row.loss_percent:g} %", f"{row.rtt_ms}", *seen, *more))


def written(page: str, part: str, text: str) -> str:
    """The page with that text in place of what is between the marks of the part.

    Raises:
        ValueError: it has no such marks.
    """
    begin, end = (f"<!-- tests.chaos.table, {part}: {mark} -->" for mark in ("begin", "end"))
    before, after = page.index(begin) + len(begin), page.index(end)
    return f"{page[:before]}\n{text}\n{page[after:]}"


def _held(row: Row | Outcome) -> tuple[str, str]:
    return f"{row.memory_kb:+,.0f}", f"{row.descriptors:+,.0f}"


def _name(name: str, *, good: bool) -> str:
    return name if good else f"**{name}**"


def _table(heads: Sequence[str], lines: Iterable[str]) -> str:
    return "\n".join((_line(heads), _line("---" for _ in heads), *lines))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
