"""People who only listen, in numbers: for storms of reconnections and for joins in a spike."""

import asyncio
import os
from contextlib import suppress
from typing import Final, Self

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from shared.protocol import messages as m
from shared.security.tokens import Grant, Tier
from shared.tasks import end
from tests.chaos.loss.scenario import room_tokens, until
from tests.chaos.table.ground import Ground
from tests.support.addresses import somebody
from tests.support.room_client import socket_url

_STORM_S: Final = 60.0
_WELCOME: Final = 33  # shared/protocol/SPEC.md, section 4


class Crowd:
    """People who only listen, each over a socket of their own, and come back when it breaks; left at the exit."""

    def __init__(self, ground: Ground) -> None:
        stage = ground.stage
        self._url = f"http://127.0.0.1:{stage.clients.port}"
        self._room = stage.room
        self._rng = ground.rng
        self._joined = 0
        self._count = ground.storm
        names = [f"crowd-{os.getpid()}-{ground.rng.getrandbits(40)}" for _ in range(self._count)]
        self._tokens = room_tokens(stage.stack, self._room, names, tier=Tier.VIEWER, grants=[Grant.SUBSCRIBE])
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._attend(token, somebody(number))) for number, token in enumerate(self._tokens)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(*self._tasks)

    def come_back(self) -> None:
        """Begin to count anew: those who were there have just been cut off."""
        self._joined = 0

    async def all_joined(self) -> None:
        """Wait until as many have joined as there are, since the last `come_back`."""
        await until(lambda: self._joined >= self._count, seconds=_STORM_S)

    async def _attend(self, token: str, address: str) -> None:
        while True:
            with suppress(OSError, TimeoutError, WebSocketException, EOFError):
                async with connect(
                    socket_url(self._url, self._room),
                    subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
                    additional_headers={"x-forwarded-for": address},
                    open_timeout=20.0,
                    close_timeout=0.2,
                    ping_interval=None,
                    compression=None,
                    proxy=None,
                ) as one:
                    await one.send(m.encode(m.Join(token, None, None)))
                    async for frame in one:
                        # The kind is the second byte of a frame: who decodes all that a crowd hears hears nothing else.
                        if isinstance(frame, bytes) and frame[1] == _WELCOME:
                            self._joined += 1
            await asyncio.sleep(self._rng.uniform(0.1, 1.5))
