"""Every ten seconds: how many are in the rooms that this process serves, and in which quality they watch."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.signaling.attendance import AttendanceDesk
from functions.signaling.qualities import Qualities
from shared.state.audience import SLOT_S, AudienceSampler
from shared.state.notices import Notice, Notices

log = get_logger(__name__)


class Sampling:
    """One per process. `run` until cancelled."""

    def __init__(
        self, redis: Redis, desk: AttendanceDesk, qualities: Qualities, notices: Notices, instance: str
    ) -> None:
        self._sampler = AudienceSampler(redis, instance)
        self._desk = desk
        self._qualities = qualities
        self._notices = notices

    async def run(self) -> None:
        """Sample for ever; without Redis there is a hole in the figures."""
        while True:
            await asyncio.sleep(SLOT_S)
            try:
                await self.sample()
            except (RedisError, OSError) as error:
                metrics.PRESENCE_ERRORS.inc()
                log.warning("audience_not_sampled", error=type(error).__name__)

    async def sample(self) -> None:
        """Sample every room once."""
        found: list[Notice] = []
        heights = self._qualities.heights()
        for room in self._desk.attendance.rooms():
            sample = await self._sampler.sample(room, heights.get(room, {}))
            if sample is not None:
                found.append(sample)
        await self._notices.push(*found)
