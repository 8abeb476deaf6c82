"""An evening of a fleet: the audience comes, one room takes off, a host fails, workers are replaced."""

import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from tests.bench.machine import percentile
from tests.bench.placement.policies import Policy
from tests.bench.placement.world import SECOND, TICK_US, Shape, World

TICKS_PER_S = SECOND // TICK_US
BURST_S = 10
# The share of viewers who watch from the zone that is published from.
AT_HOME = 0.6


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of it. Audiences follow Zipf's law with exponent 1; each second a share of the viewers is replaced."""

    shape: Shape
    rooms: int
    viewers: int
    burst: int
    failing: int
    draining: int
    ramp_s: int = 40
    quiet_s: int = 10
    churn: float = 0.01


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it under one policy. Shares are of 1; loads are of workers that live."""

    policy: str
    joins: int
    rejected: int
    refusals: int
    moves: int
    moved_at_most: int
    origins_moved: int
    utilisation: float
    peak_utilisation: float
    pulled: float
    edges: int
    own_zone: float
    worst_over_mean: float
    p99_over_mean: float
    highest_load: float
    decision_us: float
    seconds: float


def run(scenario: Scenario, policy: Policy, seed: int) -> Result:
    """The same evening for every policy: who comes when is drawn apart from how they are placed."""
    began = time.perf_counter()
    world = World(scenario.shape, policy, Random(seed))
    samples = Counter[str]()
    worst: list[float] = []
    p99: list[float] = []
    utilisation: list[float] = []
    counted = 0
    for steady in _Evening(scenario, world, Random(seed + 1)).seconds():
        if not steady:
            continue
        loads = [
            world.load_of(worker) / scenario.shape.capacity_pps for worker in world.workers.values() if worker.alive
        ]
        mean = sum(loads) / len(loads)
        utilisation.append(mean)
        worst.append(max(loads) / mean)
        p99.append(percentile(loads, 99) / mean)
        samples["viewers"] += sum(len(worker.viewers) for worker in world.workers.values())
        samples["pulls"] += sum(worker.pulls for worker in world.workers.values())
        samples["own zone"] += sum(
            viewer.zone == worker.zone for worker in world.workers.values() for viewer in worker.viewers
        )
        counted += 1
    shape, tallies = scenario.shape, world.tallies
    seconds = time.perf_counter() - began
    return Result(
        policy=policy.name,
        joins=tallies["joins"],
        rejected=tallies["rejected"],
        refusals=tallies["no worker"],
        moves=tallies["moves"],
        moved_at_most=max(viewer.moves for viewer in world.viewers),
        origins_moved=tallies["elections"] - scenario.rooms,
        utilisation=sum(utilisation) / len(utilisation),
        peak_utilisation=max(utilisation),
        pulled=samples["pulls"] * shape.pull_pps / (samples["viewers"] * shape.viewer_pps),
        edges=samples["pulls"] // counted,
        own_zone=samples["own zone"] / samples["viewers"],
        worst_over_mean=max(worst),
        p99_over_mean=sum(p99) / len(p99),
        highest_load=world.peak_load,
        decision_us=world.deciding_s / max(1, tallies["decisions"]) * 1e6,
        seconds=seconds,
    )


class _Evening:
    """The audience and what happens to the fleet."""

    def __init__(self, scenario: Scenario, world: World, random: Random) -> None:
        self._scenario = scenario
        self._world = world
        self._random = random
        self._rooms = [f"room-{number}" for number in range(scenario.rooms)]
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(scenario.rooms)))
        self._zones = scenario.shape.zones
        zone_weights = list(accumulate(1 / (rank + 1) for rank in range(len(self._zones))))
        self._zone_of = {
            room: self._zones[bisect(zone_weights, random.random() * zone_weights[-1])] for room in self._rooms
        }
        self._started = 0

    def seconds(self) -> Iterator[bool]:
        """Go through it; after each second say whether the audience is complete."""
        scenario, world = self._scenario, self._world
        yield from self._ramp()
        yield from self._steady(scenario.quiet_s)
        # A room of middling size becomes the talk of the town.
        yield from self._steady(BURST_S, scenario.burst, self._rooms[scenario.rooms // 10])
        yield from self._steady(scenario.quiet_s)
        workers = sorted(world.workers)
        failing = workers[: scenario.failing]
        for worker in failing:
            world.fail(worker)
        yield from self._steady(scenario.quiet_s)
        for worker in failing:
            world.restart(worker)
        draining = workers[scenario.failing : scenario.failing + scenario.draining]
        for worker in draining:
            world.drain(worker)
        yield from self._steady(scenario.quiet_s)
        for worker in draining:
            if not world.workers[worker].alive:
                world.restart(worker)
        yield from self._steady(scenario.quiet_s)

    def _ramp(self) -> Iterator[bool]:
        scenario, world = self._scenario, self._world
        ticks = scenario.ramp_s * TICKS_PER_S
        for tick in range(1, ticks + 1):
            # Rooms are all there after half of the time.
            self._begin(min(1.0, 2 * tick / ticks))
            while len(world.viewers) < scenario.viewers * tick / ticks:
                self._come()
            world.tick()
            if tick % TICKS_PER_S == 0:
                yield False

    def _begin(self, share: float) -> None:
        while self._started < share * self._scenario.rooms:
            room = self._rooms[self._started]
            self._world.publish(room, self._zone_of[room])
            self._started += 1

    def _come(self) -> None:
        # Rooms begin in the order of their numbers: whoever comes early finds the large ones only.
        room = self._rooms[bisect(self._weights, self._random.random() * self._weights[self._started - 1])]
        at_home = self._random.random() < AT_HOME
        self._world.join(room, self._zone_of[room] if at_home else self._random.choice(self._zones))

    def _steady(self, number: int, extra: int = 0, room: str = "") -> Iterator[bool]:
        world, random = self._world, self._random
        changing = round(self._scenario.viewers * self._scenario.churn / TICKS_PER_S)
        for tick in range(1, number * TICKS_PER_S + 1):
            for _ in range(changing):
                world.leave(world.viewers[random.randrange(len(world.viewers))])
                self._come()
            for _ in range(extra // (number * TICKS_PER_S)):
                world.join(room, random.choice(self._zones))
            world.tick()
            if tick % TICKS_PER_S == 0:
                yield True
