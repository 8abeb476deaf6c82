"""What a benchmark ran on, and how much processor time its processes used."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> str:
    """Processor, cores, kernel and Python in one line."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process and all its descendants, now and later, on these cores."""
    for descendant in descendants(pid):
        for task in Path(f"/proc/{descendant}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far; one that has ended counts nothing."""
    stats = [fields for pid in pids if (fields := _stat(pid))]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / _TICKS


def busy_seconds() -> float:
    """Time that all processors together have spent on anything but waiting (proc(5), /proc/stat)."""
    fields = [int(field) for field in _lines("/proc/stat")[0].split()[1:]]
    idle, waiting = fields[3], fields[4]
    # Guest time, the last two, is part of user time already.
    return (sum(fields[:8]) - idle - waiting) / _TICKS


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += children.get(current, [])
    return found


def percentile(values: list[float], percent: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _stat(pid: int) -> list[str]:
    # The name may hold spaces and parentheses; the fields after it do not (proc(5)).
    text = "".join(_lines(f"/proc/{pid}/stat"))
    return text.rpartition(")")[2].split()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
