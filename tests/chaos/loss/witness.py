"""A participant who talks, listens, comes back whenever the link breaks, and keeps a record of everything.

It follows SPEC.md as a client must, and shares no code with the clients of the product: what those get wrong it sees.
"""

import asyncio
import random
import time
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode
from tests.support.room_client import socket_url

_OPEN_TIMEOUT_S: Final = 3.0
# Links go silent in these tests, so a witness is less patient than SPEC.md has clients be.
_PING_S: Final = 1.0
_SILENCE_S: Final = 3.5
_ANSWER_S: Final = 3.0
_AGAIN_S: Final = 0.02
_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 1.5
_AGAIN: Final = frozenset(
    {ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED, ErrorCode.BACKED_OFF, ErrorCode.TOO_MANY_CONNECTIONS}
)


class Received(NamedTuple):
    """An event as a client kept it."""

    offset: int
    sender: str
    message_id: int
    text: str


class Announced(NamedTuple):
    """What a gap frame said is lost to this client: what lies between."""

    reason: str
    after: int
    before: int


class Said(msgspec.Struct):
    """A message and what became of it: `offset` is that of its acknowledgement."""

    message_id: int
    text: str
    offset: int | None = None
    took_s: float = 0.0


class Witness:
    """One identity. `run` until cancelled; `talk` until told to stop."""

    def __init__(self, name: str, *, url: str, room: str, token: str, rng: random.Random) -> None:
        self.name = name
        self.said: list[Said] = []
        self.received: list[Received] = []
        self.announced: list[Announced] = []
        self.repeats = 0
        self.connections = 0
        self.refusals: list[str] = []
        self.offset = 0
        self.silent_s = 0.0  # the longest time without an event; whoever reads it may begin it anew
        self.heard_at = time.monotonic()
        self._url = url
        self._room = room
        self._token = token
        self._rng = rng
        self._epoch: str | None = None
        self._socket: ClientConnection | None = None
        self._joined = asyncio.Event()
        self._moving: asyncio.TimerHandle | None = None
        self._waiting: dict[int, asyncio.Future[m.Sent | m.Error | None]] = {}

    async def run(self) -> None:
        """Be in the room, for ever."""
        backoff_s = _BACKOFF_FIRST_S
        while True:
            before = self.connections
            with suppress(OSError, TimeoutError, WebSocketException, EOFError):
                async with connect(
                    socket_url(self._url, self._room),
                    subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
                    open_timeout=_OPEN_TIMEOUT_S,
                    close_timeout=0.2,
                    ping_interval=None,
                    max_size=None,
                    proxy=None,
                ) as socket:
                    try:
                        await self._be_in_room(socket)
                    finally:
                        self._leave()
            backoff_s = _BACKOFF_FIRST_S if self.connections > before else min(_BACKOFF_MAX_S, backoff_s * 2)
            await asyncio.sleep(self._rng.uniform(backoff_s / 2, backoff_s))

    async def talk(self, per_second: float, stop: asyncio.Event) -> None:
        """Say one thing after another, each until it is acknowledged, so that their order is known."""
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rng.uniform(0.5, 1.5) / per_second):
                    await stop.wait()
                    return
            said = Said(self._rng.getrandbits(53), f"{self.name} {len(self.said)}")
            self.said.append(said)
            began = time.monotonic()
            said.offset = await self._acknowledged(said)
            said.took_s = time.monotonic() - began

    async def _acknowledged(self, said: Said) -> int | None:
        """Send until there is an answer that settles it: under the same id that is harmless."""
        while True:
            await self._joined.wait()
            answer = await self._answer(said)
            if isinstance(answer, m.Sent):
                return answer.offset
            if isinstance(answer, m.Error):
                if answer.code not in _AGAIN:
                    self.refusals.append(f"{answer.code} {answer.message}")
                    return None
                await asyncio.sleep((answer.retry_after_ms or 100) / 1000)

    async def _answer(self, said: Said) -> m.Sent | m.Error | None:
        waiting: asyncio.Future[m.Sent | m.Error | None] = asyncio.get_running_loop().create_future()
        self._waiting[said.message_id] = waiting
        try:
            assert self._socket is not None
            async with asyncio.timeout(_ANSWER_S):
                await self._socket.send(m.encode(m.Chat(said.message_id, said.text)))
                return await waiting
        except (OSError, TimeoutError, WebSocketException):
            # Sending on a socket that has just gone fails at once: let its reader notice before it is tried again.
            await asyncio.sleep(_AGAIN_S)
            return None
        finally:
            del self._waiting[said.message_id]

    async def _be_in_room(self, socket: ClientConnection) -> None:
        await socket.send(m.encode(m.Join(self._token, self._epoch, self.offset if self._epoch else None)))
        pinging = asyncio.create_task(_ping(socket))
        try:
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    frame = await socket.recv()
                assert isinstance(frame, bytes)
                self._take(socket, m.decode_server(frame))
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)

    def _take(self, socket: ClientConnection, message: m.ServerMessage) -> None:
        match message:
            case m.Welcome():
                self._epoch = message.epoch
                self._socket = socket
                self.connections += 1
                self._joined.set()
            case m.Events():
                self._keep(message)
            case m.Gap():
                self._epoch = message.epoch
                self.announced.append(Announced(message.reason, self.offset, message.offset))
            case m.Sent():
                self._settle(message.message_id, message)
            case m.Move():
                self._moving = asyncio.get_running_loop().call_later(message.delay_ms / 1000, socket.transport.close)
            case m.Error():
                if message.reference is None:
                    self.refusals.append(f"{message.code} {message.message}")
                else:
                    self._settle(message.reference, message)
            case _:
                pass

    def _keep(self, batch: m.Events) -> None:
        now = time.monotonic()
        self.silent_s, self.heard_at = max(self.silent_s, now - self.heard_at), now
        for delta, raw in batch.events:
            offset = batch.base + delta
            if offset <= self.offset:
                # SPEC.md has clients ignore it, and the server avoid it.
                self.repeats += 1
                continue
            self.offset = offset
            event = m.decode_event(raw)
            if isinstance(event, m.ChatEvent):
                self.received.append(Received(offset, event.sender, event.message_id, event.text))

    def _settle(self, message_id: int, answer: m.Sent | m.Error) -> None:
        waiting = self._waiting.get(message_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _leave(self) -> None:
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None
        self._joined.clear()
        self._socket = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)


async def _ping(socket: ClientConnection) -> None:
    with suppress(OSError, WebSocketException):
        while True:
            await asyncio.sleep(_PING_S)
            await socket.send(m.encode(m.Ping(0)))
