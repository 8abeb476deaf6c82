"""History over HTTP: MongoDB and the live log as if they were one."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from shared.protocol.messages import ChatEvent, GiftEvent
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, Tokens
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.control import Change, RoomControl
from shared.state.keys import log_key
from shared.state.log_script import Bounds
from shared.state.rooms import RoomLog, Submission
from tests.support.room_client import guest

# As the functions have it, but cut much sooner: so most of a history is in MongoDB alone.
SHORT = Bounds(events=50)


@pytest_asyncio.fixture
async def valkey(stack: LocalStack) -> AsyncIterator[Redis]:
    client = connect_redis(stack.redis_url)
    yield client
    await client.aclose()


class History:
    """Somebody who reads a room's history."""

    def __init__(self, http: httpx.AsyncClient, room: str, token: str) -> None:
        self.http, self.room, self.token = http, room, token

    async def page(self, **query: object) -> dict[str, object]:
        response = await self.raw(**query)
        while response.status_code == 429:
            # Whoever reads as fast as a test does is told to wait.
            await asyncio.sleep(float(response.headers["retry-after"]))
            response = await self.raw(**query)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def raw(self, **query: object) -> httpx.Response:
        params = {name: str(value) for name, value in query.items()}
        headers = {"authorization": f"Bearer {self.token}"}
        return await self.http.get(f"/v1/rooms/{self.room}/messages", params=params, headers=headers)

    async def forward(self, limit: int) -> list[int]:
        """All offsets, read from the start."""
        found: list[int] = []
        after, more = 0, True
        while more:
            page = await self.page(after=after, limit=limit)
            found += [message["offset"] for message in page["messages"]]  # type: ignore[attr-defined]
            after, more = page["last"] or after, bool(page["more"])  # type: ignore[assignment]
        return found

    async def backward(self, limit: int) -> list[int]:
        """All offsets, read from the end."""
        found: list[int] = []
        before, more = 2**53 - 1, True
        while more:
            page = await self.page(before=before, limit=limit)
            found = [message["offset"] for message in page["messages"]] + found  # type: ignore[attr-defined]
            before, more = page["first"] or before, bool(page["more"])  # type: ignore[assignment]
        return found


@pytest_asyncio.fixture
async def history(http: httpx.AsyncClient) -> History:
    ana = await guest(http, "Ana")
    return History(http, *await ana.create_room())


async def _say(log: RoomLog, room: str, first: int, count: int) -> list[int]:
    events = [Submission(ChatEvent("p1", "Ana", n, f"m{n}"), 1_000_000) for n in range(first, first + count)]
    return [result.value for result in await log.append(room, events)]


async def test_history_has_no_seam_where_the_log_was_cut(history: History, valkey: Redis) -> None:
    log = RoomLog(valkey, SHORT)
    offsets = await _say(log, history.room, 0, 400)
    async with asyncio.timeout(20):
        while await valkey.xlen(log_key(history.room)) > 160:
            await asyncio.sleep(0.2)
            offsets += await _say(log, history.room, len(offsets), 1)
    offsets += await _say(log, history.room, len(offsets), 20)
    assert (await log.page(history.room, limit=1)).entries[0][0] > offsets[200]
    for limit in (7, 200):
        assert await history.forward(limit) == offsets
        assert await history.backward(limit) == offsets


async def test_reading_while_others_write_and_the_archive_moves_on_misses_nothing(
    history: History, valkey: Redis
) -> None:
    log = RoomLog(valkey, SHORT)
    offsets: list[int] = []

    async def write() -> None:
        for batch in range(40):
            offsets.extend(await _say(log, history.room, batch * 20, 20))
            await asyncio.sleep(0.05)

    writing = asyncio.create_task(write())
    passes = 0
    while not writing.done():
        known = len(offsets)
        found = await history.forward(50)
        assert found == sorted(set(found))
        assert found[:known] == offsets[:known]
        passes += 1
    await writing
    assert await history.forward(200) == offsets
    assert passes > 3


async def test_deleted_messages_are_hidden_at_once_and_for_good(history: History, valkey: Redis) -> None:
    log = RoomLog(valkey)
    offsets = await _say(log, history.room, 0, 5)
    await RoomControl(valkey).delete(history.room, offsets[2])
    expected = offsets[:2] + offsets[3:]
    assert await history.forward(50) == expected
    await asyncio.sleep(1.5)
    assert await history.forward(50) == expected
    # Without the log, MongoDB alone knows it too.
    await valkey.delete(log_key(history.room), f"room:{{{history.room}}}:deleted")
    assert await history.forward(2) == expected


async def test_events_are_shown_by_kind_with_their_fields(history: History, valkey: Redis) -> None:
    log = RoomLog(valkey)
    await log.append(history.room, [Submission(ChatEvent("p1", "Ana", 1, "hé"), 5)])
    await log.append(history.room, [Submission(GiftEvent("p1", "Ana", 2, "rose", 3), 5)])
    await RoomControl(valkey).configure(history.room, Change(slow_mode_s=5))
    page = await history.page()
    messages: list[dict[str, object]] = page["messages"]  # type: ignore[assignment]
    assert [message["kind"] for message in messages] == ["chat", "gift", "settings"]
    assert messages[0]["fields"] == {"sender": "p1", "name": "Ana", "message_id": 1, "text": "hé"}
    assert page["more"] is False


async def test_the_history_of_a_silent_room_is_an_empty_page(history: History) -> None:
    assert await history.page() == {"messages": [], "first": None, "last": None, "more": False}


@pytest.mark.parametrize(
    "query",
    [
        {"after": "x"},
        {"after": "-1"},
        {"after": "1_0"},
        {"after": "\u0663"},
        {"before": "1.5"},
        {"before": str(2**53)},
        {"before": "9" * 40},
        {"after": 5, "before": 5},
        {"limit": 0},
        {"limit": 201},
        {"limit": ""},
    ],
)
async def test_a_bad_cursor_is_a_problem(history: History, query: dict[str, object]) -> None:
    response = await history.raw(**query)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "cursor_invalid"
    assert response.json()["detail"]


async def test_history_needs_a_token_of_the_room_with_subscribe(history: History, stack: LocalStack) -> None:
    tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))

    def token(room: str, grant: Grant) -> str:
        claims = Claims(sub="p1", room=room, grants=frozenset({grant}))
        return tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=60)

    for given, status in (
        (token(history.room, Grant.SUBSCRIBE), 200),
        (token(history.room, Grant.PUBLISH), 403),
        (token("aaaaaaaaaa", Grant.SUBSCRIBE), 403),
        ("nonsense", 401),
    ):
        history.token = given
        assert (await history.raw()).status_code == status
    history.room = "nonsense"
    assert (await history.raw()).status_code == 404
