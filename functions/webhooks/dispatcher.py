"""Sends what is due, by any number of processes: who takes a delivery has it for a minute, and then it is due again."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo.errors import PyMongoError
from structlog import get_logger

from functions import metrics
from functions.webhooks.sending import Sender
from shared.state.webhooks import Attempt, Deliveries, Delivery, DeliveryState, Webhook, Webhooks

AT_ONCE = 8
POLL_S = 1.0
DELAYS_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 28_800.0, 86_400.0)
"""Between attempts; each up to a fifth longer, so that those of one outage do not come back together."""
GIVE_UP_AFTER = timedelta(days=3)
_GONE = 410

log = get_logger(__name__)


class Dispatcher:
    """One per process. `run` until cancelled."""

    def __init__(
        self, webhooks: Webhooks, deliveries: Deliveries, sender: Sender, delays_s: Sequence[float] = DELAYS_S
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._sender = sender
        self._delays_s = delays_s

    async def run(self) -> None:
        """Send for ever; a MongoDB that is away is waited for."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(AT_ONCE):
                tasks.create_task(self._work(), name=f"webhooks-{number}")

    async def _work(self) -> None:
        while True:
            try:
                busy = await self.send_one()
            except PyMongoError as error:
                metrics.ARCHIVE_ERRORS.labels("mongodb").inc()
                log.warning("webhooks_interrupted", error=type(error).__name__)
                busy = False
            if not busy:
                await asyncio.sleep(POLL_S * random.uniform(0.8, 1.2))  # noqa: S311 - load spreading, not security

    async def send_one(self) -> bool:
        """Send what has been due for longest; whether there was something."""
        delivery = await self._deliveries.claim()
        if delivery is None:
            return False
        webhook = await self._webhooks.find(delivery.webhook)
        if webhook is None:
            await self._deliveries.forget(delivery.webhook)
        elif not webhook.active and delivery.event != "ping":
            now = datetime.now(UTC)
            attempt = Attempt(at=now, status=0, error="the webhook is switched off", took_ms=0)
            await self._deliveries.note(delivery, attempt, "failed", now)
        else:
            await self._attempt(webhook, delivery)
        return True

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> None:
        attempt = await self._sender.send(webhook, delivery)
        arrived = not attempt.error
        last = delivery.tries > len(self._delays_s)
        metrics.WEBHOOKS.labels("delivered" if arrived else "given_up" if last else "retried").inc()
        metrics.WEBHOOK_SECONDS.observe(attempt.took_ms / 1000)
        due = attempt.at
        if not arrived and not last:
            delay_s = self._delays_s[delivery.tries - 1] * random.uniform(1, 1.2)  # noqa: S311 - as above
            due += timedelta(seconds=delay_s)
        state: DeliveryState = "delivered" if arrived else "failed" if last else "pending"
        await self._deliveries.note(delivery, attempt, state, due)
        await self._note_health(webhook, attempt, arrived=arrived)

    async def _note_health(self, webhook: Webhook, attempt: Attempt, *, arrived: bool) -> None:
        if arrived and webhook.failing_since is not None:
            await self._webhooks.note_health(webhook.id, failing_since=None, active=webhook.active)
        elif not arrived:
            since = webhook.failing_since or attempt.at
            gone = attempt.status == _GONE or attempt.at - since > GIVE_UP_AFTER
            if gone or webhook.failing_since is None:
                await self._webhooks.note_health(webhook.id, failing_since=since, active=webhook.active and not gone)
                if gone:
                    log.info("webhook_switched_off", webhook=webhook.id)
