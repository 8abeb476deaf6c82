"""People who only listen, in numbers: for storms of reconnections and for joins in a spike."""

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from shared.protocol import messages as m
from shared.security.tokens import Grant, Tier
from shared.tasks import end
from tests.chaos.loss.scenario import room_tokens, until
from tests.chaos.table.ground import Ground
from tests.support.addresses import somebody
from tests.support.room_client import socket_url

_STORM_S: Final = 60.0
# All share one process, while people have a machine each: with more connections under way than it can carry, none comes
# to its end before the server gives it up.
_AT_ONCE: Final = 100
# shared/protocol/SPEC.md, section 4
_WELCOME: Final = 33
_ERROR: Final = 38


class Crowd:
    """People who only listen, each over a socket of their own, and come back when it breaks; left at the exit."""

    def __init__(self, ground: Ground) -> None:
        stage = ground.stage
        self._url = f"http://127.0.0.1:{stage.clients.port}"
        self._room = stage.room
        self._rng = ground.rng
        self._joined = 0
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._instead: Counter[str] = Counter()
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
        self._instead.clear()

    async def all_joined(self) -> None:
        """Wait until as many have joined as there are, since the last `come_back`.

        Raises:
            TimeoutError: some have not; the text says what they were told instead.
        """
        try:
            await until(lambda: self._joined >= self._count, seconds=_STORM_S)
        except TimeoutError:
            raise TimeoutError(f"{self._joined} of {self._count} joined; else: {dict(self._instead)}") from None

    async def _attend(self, token: str, address: str) -> None:
        while True:
            try:
                async with AsyncExitStack() as stack:
                    async with self._turn:
                        one = await stack.enter_async_context(self._connection(address))
                        await one.send(m.encode(m.Join(token, None, None)))
                        await self._welcomed(one)
                    self._joined += 1
                    await _listen(one)
            except (OSError, TimeoutError, WebSocketException, EOFError) as error:
                self._instead[f"{type(error).__name__}: {error}"[:100]] += 1
            await asyncio.sleep(self._rng.uniform(0.1, 1.5))

    def _connection(self, address: str) -> connect:
        return connect(
            socket_url(self._url, self._room),
            subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers={"x-forwarded-for": address},
            open_timeout=20.0,
            close_timeout=0.2,
            ping_interval=None,
            compression=None,
            proxy=None,
        )

    async def _welcomed(self, one: ClientConnection) -> None:
        """Wait until the room has let us in; the connection may end before that."""
        while True:
            frame = await one.recv()
            # The kind is the second byte of a frame.
            if isinstance(frame, bytes) and frame[1] == _WELCOME:
                return
            if isinstance(frame, bytes) and frame[1] == _ERROR:
                self._instead[str(m.decode_server(frame))[:160]] += 1


async def _listen(one: ClientConnection) -> None:
    """Hear until the connection ends. Nothing is decoded: who decodes all that a crowd hears does nothing else."""
    deaf = _Deaf()
    one.transport.set_protocol(deaf)
    # The client stops reading when more comes at once than is asked for; who does not read sees no end either.
    one.transport.resume_reading()
    try:
        await deaf.ended.wait()
    finally:
        one.transport.abort()
        one.connection_lost(None)


class _Deaf(asyncio.Protocol):
    """Takes what comes, and says when nothing more does."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def connection_lost(self, _error: Exception | None) -> None:
        self.ended.set()
