"""How many viewers a worker's core carries at a bit rate: more and more of them until something gives."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from tests.bench.signaling.sampling import Cores

from .platform import Platform, Room
from .source import Source
from .swarm import Result, Swarm

_FIRST: Final = 40
_STEPS: Final = 9
# Between what was carried and what was too much there is at most this share of it in the end.
_NEAR: Final = 0.12
# Nearly full, a side is approached in small steps; before, by what a viewer has cost so far.
_FAR: Final = 1.35
_CAUTION: Final = 0.85
_SMALL_STEP: Final = 1.1
_LARGEST_STEP: Final = 4.0
_FULL: Final = 0.95
# Of the worker's core; with more of it used by other programs nothing is known of the worker.
_OTHERS: Final = 0.1


class Step(msgspec.Struct, frozen=True):
    """One number of viewers at one bit rate of video, Mbit/s."""

    mbps: float
    result: Result

    @property
    def carried(self) -> bool:
        """Whether everybody got the stream and both sides had time left."""
        return self.result.good and self.result.saturated == "none"


class Most(msgspec.Struct, frozen=True):
    """The most viewers that were carried at a bit rate, what the next step failed by, and whose limit that is."""

    mbps: float
    viewers: int
    carried: Result | None
    failed: Result | None

    @property
    def limited_by(self) -> str:
        """The side that the search ended at."""
        if self.failed is None:
            return "none"
        if self.failed.saturated != "none":
            return self.failed.saturated
        # Neither publisher nor swarm was late, and arrival is by the kernel's clock: so frames were late at the worker.
        return "others" if self.failed.worker_core_others_mean > _OTHERS else "worker"

    @property
    def text(self) -> str:
        """The number; with `at least` where it was not the worker that could not do more."""
        return str(self.viewers) if self.limited_by == "worker" else f"at least {self.viewers}"


async def steps(
    platform: Platform, cores: Cores, *, mbps: float, seconds: float, joins_per_s: float, seed: int
) -> AsyncIterator[Step]:
    """Measure more and more viewers of one stream, until it is known how many are too many.

    On a machine that others use as well anything may be late once: what was too much is tried once more, and has
    failed when it fails twice.

    Raises:
        tests.bench.swarm.swarm.NothingMeasuredError: nothing came.
        tests.bench.swarm.platform.PlatformError: the platform does not take part.
    """
    room = await platform.room(f"{mbps:g} Mbit/s")
    async with (
        Source.live(platform, room, round(mbps * 1_000_000), cores.rest) as source,
        Swarm.of(platform, cores, seed=seed) as swarm,
    ):
        carried, too_many, count, following = 0, 0, _FIRST, _FIRST
        for _ in range(_STEPS):
            for last in (False, True):
                await _have(platform, room, swarm, count, joins_per_s)
                step = Step(mbps, await swarm.measure(source, seconds))
                yield step
                if step.carried:
                    carried, following = count, _next(step.result)
                    break
                if last:
                    too_many = count
            if not too_many:
                count = following
            elif too_many - carried > max(1, carried * _NEAR):
                count = (carried + too_many) // 2
            else:
                return


async def _have(platform: Platform, room: Room, swarm: Swarm, count: int, joins_per_s: float) -> None:
    more = count - len(swarm.viewers)
    # Nobody, maybe: but who could not join before is not waited for any more.
    await swarm.dismiss(max(0, -more))
    if more > 0:
        await swarm.join(await platform.seats(room, more), more / joins_per_s)


def most(mbps: float, found: list[Step]) -> Most:
    """What the steps say."""
    carried = [step.result for step in found if step.carried]
    best = max(carried, key=lambda result: result.viewers, default=None)
    above = [step.result for step in found if not step.carried and step.result.viewers > (best.viewers if best else 0)]
    failed = min(above, key=lambda result: result.viewers, default=None)
    return Most(mbps, best.viewers if best else 0, best, failed)


def _next(result: Result) -> int:
    ours = result.swarm_cores_mean + result.publisher_cores_mean
    left = _FULL / max(result.worker_cores_mean or 0.0, ours, 0.01)
    factor = min(_LARGEST_STEP, left * _CAUTION) if left > _FAR else _SMALL_STEP
    return max(result.viewers + 5, round(result.viewers * factor))
