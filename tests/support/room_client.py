"""A participant for tests: speaks sub-protocol headrace.1 over a real socket and keeps everything it was told."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from shared.protocol import messages as m

M = TypeVar("M", bound=m.ServerMessage)
TIMEOUT_S = 10.0


class RoomClient:
    """An open, joined socket. `received` has every message, `chats` the chat events as (offset, event)."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.received: list[m.ServerMessage] = []
        self.events: list[tuple[int, m.Event]] = []
        self.welcome: m.Welcome | None = None
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def chats(self) -> list[tuple[int, m.ChatEvent]]:
        return [(offset, event) for offset, event in self.events if isinstance(event, m.ChatEvent)]

    @property
    def offset(self) -> int:
        assert self.welcome is not None
        return self.events[-1][0] if self.events else self.welcome.offset

    async def send(self, message: m.ClientMessage) -> None:
        await self.socket.send(m.encode(message))

    async def say(self, text: str, message_id: int | None = None) -> m.Sent:
        """Send a chat message and wait for its acknowledgement."""
        number = random.getrandbits(53) if message_id is None else message_id
        await self.send(m.Chat(number, text))
        return await self.expect(m.Sent, lambda sent: sent.message_id == number)

    async def expect(self, kind: type[M], matches: Callable[[M], bool] = lambda _: True) -> M:
        """The first message of that kind that matches, waited for if need be."""

        def found() -> M | None:
            return next((x for x in self.received if isinstance(x, kind) and matches(x)), None)

        async with asyncio.timeout(TIMEOUT_S), self._news:
            await self._news.wait_for(lambda: found() is not None)
        message = found()
        assert message is not None
        return message

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition over what was received holds."""
        async with asyncio.timeout(TIMEOUT_S), self._news:
            await self._news.wait_for(condition)

    async def close(self) -> None:
        await self.socket.close()
        await self._reader

    async def _read(self) -> None:
        while True:
            try:
                frame = await self.socket.recv()
            except ConnectionClosed:
                return
            assert isinstance(frame, bytes)
            message = m.decode_server(frame)
            async with self._news:
                self.received.append(message)
                if isinstance(message, m.Welcome):
                    self.welcome = message
                elif isinstance(message, m.Events):
                    self.events += [(message.base + delta, m.decode_event(raw)) for delta, raw in message.events]
                self._news.notify_all()


@asynccontextmanager
async def joined(
    url: str, room: str, token: str, *, epoch: str | None = None, offset: int | None = None
) -> AsyncIterator[RoomClient]:
    """A client that has joined the room at the function process of that HTTP URL."""
    async with connect(socket_url(url, room), subprotocols=[m.SUBPROTOCOL]) as socket:  # type: ignore[list-item]
        client = RoomClient(socket)
        await client.send(m.Join(token, epoch, offset))
        await client.expect(m.Welcome)
        try:
            yield client
        finally:
            await client.close()


def socket_url(url: str, room: str) -> str:
    return url.replace("http", "ws", 1) + f"/v1/rooms/{room}/socket"


class Person:
    """Somebody with an identity, at one function process."""

    def __init__(self, http: httpx.AsyncClient, token: str, participant: str) -> None:
        self.http = http
        self.token = token
        self.id = participant

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def create_room(self, title: str = "A room") -> tuple[str, str]:
        """(room id, the owner's room token)."""
        response = await self.http.post("/v1/rooms", json={"title": title}, headers=self.headers)
        assert response.status_code == 201, response.text
        return response.json()["room"]["id"], response.json()["token"]

    async def room_token(self, room: str, kind: str = "participant") -> str:
        response = await self.http.post(f"/v1/rooms/{room}/tokens", json={"kind": kind}, headers=self.headers)
        assert response.status_code == 201, response.text
        return str(response.json()["token"])


async def guest(http: httpx.AsyncClient, name: str) -> Person:
    response = await http.post("/v1/guests", json={"name": name})
    assert response.status_code == 201, response.text
    return Person(http, response.json()["token"], response.json()["participant"]["id"])
