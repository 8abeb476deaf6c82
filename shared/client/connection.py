"""A participant's connection to one room: it comes back by itself, misses nothing and says nothing twice.

It follows SPEC.md beside `shared.protocol`: join, ping, resume at (epoch, offset), and what each close code asks for.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from shared.client.backoff import Backoff
from shared.client.outgoing import Outgoing
from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode

_OPEN_TIMEOUT_S: Final = 5.0
_JOIN_TIMEOUT_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 0.5
# Until the server has said how often.
_WAITING_PING_S: Final = 20.0
# How long after a ping is due its answer may take.
_PONG_WAIT_S: Final = 5.0
# A connection that dies sooner has not ended the trouble: its back-off goes on growing.
_STABLE_AFTER_S: Final = 5.0
_HANDSHAKE_FORBIDDEN: Final = 403

_FINAL: Final = frozenset({CloseCode.FORBIDDEN, CloseCode.DISPLACED, CloseCode.ROOM_UNKNOWN})


class State(StrEnum):
    """How a connection stands."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    """At the door of a room that somebody must open."""
    JOINED = "joined"
    AWAY = "away"


class RefusedError(Exception):
    """There is no way into the room, and trying again is of no use."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} (close code {code})")
        self.code = code


class OwnClose:
    """Codes that we close with: 1000 tells the server that the participant leaves, these that it comes back."""

    MOVING = 4000
    SILENT = 4001
    MALFORMED = 4002


class Listener:
    """Told what happens; override what is of interest. Called in the loop of `RoomConnection.run`, so be quick."""

    def on_state(self, state: State) -> None:
        """The connection changed."""

    def on_event(self, offset: int, event: m.Event | None) -> None:
        """An event of the room log, each once, in order; None: of a kind that is newer than this client."""

    def on_gap(self, gap: m.Gap) -> None:
        """Events before `gap.offset` are lost to this client."""

    def on_message(self, message: m.ServerMessage) -> None:
        """Whatever is not part of the log: welcome, viewer counts, reactions, answers to requests."""


class Patience(msgspec.Struct, frozen=True):
    """Seconds between attempts to come back: uniform in [0, ceiling), where the ceiling doubles."""

    first_s: float = 0.25
    longest_s: float = 10.0


class _Dropped(Exception):  # noqa: N818 - not an error: we let go of a socket
    def __init__(self, code: int, *, at_once: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.at_once = at_once


class RoomConnection:
    """Be in a room: `async with` it, or await `run` in a task of your own."""

    def __init__(
        self,
        url: str,
        token: Callable[[], Awaitable[str]],
        listener: Listener | None = None,
        *,
        patience: Patience | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`url` is that of the room's socket, `token` gives a room token, a new one each time that it is called."""
        self._url = url
        self._new_token = token
        self._token: str | None = None
        self._token_is_fresh = False
        self._listener = listener or Listener()
        self._rng = rng or random.Random()  # noqa: S311 - ids and delays, nothing secret
        patience = patience or Patience()
        self._backoff = Backoff(patience.first_s, patience.longest_s, self._rng)
        self._outgoing = Outgoing()
        self._socket: ClientConnection | None = None
        self._ping_s = _WAITING_PING_S
        self._retry_after_s = 0.0
        self._refusal = ""
        self._move_after: asyncio.Future[m.Move]
        self.state = State.CONNECTING
        self.epoch: str | None = None
        self.offset: int | None = None

    @property
    def unsent(self) -> int:
        """Messages that the room log does not have yet."""
        return len(self._outgoing)

    def say(self, text: str) -> asyncio.Future[int]:
        """Say something in the chat, now or when the connection is back. The result is its offset in the log.

        Raises:
            shared.client.outgoing.QueueFull: too much waits already.
        """
        return self._outgoing.put(m.Chat(self._rng.getrandbits(53), text))

    def give(self, gift: str, quantity: int = 1) -> asyncio.Future[int]:
        """Give a gift, once however often it has to be sent. As `say`."""
        return self._outgoing.put(m.Gift(self._rng.getrandbits(53), gift, quantity))

    async def send(self, message: m.ClientMessage) -> bool:
        """Send what is only good now, as a reaction or a request; False when the connection is away."""
        if self._socket is None or self.state is not State.JOINED:
            return False
        try:
            await self._socket.send(m.encode(message))
        except ConnectionClosed:
            return False
        return True

    async def run(self) -> None:
        """Be in the room until cancelled, which leaves it.

        Raises:
            RefusedError: banned, displaced by a newer connection of the same participant, no such room, or bad tokens.
        """
        while True:
            at_once = False
            try:
                await self._be_connected()
            except _Dropped as dropped:
                at_once = dropped.at_once
            except InvalidStatus as error:
                if error.response.status_code == _HANDSHAKE_FORBIDDEN:
                    raise RefusedError("there is no such room", CloseCode.ROOM_UNKNOWN) from None
            except ConnectionClosed as closed:
                self._closed(closed)
            except (OSError, TimeoutError, EOFError, WebSocketException):
                pass
            finally:
                self._socket = None
                self._enter(State.AWAY)
            if not at_once:
                await asyncio.sleep(max(self._backoff.next_s(), self._retry_after_s))
            self._retry_after_s = 0.0

    async def _be_connected(self) -> None:
        if self._token is None:
            self._token, self._token_is_fresh = await self._new_token(), True
        self._enter(State.CONNECTING)
        async with connect(
            self._url,
            subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item] # its own NewType of str
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=None,  # the protocol has pings of its own
            compression=None,
            max_size=None,
        ) as socket:
            self._socket = socket
            self._ping_s = _WAITING_PING_S
            self._move_after = asyncio.get_running_loop().create_future()
            offset = self.offset if self.epoch is not None else None
            await socket.send(m.encode(m.Join(self._token, self.epoch if offset is not None else None, offset)))
            works = self._listen(socket), self._talk(socket), self._ping(socket), self._move()
            tasks = [asyncio.create_task(work) for work in works]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                # What the server said last is in its close, not in what failed to be sent after it.
                await (tasks[0] if tasks[0] in done else next(iter(done)))
            except _Dropped as dropped:
                await socket.close(dropped.code)
                raise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, socket: ClientConnection) -> None:
        while True:
            try:
                async with asyncio.timeout(self._silence_s()):
                    frame = await socket.recv()
            except TimeoutError:
                raise _Dropped(OwnClose.SILENT) from None
            try:
                message = m.decode_server(frame) if isinstance(frame, bytes) else None
            except msgspec.DecodeError:
                # It may have held events: resuming from the last good offset brings them again.
                raise _Dropped(OwnClose.MALFORMED) from None
            if message is not None:
                self._take(message)

    async def _move(self) -> None:
        await asyncio.sleep((await self._move_after).delay_ms / 1000)
        raise _Dropped(OwnClose.MOVING, at_once=True)

    def _silence_s(self) -> float:
        return _JOIN_TIMEOUT_S if self.state is State.CONNECTING else self._ping_s + _PONG_WAIT_S

    async def _talk(self, socket: ClientConnection) -> None:
        while True:
            message = await self._outgoing.next()
            while self.state is not State.JOINED:  # noqa: ASYNC110 - short, and once per connection
                await asyncio.sleep(0.01)
            await socket.send(m.encode(message))
            try:
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    wait_s = await self._outgoing.settled()
            except TimeoutError:
                raise _Dropped(OwnClose.SILENT) from None
            if wait_s:
                await asyncio.sleep(wait_s)

    async def _ping(self, socket: ClientConnection) -> None:
        nonce = 0
        while True:
            await asyncio.sleep(self._ping_s)
            nonce += 1
            await socket.send(m.encode(m.Ping(nonce)))

    def _take(self, message: m.ServerMessage) -> None:
        match message:
            case m.Welcome():
                self._welcomed(message)
            case m.Events():
                self._keep(message)
                return
            case m.Gap():
                if message.reason == "epoch":
                    # Another epoch counts its own offsets; the old one must not hide its events.
                    self.offset = None
                self.epoch = message.epoch
                self._listener.on_gap(message)
                return
            case m.Move() if not self._move_after.done():
                self._move_after.set_result(message)
            case m.Waiting():
                self._enter(State.WAITING)
            case m.Sent() | m.Error() if self._outgoing.answered(message):
                return
            case m.Error():
                self._refused(message)
        self._listener.on_message(message)

    def _refused(self, error: m.Error) -> None:
        self._refusal = error.message
        if self.state is not State.JOINED or error.code == ErrorCode.BACKED_OFF:
            self._retry_after_s = (error.retry_after_ms or 0) / 1000

    def _welcomed(self, welcome: m.Welcome) -> None:
        if self.epoch is not None and self.epoch != welcome.epoch:
            self.offset = None
        self.epoch = welcome.epoch
        if welcome.offset == 0 and self.offset is None:
            # The log is empty: whatever comes into it while this client is away comes after offset 0.
            self.offset = 0
        self._ping_s = welcome.ping_ms / 1000
        self._token_is_fresh = False
        self._enter(State.JOINED)
        socket = self._socket
        loop = asyncio.get_running_loop()
        loop.call_later(_STABLE_AFTER_S, lambda: self._backoff.reset() if self._socket is socket else None)

    def _keep(self, batch: m.Events) -> None:
        for delta, raw in batch.events:
            offset = batch.base + delta
            if self.offset is not None and offset <= self.offset:
                continue
            self.offset = offset
            event: m.Event | None = None
            with suppress(msgspec.DecodeError):
                event = m.decode_event(raw)
            self._listener.on_event(offset, event)

    def _closed(self, closed: ConnectionClosed) -> None:
        code = closed.rcvd.code if closed.rcvd else 0
        if code in _FINAL:
            raise RefusedError(self._refusal or CloseCode(code).name.lower(), code) from None
        if code == CloseCode.UNAUTHORIZED:
            if self._token_is_fresh:
                raise RefusedError(self._refusal or "the token is refused", code) from None
            self._token = None

    def _enter(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._listener.on_state(state)
