"""The fleet as tables for a terminal, from what the fleet's API says."""

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_BAR_WIDTH: Final = 16
# As in shared.placement.decision: viewers get no more of a budget.
_FULL: Final = 0.9
_BUSY: Final = 0.6


class Drain(msgspec.Struct, frozen=True):
    """Who told a worker to drain, and why."""

    by: str
    reason: str


class Worker(msgspec.Struct, frozen=True):
    """The part of a worker that is shown."""

    id: str
    zone: str
    version: str
    capacity_pps: int
    load_pps: int
    booked_pps: int
    joins: int
    joins_per_s: int
    publishers: int
    subscribers: int
    draining: bool
    drain: Drain | None


class Edge(msgspec.Struct, frozen=True):
    """A worker that pulls the room from its parent."""

    worker: str
    parent: str
    viewers: int


class Room(msgspec.Struct, frozen=True):
    """A room and who serves it."""

    room: str
    origin: str | None
    viewers: int
    edges: list[Edge]


def rendered(workers: Sequence[Worker], rooms: Sequence[Room], *, at: str, lines: int) -> RenderableType:
    """The whole view; of many workers the draining and the fullest, of rooms the largest, as many as fit."""
    shown = max(5, lines - 12)
    most = sorted(workers, key=lambda worker: (not worker.draining, -_share(worker.booked_pps, worker.capacity_pps)))
    kept = set(most[:shown])
    table = _workers([worker for worker in workers if worker in kept], len(workers) - len(kept))
    return Group(_summary(workers, rooms, at), table, _rooms(rooms, max(5, lines - len(kept) - 6)))


def _summary(workers: Sequence[Worker], rooms: Sequence[Room], at: str) -> Text:
    capacity = sum(worker.capacity_pps for worker in workers)
    load = sum(worker.load_pps for worker in workers)
    draining = sum(worker.draining for worker in workers)
    parts = [
        f"{len(workers)} workers",
        f"{draining} draining",
        f"{load:,} of {capacity:,} packets/s ({_share(load, capacity):.0%})",
        f"{len(rooms)} rooms",
        f"{sum(room.viewers for room in rooms):,} viewers",
        at,
    ]
    return Text("  ·  ".join(parts), style="bold")


def _workers(workers: Sequence[Worker], more: int) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("worker", "zone", "version", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("booked", width=_BAR_WIDTH + 5)
    for name in ("packets/s", "joins/s", "publishers", "sessions"):
        table.add_column(name, justify="right", no_wrap=True)
    for worker in workers:
        booked = _share(worker.booked_pps, worker.capacity_pps)
        style = "red" if booked >= _FULL else "yellow" if booked >= _BUSY else "green"
        bar = Table.grid()
        bar.add_row(
            ProgressBar(
                total=1, completed=min(1, booked), width=_BAR_WIDTH, complete_style=style, finished_style=style
            ),
            Text(f"{booked:5.0%}"),
        )
        table.add_row(
            worker.id,
            worker.zone or "-",
            worker.version or "-",
            _state(worker),
            bar,
            f"{worker.load_pps:,}",
            f"{worker.joins}/{worker.joins_per_s}",
            str(worker.publishers),
            str(worker.subscribers),
        )
    if more:
        table.add_row(f"… {more} more", style="dim")
    return table


def _state(worker: Worker) -> Text:
    if not worker.draining:
        return Text("up", style="green")
    if worker.drain is None:
        return Text("leaving", style="yellow")
    why = f": {worker.drain.reason}" if worker.drain.reason else ""
    return Text(f"draining ({worker.drain.by}{why})", style="yellow")


def _rooms(rooms: Sequence[Room], most: int) -> Table:
    shown = sorted(rooms, key=lambda room: (-room.viewers, room.room))[:most]
    table = Table(expand=True, header_style="bold", box=None, pad_edge=False)
    table.add_column("room", no_wrap=True)
    table.add_column("viewers", justify="right", no_wrap=True)
    table.add_column("origin", no_wrap=True)
    table.add_column("edges (parent, viewers)", overflow="ellipsis", no_wrap=True, ratio=1)
    for room in shown:
        edges = ", ".join(f"{edge.worker} ({edge.parent}, {edge.viewers})" for edge in room.edges)
        origin = Text(room.origin) if room.origin else Text("none", style="red")
        table.add_row(room.room, str(room.viewers), origin, edges or "-")
    if len(rooms) > len(shown):
        table.add_row(f"… {len(rooms) - len(shown)} more", "", "", "", style="dim")
    return table


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
