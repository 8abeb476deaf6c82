"""What functions tell each other about a room over sharded pub/sub: commands and ephemeral traffic, all safe to miss.

A subscription can go silent without an error, on a link that is half open. So this process also listens to itself: a
heartbeat that does not come back in time means a new connection.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from shared.state.commands import Command, command_channel, decode_command
from shared.state.keys import room_keys
from shared.state.qualities import quality_channel

HEARTBEAT_S = 3.0
SILENT_S = 10.0
POLL_S = 0.1
RETRY_S = 0.5

OnCommand = Callable[[str, Command], None]
OnData = Callable[[str, bytes], None]

log = get_logger(__name__)


def ephemeral_channel(room: str) -> str:
    """The channel of a room's ephemeral traffic."""
    return room_keys(room, "ephemeral")[0]


class Bus:
    """One per process. `rooms` says which rooms matter here; it is asked every `POLL_S`."""

    def __init__(
        self,
        redis: Redis,
        instance: str,
        *,
        rooms: Callable[[], Iterable[str]],
        on_command: OnCommand,
        on_ephemeral: OnData,
        on_qualities: OnData,
    ) -> None:
        self._redis = redis
        self._heartbeat = f"process:{{{instance}}}:heartbeat"
        self._rooms = rooms
        self._on_command = on_command
        self._on_ephemeral = on_ephemeral
        self._on_qualities = on_qualities
        self._heard_at = 0.0
        self.recoveries = 0

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen_for_ever(), name="bus-listen")
            tasks.create_task(self._beat(), name="bus-heartbeat")

    async def _beat(self) -> None:
        while True:
            try:
                await self._redis.execute_command("SPUBLISH", self._heartbeat, b"")  # type: ignore[no-untyped-call]
            except (RedisError, OSError):
                # Listening notices as well, and says so.
                metrics.BUS_ERRORS.inc()
            await asyncio.sleep(HEARTBEAT_S)

    async def _listen_for_ever(self) -> None:
        while True:
            pubsub = self._redis.pubsub()
            try:
                await self._listen(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                self.recoveries += 1
                metrics.BUS_ERRORS.inc()
                log.warning("bus_interrupted", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, pubsub: Any) -> None:  # noqa: ANN401 - redis-py leaves it untyped
        """Keep the subscriptions as they should be, and hand on what comes.

        Raises:
            TimeoutError: not even our own heartbeat comes any more.
        """
        await pubsub.ssubscribe(self._heartbeat)
        followed: dict[str, tuple[str, OnData]] = {}
        subscribed: set[str] = set()
        self._heard_at = time.monotonic()
        while True:
            wanted = set(self._rooms())
            for room in wanted - subscribed:
                channels = self._channels(room)
                followed |= {channel: (room, hear) for channel, hear in channels.items()}
                await pubsub.ssubscribe(*channels)
            for room in subscribed - wanted:
                channels = self._channels(room)
                for channel in channels:
                    followed.pop(channel, None)
                await pubsub.sunsubscribe(*channels)
            subscribed = wanted
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=POLL_S)
            if message is not None:
                self._heard_at = time.monotonic()
                if (source := followed.get(message["channel"].decode())) is not None:
                    room, hear = source
                    hear(room, message["data"])
            elif time.monotonic() - self._heard_at > SILENT_S:
                raise TimeoutError

    def _channels(self, room: str) -> dict[str, OnData]:
        """The channels of a room, and who hears what comes over them."""
        return {
            command_channel(room): self._hear_command,
            ephemeral_channel(room): self._on_ephemeral,
            quality_channel(room): self._on_qualities,
        }

    def _hear_command(self, room: str, data: bytes) -> None:
        if (command := decode_command(data)) is not None:
            self._on_command(room, command)
