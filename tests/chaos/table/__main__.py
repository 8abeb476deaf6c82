"""Does each fault in turn while people talk and watch, and fills in the tables: `python -m tests.chaos.table`.

`--media` does those of media, else those of a room are done. `--out docs/results/chaos.md` writes the table into that
page, between its marks. The last line is one JSON object; the exit code is 1 when anything was lost, doubled, out of
order, refused or leaked, or somebody did not come back.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.sfu import network
from tests.chaos.table import media, page
from tests.chaos.table.faults import FAULTS
from tests.chaos.table.ground import PAUSE_S
from tests.chaos.table.rows import CLIENTS, PER_SECOND, Row, rows


async def _room(arguments: argparse.Namespace, *, private: bool) -> list[Row]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        options = {"only": arguments.only, "storm": arguments.storm, "pause_s": arguments.pause, "seed": arguments.seed}
        async for row in rows(Path(folder), private=private, **options):
            found.append(row)
            print(page.room_line(row), flush=True)
            for example in () if row.good else row.examples:
                print(f"  {example}")
    return found


async def _media() -> tuple[dict[str, str], dict[str, Any]]:
    faults, ways = [], []
    async for row in media.fleet_rows():
        faults.append(row)
        print(page.fleet_line(row), flush=True)
    async for way in media.way_rows():
        ways.append(way)
        print(page.way_line(way), flush=True)
    figures = {
        "faults": len(faults),
        "bad": [row.fault for row in faults if not media.good(row)],
        "longest_hole_s": max(row.hole_s for row in faults),
        "rows": msgspec.to_builtins(faults),
        "ways": msgspec.to_builtins(ways),
    }
    return {"fleet": page.fleet_table(faults), "ways": page.ways_table(ways)}, figures


def _figures(found: list[Row]) -> dict[str, Any]:
    return {
        "faults": len(found),
        "bad": [row.fault for row in found if not row.good],
        "not_possible": [row.fault for row in found if row.impossible],
        "messages": sum(row.messages for row in found),
        "lost": sum(row.lost for row in found),
        "doubled": sum(row.doubled for row in found),
        "longest_without_acknowledgement_s": max(row.unacknowledged_s for row in found),
        "rows": [msgspec.to_builtins(row) for row in found],
    }


def _write(out: Path, tables: dict[str, str], about: str) -> None:
    text = out.read_text(encoding="utf-8")
    for part, table in tables.items():
        text = page.written(text, part, f"{about}\n\n{table}")
    out.write_text(text, encoding="utf-8")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.table", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--media", action="store_true", help="the faults of media")
    parser.add_argument("--only", nargs="+", default=[], choices=[fault.__name__ for fault in FAULTS])
    parser.add_argument("--storm", type=int, default=150, help="sockets of the storm and of the spike")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="seconds for which something stands still")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a page with the marks of the tables")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    print(f"machine: {machine.describe()}")
    about = f"{datetime.now(UTC):%Y-%m-%d}, {machine.describe()}"
    if arguments.media:
        tables, figures = asyncio.run(_media())
        about += f"; {media.VIEWERS} viewers."
    else:
        # Before anything is started: threads and processes stay in the network in which they were made.
        private = network.enter()
        found = asyncio.run(_room(arguments, private=private))
        tables, figures = {"room": page.room_table(found)}, _figures(found)
        about += f"; {CLIENTS} people who say {PER_SECOND:g} things a second each."
    if arguments.out:
        _write(arguments.out, tables, about)
    print(json.dumps(figures))
    sys.exit(bool(figures["bad"]))


if __name__ == "__main__":
    main()
