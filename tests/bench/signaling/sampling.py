"""Processor time of processes and of whole cores, and memory, over a window."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.bench import machine

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Cores(msgspec.Struct, frozen=True):
    """Who runs where: the server alone on one core, everything else on the other."""

    server: int
    rest: int

    @classmethod
    def of_machine(cls) -> "Cores":
        """The first and the last core that this process may use."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[-1])

    @property
    def shared(self) -> bool:
        """Whether there is only one core, so that no figure means much."""
        return self.server == self.rest


class Sample(msgspec.Struct, frozen=True):
    """Cores' worth of processor time over a window, by name of the group; `core:N` is everything on that core."""

    used: Mapping[str, float]

    def of(self, name: str) -> float:
        """The cores' worth that a group used."""
        return self.used[name]

    def foreign(self, cores: Cores) -> float:
        """What programs that are none of the groups used on the two cores together."""
        busy = sum(self.used[f"core:{core}"] for core in {cores.server, cores.rest})
        return max(0.0, busy - sum(value for name, value in self.used.items() if not name.startswith("core:")))


class Sampler:
    """Counts from its creation on."""

    def __init__(self, groups: Mapping[str, Sequence[int]], cores: Cores) -> None:
        self._groups = groups
        self._cores = {cores.server, cores.rest}
        self._before = self._now()

    def sample(self, seconds: float) -> Sample:
        """What was used since then, `seconds` ago."""
        now = self._now()
        return Sample({name: (value - self._before[name]) / seconds for name, value in now.items()})

    def _now(self) -> dict[str, float]:
        return {name: machine.cpu_seconds(pids) for name, pids in self._groups.items()} | {
            f"core:{core}": _busy_seconds(core) for core in self._cores
        }


def resident_kb(pids: Sequence[int]) -> int:
    """Resident memory of these processes together."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in pids) * _PAGE // 1024


def _busy_seconds(core: int) -> float:
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            # user, nice, system, idle, iowait, irq, softirq, steal (proc(5)): guest time is in user already.
            return sum(int(value) for place, value in enumerate(fields[:8]) if place not in {3, 4}) / _TICKS
    return 0.0
