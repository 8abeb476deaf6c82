"""The table of the fan-out benchmark, its ratios, and the figures of its last line."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from .fanout import Cell

HEADRACE: Final = "Headrace"
SOCKET_IO: Final = "Socket.IO"
WS: Final = "ws"
WS_BATCHED: Final = "ws batched"
# Where the issue sets its targets.
SOCKETS: Final = 1000
RATE: Final = 1000.0
QUIET_RATE: Final = 10.0

_COLUMNS: Final[Sequence[tuple[str, int, Callable[[Cell], str]]]] = (
    ("server", -11, lambda cell: cell.server),
    ("sockets", 7, lambda cell: f"{cell.sockets:,}"),
    ("msg/s", 6, lambda cell: f"{cell.rate:,.0f}"),
    ("deliveries/s", 12, lambda cell: f"{cell.deliveries_per_s:,.0f}"),
    ("per CPU-s", 11, lambda cell: f"{cell.deliveries_per_cpu_s:,.0f}"),
    ("frames/s", 9, lambda cell: f"{cell.counts.window_frames / cell.counts.window_s:,.0f}"),
    ("P50 ms", 8, lambda cell: _ms(cell.counts.p50_ms)),
    ("P95 ms", 8, lambda cell: _ms(cell.counts.p95_ms)),
    ("P99 ms", 8, lambda cell: _ms(cell.counts.p99_ms)),
    ("missing", 10, lambda cell: f"{cell.counts.missing:,}"),
    ("dup", 4, lambda cell: f"{cell.counts.duplicates}"),
    ("order", 5, lambda cell: f"{cell.counts.reordered}"),
    ("server", 6, lambda cell: f"{cell.server_cores:.2f}"),
    ("beside", 6, lambda cell: f"{cell.beside_cores:.2f}"),
    ("gen.", 5, lambda cell: f"{cell.generator_cores:.2f}"),
    ("kB/sock", 7, lambda cell: f"{cell.set_up.kb_per_socket:.0f}"),
    ("joins/s", 7, lambda cell: f"{cell.set_up.joins_per_s:,.0f}"),
)


def header() -> str:
    """The names of the columns; the second `server`, `beside` and `gen.` are cores in use."""
    return "  ".join(_fit(name, width) for name, width, _ in _COLUMNS)


def row(cell: Cell) -> str:
    """One line of the table, with what is to be said about it."""
    line = "  ".join(_fit(text(cell), width) for _, width, text in _COLUMNS)
    refused = cell.counts.kinds.get("error", 0)
    remarks = [cell.verdict] if cell.verdict else []
    if refused:
        remarks.append(f"{refused} refused: {cell.counts.note}")
    if cell.set_up.failed:
        remarks.append(f"{cell.set_up.failed} sockets failed: {cell.set_up.note}")
    if cell.counts.lost_links:
        remarks.append(f"{cell.counts.lost_links} sockets lost: {cell.counts.note}")
    return f"{line}  {'; '.join(remarks)}".rstrip()


def find(cells: Sequence[Cell], server: str, rate: float) -> Cell | None:
    """The cell nearest to the size of the targets."""
    fitting = [cell for cell in cells if cell.server == server and cell.rate == rate]
    return min(fitting, key=lambda cell: abs(cell.sockets - SOCKETS), default=None)


def best(cells: Sequence[Cell], server: str, sockets: int) -> float:
    """Deliveries per CPU-second at a server's best rate."""
    return max((x.deliveries_per_cpu_s for x in cells if x.server == server and x.sockets == sockets), default=0.0)


def figures(cells: Sequence[Cell], seconds: float) -> dict[str, Any]:
    """The last line: at the size of the targets, or nearest to it where that was not measured."""
    ours = find(cells, HEADRACE, RATE) or max(
        (cell for cell in cells if cell.server == HEADRACE), key=lambda cell: cell.rate
    )
    batched = find(cells, WS_BATCHED, ours.rate)
    quiet = find(cells, HEADRACE, QUIET_RATE)
    found: dict[str, Any] = {
        "deliveries_per_cpu_second": round(ours.deliveries_per_cpu_s),
        "p50_ms": ours.counts.p50_ms,
        "p95_ms": ours.counts.p95_ms,
        "p99_ms": ours.counts.p99_ms,
        "ratio_to_socketio": _ratio(ours.deliveries_per_cpu_s, best(cells, SOCKET_IO, ours.sockets)),
        "ratio_to_ws": _ratio(ours.deliveries_per_cpu_s, best(cells, WS, ours.sockets)),
        "ratio_to_ws_batched": _ratio(ours.deliveries_per_cpu_s, batched.deliveries_per_cpu_s if batched else 0.0),
        "ratio_to_socketio_at_10_per_s": None,
        "kb_per_socket": round(ours.set_up.kb_per_socket, 1),
        "joins_per_second": round(ours.set_up.joins_per_s),
        "sockets": ours.sockets,
        "published_per_second": ours.rate,
        "deliveries_per_second": round(ours.deliveries_per_s),
        "best_deliveries_per_second": round(max(cell.deliveries_per_s for cell in cells if cell.server == HEADRACE)),
        "server_cores": round(ours.server_cores, 3),
        "valkey_and_mongod_cores": round(ours.beside_cores, 3),
        "generator_cores": round(ours.generator_cores, 3),
        "missing_deliveries": sum(cell.counts.missing for cell in cells if cell.server == HEADRACE),
        "duplicate_deliveries": sum(cell.counts.duplicates for cell in cells if cell.server == HEADRACE),
        "reordered_deliveries": sum(cell.counts.reordered for cell in cells if cell.server == HEADRACE),
        "valid": not ours.generator_saturated,
        "seconds_per_cell": seconds,
    }
    if quiet:
        theirs = find(cells, SOCKET_IO, QUIET_RATE)
        found["p95_at_10_per_s_ms"] = quiet.counts.p95_ms
        found["deliveries_per_cpu_second_at_10_per_s"] = round(quiet.deliveries_per_cpu_s)
        if theirs:
            found["ratio_to_socketio_at_10_per_s"] = _ratio(quiet.deliveries_per_cpu_s, theirs.deliveries_per_cpu_s)
    return found


def ratios(cells: Sequence[Cell]) -> list[str]:
    """For each size, Headrace's deliveries per CPU-second over those of each peer: same rate, and best over best."""
    lines = []
    peers = [name for name in dict.fromkeys(cell.server for cell in cells) if name != HEADRACE]
    for cell in (cell for cell in cells if cell.server == HEADRACE):
        for peer in peers:
            same = next(
                (x for x in cells if x.server == peer and (x.sockets, x.rate) == (cell.sockets, cell.rate)), None
            )
            parts = [
                f"{_ratio(cell.deliveries_per_cpu_s, other):.2f} x {what}"
                for what, other in (
                    (f"{peer} at the same rate", same.deliveries_per_cpu_s if same else 0.0),
                    (f"{peer}'s best", best(cells, peer, cell.sockets)),
                )
                if other
            ]
            lines.append(f"  {cell.sockets:,} sockets, {cell.rate:,.0f}/s: {', '.join(parts)}")
    return lines


def _ratio(ours: float, theirs: float) -> float | None:
    return round(ours / theirs, 3) if theirs else None


def _ms(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _fit(text: str, width: int) -> str:
    return text.ljust(-width) if width < 0 else text.rjust(width)
