"""What a process measures of itself and of what it stands on, in the background: loop lag, pools, dependencies."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pymongo import AsyncMongoClient, monitoring
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from functions import metrics
from shared.security.tokens import Tokens
from shared.state.documents import Document
from shared.telemetry.catalogue.state import COMMANDS

LAG_INTERVAL_S = 0.5
ASK_INTERVAL_S = 5.0
ASK_TIMEOUT_S = 2.0


async def watch_loop() -> None:
    """Observe how late a timer fires, until cancelled."""
    while True:
        # The loop's own clock stands still while callbacks run.
        due = time.perf_counter() + LAG_INTERVAL_S
        await asyncio.sleep(LAG_INTERVAL_S)
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - due))


async def watch_dependencies(redis: Redis, mongodb: AsyncMongoClient[Document]) -> None:
    """Ask each dependency every five seconds whether it is there, until cancelled."""
    watch_redis_pool(redis)

    async def ping_redis() -> object:
        return await redis.ping()

    async def ping_mongodb() -> object:
        return await mongodb.admin.command("ping")

    while True:
        await asyncio.gather(_ask("redis", ping_redis), _ask("mongodb", ping_mongodb))
        await asyncio.sleep(ASK_INTERVAL_S)


async def _ask(dependency: str, question: Callable[[], Awaitable[object]]) -> None:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            await question()
    except (RedisError, PyMongoError, OSError, TimeoutError):
        metrics.DEPENDENCY_UP.labels(dependency).set(0)
    else:
        metrics.DEPENDENCY_UP.labels(dependency).set(1)
    metrics.DEPENDENCY_SECONDS.labels(dependency).set(time.perf_counter() - began)


def watch_identity(tokens: Tokens) -> None:
    """Have the number of keys and revocations read when somebody asks."""
    metrics.KEYS_KNOWN.set_function(lambda: len(tokens.keys.keys))
    metrics.REVOCATIONS.set_function(lambda: len(tokens.revocations))


def watch_redis_pool(redis: Redis) -> None:
    """Have the pool's connections read when somebody asks."""
    pool = redis.connection_pool

    def count(state: str) -> float:
        return float(sum(number for number, labels in pool.get_connection_count() if state in labels.values()))

    metrics.REDIS_POOL.labels("idle").set_function(lambda: count("idle"))
    metrics.REDIS_POOL.labels("used").set_function(lambda: count("used"))


class MongoCommands(monitoring.CommandListener):
    """Times MongoDB's commands, by group."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Nothing is known yet."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Observe its time."""
        metrics.MONGODB_SECONDS.labels(_group(event.command_name)).observe(event.duration_micros / 1e6)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Count it."""
        metrics.MONGODB_ERRORS.labels(_group(event.command_name)).inc()


class MongoPool(monitoring.ConnectionPoolListener):
    """Counts the connections of MongoDB's pools."""

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:  # noqa: ARG002 - the listener's signature
        """One more is open."""
        metrics.MONGODB_POOL.labels("open").inc()

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:  # noqa: ARG002
        """One less is."""
        metrics.MONGODB_POOL.labels("open").dec()

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:  # noqa: ARG002
        """One more is used."""
        metrics.MONGODB_POOL.labels("used").inc()

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:  # noqa: ARG002
        """One less is."""
        metrics.MONGODB_POOL.labels("used").dec()

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:  # noqa: ARG002
        """Nobody got one."""
        metrics.MONGODB_CHECKOUT_FAILURES.inc()

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        """Connections are what is counted."""

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        """Connections are what is counted."""

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        """Connections are what is counted."""

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        """Connections are what is counted."""

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        """It was counted when it was made."""

    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        """Its end is what is counted."""


def _group(command: str) -> str:
    name = command.lower()
    return name if name in COMMANDS else "other"
