"""Steady load: so many rooms at any time, each for a while with people who talk, then ended and another one opened.

Some of them are live all that while: their owner publishes, and some of the people watch.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import httpx
import msgspec
from websockets.exceptions import WebSocketException

from shared.stack.stack import LocalStack
from tests.bench.live import published, watched
from tests.support.addresses import somebody
from tests.support.room_client import Person, RoomClient, joined

_AGAIN_S: Final = 1.0
_HURRY: Final = 0.1
# Nobody sees anything in less.
_LEAST_WATCHED_S: Final = 2.0
# The owner ends the room with the identity that they opened it with, which is good for a quarter of an hour.
_LONGEST_S: Final = 600.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much: rooms at a time, people in each, messages a second of each, and a room's mean life in seconds.

    `live` of the rooms are published to, and in each of these `watching` people watch besides the others. For the first
    `hurried_s` seconds rooms live a tenth as long: allocators and pools find their size as people come and go.
    """

    rooms: int
    people: int
    live: int = 0
    watching: int = 2
    per_second: float
    room_s: float
    hurried_s: float = 0.0
    seed: int = 1


class Crowd:
    """Keeps the load up while `run` is awaited. `done` counts what happened, `wrong` what should not have."""

    def __init__(self, stack: LocalStack, plan: Plan) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self._stack = stack
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._persons = 0
        self._began = time.monotonic()

    async def run(self, http: httpx.AsyncClient) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._plan.rooms):
                tasks.create_task(self._rooms(http, live=number < self._plan.live))

    async def _rooms(self, http: httpx.AsyncClient, *, live: bool) -> None:
        while True:
            try:
                await self._room(http, live=live)
            except* (AssertionError, httpx.HTTPError, OSError, TimeoutError, WebSocketException) as errors:
                for error in _leaves(errors):
                    self.wrong[f"{type(error).__name__}: {error}"[:200]] += 1
                await asyncio.sleep(_AGAIN_S)

    async def _room(self, http: httpx.AsyncClient, *, live: bool) -> None:
        # Nobody may make many rooms: each has an owner of its own, at an address of their own.
        owner = await self._person(http)
        room, token = await owner.create_room("Soak")
        self.done["rooms_opened"] += 1
        lives_s = min(self._random.expovariate(1 / self._plan.room_s), _LONGEST_S)
        if time.monotonic() - self._began < self._plan.hurried_s:
            lives_s *= _HURRY
        # A plain gather would leave people behind in a room where one of them failed.
        async with asyncio.TaskGroup() as people:
            people.create_task(self._attend(room, token, lives_s))
            for _ in range(self._plan.people - 1):
                visitor = await self._person(http)
                people.create_task(self._attend(room, await visitor.room_token(room), lives_s))
            if live:
                people.create_task(self._stream(http, room, token, lives_s))
        ended = await http.delete(f"/v1/rooms/{room}", headers=owner.headers)
        assert ended.status_code in {200, 204}, ended.text
        self.done["rooms_closed"] += 1

    async def _stream(self, http: httpx.AsyncClient, room: str, token: str, seconds: float) -> None:
        async with published(http, room, token), asyncio.TaskGroup() as people:
            self.done["streams"] += 1
            for _ in range(self._plan.watching):
                people.create_task(self._watch(http, room, seconds))

    async def _watch(self, http: httpx.AsyncClient, room: str, seconds: float) -> None:
        viewer = await self._person(http)
        packets = await watched(http, room, await viewer.room_token(room), max(seconds, _LEAST_WATCHED_S))
        self.done["watched"] += 1
        self.done["packets_watched"] += packets
        if not packets:
            self.wrong["watched and saw nothing"] += 1

    async def _person(self, http: httpx.AsyncClient) -> Person:
        self._persons += 1
        body, headers = {"name": f"Guest {self._persons}"}, {"x-forwarded-for": somebody(self._persons)}
        response = await http.post("/v1/guests", json=body, headers=headers)
        assert response.status_code == 201, response.text
        self.done["guests"] += 1
        return Person(http, response.json()["token"], response.json()["participant"]["id"])

    async def _attend(self, room: str, token: str, seconds: float) -> None:
        async with joined(self._stack.url, room, token) as client:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while True:
                        await asyncio.sleep(self._random.expovariate(self._plan.per_second))
                        await client.say(f"message {self.done['messages']}")
                        self.done["messages"] += 1
            self._account(client)

    def _account(self, client: RoomClient) -> None:
        offsets = [offset for offset, _ in client.events]
        self.done["deliveries"] += len(offsets)
        if offsets != sorted(set(offsets)):
            self.wrong["doubled or out of order"] += 1


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
