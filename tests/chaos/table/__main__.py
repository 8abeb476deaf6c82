"""Does each fault in turn while people talk, and fills in the table: `python -m tests.chaos.table`.

`--out docs/results/chaos.md` writes it into that page, between its marks. The last line is one JSON object; the exit
code is 1 when anything was lost, doubled, out of order, refused or leaked, or somebody did not come back.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.sfu import network
from tests.chaos.table.faults import FAULTS
from tests.chaos.table.ground import PAUSE_S
from tests.chaos.table.rows import CLIENTS, PER_SECOND, Row, rows

BEGIN: Final = "<!-- written by tests.chaos.table: begin -->"
END: Final = "<!-- written by tests.chaos.table: end -->"
_HEADS: Final = (
    "fault",
    "what was done",
    "longest without acknowledgement, s",
    "longest without hearing anything, s",
    "reconnections",
    "messages",
    "lost",
    "doubled",
    "out of order",
    "memory, kB",
    "descriptors",
)


def table(found: Sequence[Row]) -> str:
    """In Markdown."""
    return "\n".join((_line(_HEADS), _line("---" for _ in _HEADS), *map(line, found)))


def line(row: Row) -> str:
    """A row of it."""
    name = row.fault.replace("_", " ")
    if row.impossible:
        return _line((name, f"not here: {row.impossible}", *("" for _ in _HEADS[2:])))
    counts = (row.lost, row.doubled, row.reordered)
    held = (f"{row.memory_kb:+,.0f}", f"{row.descriptors:+,.0f}")
    seen = (f"{row.unacknowledged_s:.2f}", f"{row.silent_s:.2f}", f"{row.reconnections:,}", f"{row.messages:,}")
    return _line((name if row.good else f"**{name}**", row.done, *seen, *map(str, counts), *held))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def written(page: str, found: Sequence[Row]) -> str:
    """The page with the table of now.

    Raises:
        ValueError: it has no marks.
    """
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    people = f"{CLIENTS} people who say {PER_SECOND:g} things a second each"
    about = f"{datetime.now(UTC):%Y-%m-%d}, {machine.describe()}; {people}."
    return f"{page[:before]}\n{about}\n\n{table(found)}\n{page[after:]}"


async def _measure(arguments: argparse.Namespace, *, private: bool) -> list[Row]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        options = {"only": arguments.only, "storm": arguments.storm, "pause_s": arguments.pause, "seed": arguments.seed}
        async for row in rows(Path(folder), private=private, **options):
            found.append(row)
            print(line(row), flush=True)
            for example in () if row.good else row.examples:
                print(f"  {example}")
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.table", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], choices=[fault.__name__ for fault in FAULTS])
    parser.add_argument("--storm", type=int, default=150, help="sockets of the storm and of the spike")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="seconds for which something stands still")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a page with the marks of a table")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    print(f"machine: {machine.describe()}")
    # Before anything is started: threads and processes stay in the network in which they were made.
    private = network.enter()
    found = asyncio.run(_measure(arguments, private=private))
    if arguments.out:
        arguments.out.write_text(written(arguments.out.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(
        json.dumps(
            {
                "faults": len(found),
                "bad": [row.fault for row in found if not row.good],
                "not_possible": [row.fault for row in found if row.impossible],
                "messages": sum(row.messages for row in found),
                "lost": sum(row.lost for row in found),
                "doubled": sum(row.doubled for row in found),
                "longest_without_acknowledgement_s": max(row.unacknowledged_s for row in found),
                "rows": [msgspec.to_builtins(row) for row in found],
            }
        )
    )
    sys.exit(not all(row.good for row in found))


if __name__ == "__main__":
    main()
