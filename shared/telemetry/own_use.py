"""How much a process uses: of processor and memory, each as a share of its own limit, and tasks of its event loop.

Shares, because processes of different sizes stand in one drawing and under one alarm, and CloudWatch cannot divide by
process. They are worked out when somebody asks, on the thread that answers.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from shared.telemetry.catalogue import process
from shared.telemetry.metric import gauge

_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_WINDOW_S = 60.0


def measure(registry: CollectorRegistry, *, cores: float = 0.0) -> None:
    """Add the process' shares and the tasks of the event loop that runs, if one does, to a registry, once.

    `cores` is what it may use; 0: what its container's limit says.
    """
    limit = memory_limit()
    processor = ProcessorShare(cores or cpu_limit())
    gauge(process.MEMORY_LIMIT, registry).set(limit)
    gauge(process.CPU_USED, registry).set_function(processor)
    gauge(process.MEMORY_USED, registry).set_function(lambda: memory_share(limit))
    gauge(process.TASKS, registry).set_function(_counting_tasks())


class ProcessorShare:
    """Processor time over the last minute, over what could have been used; at first over all time until then."""

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._asked = deque([(time.monotonic(), time.process_time())])

    def __call__(self) -> float:
        """The share, 0 to 1, or more where the limit is not one."""
        now, used = time.monotonic(), time.process_time()
        self._asked.append((now, used))
        while len(self._asked) > 2 and now - self._asked[1][0] >= _WINDOW_S:
            self._asked.popleft()
        since, before = self._asked[0]
        return (used - before) / max(now - since, 1e-3) / self._cores


def _counting_tasks() -> Callable[[], int]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda: 0
    return lambda: len(asyncio.all_tasks(loop))


def memory_share(limit: int) -> float:
    """Memory held over `limit` bytes, or what all together hold of the machine's where that is more; 0: unknown."""
    own = _kibibytes(_STATUS, "VmRSS") / limit if limit else 0.0
    total, available = _kibibytes(_MEMINFO, "MemTotal"), _kibibytes(_MEMINFO, "MemAvailable")
    return max(own, 1 - available / total if total else 0.0)


def memory_limit() -> int:
    """Bytes that this process may use: the least of its container's limits and the machine's memory; 0: unknown."""
    limits = [*map(_number, _MEMORY_LIMITS), _kibibytes(_MEMINFO, "MemTotal")]
    return min((limit for limit in limits if limit), default=0)


def cpu_limit() -> float:
    """Cores that this process may use: its container's share of one, else one, since more would be idle."""
    quota, _, period = _text(_CPU_MAX).partition(" ")
    if quota.isdigit() and period.isdigit():
        return min(1.0, int(quota) / int(period))
    old, old_period = _number(_CPU_QUOTA), _number(_CPU_PERIOD)
    return min(1.0, old / old_period) if old and old_period else 1.0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0  # version 2 says "max" where there is no limit, version 1 -1


def _kibibytes(path: Path, name: str) -> int:
    """A line of that name in kB, as bytes; 0 where there is none."""
    lines = (line for line in _text(path).splitlines() if line.startswith(f"{name}:"))
    return next((int(line.split()[1]) * 1024 for line in lines), 0)
