"""Keeps this worker's leases, on itself and on its rooms. Redis being away costs placement, never media."""

import asyncio
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError
from structlog import get_logger

from sfu_fleet.metrics import Metrics
from shared.state.fleet import LEASE_MS, Fleet, Orders, Report, Worker

RENEW_S = 1.0

log = get_logger(__name__)


class Registry:
    """Renews the leases every second with what `describe` and `reports` say, and hands on what the fleet orders.

    `registered` tells whether the worker's lease is still valid.
    """

    def __init__(
        self,
        fleet: Fleet,
        describe: Callable[[], Worker],
        reports: Callable[[], Sequence[Report]],
        obey: Callable[[Orders], None],
        metrics: Metrics,
    ) -> None:
        self._fleet = fleet
        self._describe = describe
        self._reports = reports
        self._obey = obey
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._renewed_at = float("-inf")
        self._started_at = self._loop.time()
        self._failing = False

    @property
    def registered(self) -> bool:
        """Whether the lease is valid as far as we know."""
        return self._loop.time() - self._renewed_at < LEASE_MS / 1000

    @property
    def age_s(self) -> float:
        """Seconds since the last renewal, or since the start."""
        return self._loop.time() - max(self._renewed_at, self._started_at)

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            began = self._loop.time()
            await self.renew()
            await asyncio.sleep(max(0.1, began + RENEW_S - self._loop.time()))

    async def renew(self) -> None:
        """Renew once; a failure is logged when it begins and counted each time."""
        try:
            orders = await self._fleet.renew(self._describe(), self._reports())
        except (RedisError, OSError) as error:
            self._metrics.registration_failures.inc()
            if not self._failing:
                log.warning("registration_failing", error=str(error))
            self._failing = True
            return
        if self._failing:
            log.info("registration_restored")
        self._failing = False
        self._renewed_at = self._loop.time()
        self._obey(orders)

    async def withdraw(self) -> None:
        """Leave the registry; if Redis is away, the lease expires by itself."""
        self._renewed_at = float("-inf")
        try:
            await self._fleet.withdraw(self._describe().id)
        except (RedisError, OSError) as error:
            log.warning("withdraw_failed", error=str(error))
