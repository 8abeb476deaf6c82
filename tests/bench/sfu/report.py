"""The lines that the benchmark prints, and the parts of its last one."""

from typing import Any, Final

from .bound import Bound
from .cells import Cell

HEADER: Final = (
    "target       viewers rooms    packets/s    per CPU-s  worker   rest others      lost"
    "   P50 ms   P95 ms   P99 ms  feedback/s  lag P50/P95/P99/max ms"
)
# A generator or sinks without time to spare measure themselves.
_BUSY: Final = 0.9
_DISTURBED: Final = 0.3


def row(name: str, cell: Cell) -> str:
    """One cell."""
    p50, p95, p99 = cell.delays_ms
    notes = [
        "worker saturated" if cell.saturated else "",
        "load generator saturated" if cell.rest_cores > _BUSY else "",
        "" if cell.sustained else "NOT SUSTAINED",
        "other programs ran" if cell.foreign_cores > _DISTURBED else "",
    ]
    lag = "/".join(f"{value:g}" for value in lags(cell).values()) or "-"
    return (
        f"{name:12} {cell.viewers:7,} {cell.rooms:5} {cell.packets_per_second:12,.0f}"
        f" {cell.packets_per_cpu_second:12,.0f} {cell.worker_cores:7.2f} {cell.rest_cores:6.2f}"
        f" {cell.foreign_cores:6.2f} {cell.lost:9,} {p50:8.2f} {p95:8.2f} {p99:8.2f}"
        f" {cell.feedback_per_second:11,.0f}  {lag:22} {', '.join(filter(None, notes))}".rstrip()
    )


def bound_line(name: str, trains: Bound, single: Bound) -> str:
    """The bound for some traffic, with and without trains."""
    lost = max(trains.lost_share, single.lost_share)
    return (
        f"bound:   {name}: {trains.packets_per_cpu_second:,.0f} packets per CPU-second, "
        f"{single.packets_per_cpu_second:,.0f} one by one"
        + (f" (the sinks missed {lost:.1%}: they were the slower part)" if lost > 0.01 else "")
    )


def summary(name: str, result: dict[str, Any]) -> str:
    """One of our planes beside the others."""
    janus = f"{result['ratio_to_janus']:.2f} x Janus, " if result["ratio_to_janus"] else ""
    return (
        f"{name}: {janus}{result['ratio_to_bound']:.2f} x the bound for the same stream, "
        f"{result['ratio_to_bound_without_trains']:.2f} x the same one by one, "
        f"{result['ratio_to_trains_of_9']:.2f} x the bound in trains of 9"
    )


def delays(cell: Cell) -> dict[str, float]:
    """Delay of a cell for the JSON object."""
    return {
        f"delay_p{percent}_ms": round(value, 2) for percent, value in zip((50, 95, 99), cell.delays_ms, strict=True)
    }


def lags(cell: Cell) -> dict[str, float]:
    """The event loop's lag in a cell for the JSON object: upper edges of the worker's histogram."""
    if cell.lag is None:
        return {}
    names = {"loop_lag_p50_ms": 50, "loop_lag_p95_ms": 95, "loop_lag_p99_ms": 99, "loop_lag_max_ms": 100}
    return {name: round(cell.lag.percentile_ms(percent), 2) for name, percent in names.items()}
