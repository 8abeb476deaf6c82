"""The Python client against the platform: through links that break, refusals, and a room that was lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve

from shared.client.backoff import Backoff
from shared.client.connection import Listener, OwnClose, Patience, RefusedError, RoomConnection, State
from shared.client.outgoing import MAX_QUEUED, MessageRefusedError, Outgoing, QueueFullError
from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, Tier, Tokens
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.keys import log_key
from tests.chaos.loss.links import Links
from tests.support.addresses import port_of
from tests.support.room_client import guest, socket_url

IMPATIENT = Patience(first_s=0.02, longest_s=0.2)


class Record(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.offsets: list[int] = []
        self.gaps: list[m.Gap] = []
        self.states: list[State] = []
        self.messages: list[m.ServerMessage] = []

    def on_state(self, state: State) -> None:
        self.states.append(state)

    def on_event(self, offset: int, event: m.Event | None) -> None:
        self.offsets.append(offset)
        if isinstance(event, m.ChatEvent):
            self.texts.append(event.text)

    def on_gap(self, gap: m.Gap) -> None:
        self.gaps.append(gap)

    def on_message(self, message: m.ServerMessage) -> None:
        self.messages.append(message)


class Scene:
    """A room, and tokens for it."""

    def __init__(self, stack: LocalStack, room: str) -> None:
        self.stack = stack
        self.room = room
        self.url = socket_url(stack.url, room)
        self._tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))

    def token(
        self, name: str, *, tier: Tier = Tier.PREMIUM, lifetime_s: int = 60, grants: set[Grant] | None = None
    ) -> Callable[[], Awaitable[str]]:
        claims = Claims(
            sub=name.lower(),
            name=name,
            tier=tier,
            room=self.room,
            grants=frozenset(grants if grants is not None else {Grant.SUBSCRIBE, Grant.CHAT}),
        )

        async def give() -> str:
            return self._tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=lifetime_s)

        return give


@pytest_asyncio.fixture
async def scene(stack: LocalStack, http: httpx.AsyncClient) -> Scene:
    room, _ = await (await guest(http, "Owner")).create_room()
    return Scene(stack, room)


@asynccontextmanager
async def being(connection: RoomConnection) -> AsyncIterator[RoomConnection]:
    running = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_is_said_reaches_the_log_and_comes_back(scene: Scene) -> None:
    ana, bo = Record(), Record()
    async with (
        being(RoomConnection(scene.url, scene.token("Ana"), ana)) as talker,
        being(RoomConnection(scene.url, scene.token("Bo"), bo)),
    ):
        await until(lambda: State.JOINED in bo.states)
        offset = await asyncio.wait_for(talker.say("hello"), 10)
        await until(lambda: ana.texts == bo.texts == ["hello"])
        assert ana.offsets == bo.offsets == [offset]
        await asyncio.wait_for(talker.give("rose", 3), 10)
        assert await talker.send(m.React("👍", 1))
        assert talker.unsent == 0


async def test_over_links_that_break_everything_arrives_once_and_in_order(scene: Scene) -> None:
    rng = random.Random(7)
    ana, bo = Record(), Record()
    async with Links(port_of(scene.stack.url)) as links:
        url = socket_url(f"http://127.0.0.1:{links.port}", scene.room)
        async with (
            being(RoomConnection(url, scene.token("Ana"), ana, patience=IMPATIENT, rng=random.Random(1))) as talker,
            being(RoomConnection(url, scene.token("Bo"), bo, patience=IMPATIENT, rng=random.Random(2))),
        ):
            await until(lambda: State.JOINED in ana.states and State.JOINED in bo.states)
            said = [f"message {number}" for number in range(60)]
            sent = []
            for text in said:
                sent.append(talker.say(text))
                await asyncio.sleep(0.1)
                if rng.random() < 0.2:
                    links.cut(1.0, rng)
            offsets = await asyncio.wait_for(asyncio.gather(*sent), 30)
            await until(lambda: len(bo.texts) >= len(said) and len(ana.texts) >= len(said))
    assert ana.texts == bo.texts == said
    assert ana.offsets == bo.offsets == offsets == sorted(offsets)
    assert bo.states.count(State.JOINED) > 3
    assert bo.gaps == []


async def test_what_is_said_offline_is_sent_on_return(scene: Scene) -> None:
    record = Record()
    connection = RoomConnection(scene.url, scene.token("Ana"), record)
    sent = [connection.say(str(number)) for number in range(5)]
    assert not await connection.send(m.Typing())
    async with being(connection):
        await asyncio.wait_for(asyncio.gather(*sent), 10)
        await until(lambda: record.texts == ["0", "1", "2", "3", "4"])


async def test_a_refusal_for_now_keeps_the_order(scene: Scene) -> None:
    record = Record()
    said = [str(number) for number in range(25)]
    async with being(RoomConnection(scene.url, scene.token("Ana", tier=Tier.VIEWER), record)) as connection:
        await asyncio.wait_for(asyncio.gather(*(connection.say(text) for text in said)), 30)
        await until(lambda: record.texts == said)


async def test_a_refusal_for_good_is_told_to_whoever_said_it(scene: Scene) -> None:
    async with being(RoomConnection(scene.url, scene.token("Ana", grants={Grant.SUBSCRIBE}))) as connection:
        with pytest.raises(MessageRefusedError) as refused:
            await asyncio.wait_for(connection.say("may I?"), 10)
    assert refused.value.code == ErrorCode.FORBIDDEN


async def test_a_room_that_lost_its_log_says_so_and_goes_on(scene: Scene) -> None:
    record = Record()
    redis = connect_redis(scene.stack.redis_url)
    async with being(RoomConnection(scene.url, scene.token("Ana"), record)) as connection:
        await asyncio.wait_for(connection.say("before"), 10)
        await redis.delete(log_key(scene.room), log_key(scene.room).replace(":log", ":info"))
        await redis.aclose()
        await until(lambda: bool(record.gaps), 30)
        await asyncio.wait_for(connection.say("after"), 10)
        await until(lambda: record.texts[-1:] == ["after"])
        assert record.gaps[0].reason == "epoch"


async def test_an_expired_token_is_replaced(scene: Scene) -> None:
    tokens = [scene.token("Ana", lifetime_s=-3600), scene.token("Ana")]
    record = Record()

    async def next_token() -> str:
        return await tokens.pop(0)()

    connection = RoomConnection(scene.url, next_token, record, patience=IMPATIENT)
    connection._token = await next_token()  # one that was good once
    async with being(connection):
        await until(lambda: State.JOINED in record.states)
    assert tokens == []


async def test_there_is_no_way_into_a_room_that_is_not_there_or_not_allowed(scene: Scene) -> None:
    nowhere = RoomConnection(socket_url(scene.stack.url, "nonsense"), scene.token("Ana"))
    with pytest.raises(RefusedError) as refused:
        await asyncio.wait_for(nowhere.run(), 10)
    assert refused.value.code == CloseCode.ROOM_UNKNOWN
    with pytest.raises(RefusedError) as refused:
        await asyncio.wait_for(RoomConnection(scene.url, scene.token("Ana", grants=set())).run(), 10)
    assert refused.value.code == CloseCode.FORBIDDEN
    with pytest.raises(RefusedError) as refused:
        await asyncio.wait_for(RoomConnection(scene.url, scene.token("Ana", lifetime_s=-3600)).run(), 10)
    assert refused.value.code == CloseCode.UNAUTHORIZED


async def test_whoever_is_told_to_move_comes_back_and_resumes() -> None:
    joins: list[m.ClientMessage] = []
    codes: list[int | None] = []

    async def server(socket: ServerConnection) -> None:
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        joins.append(m.decode_client(frame))
        await socket.send(m.encode(m.Welcome("c", "ana", "Ana", "viewer", "e1", 41, False, 1, 20_000, "f")))
        if len(joins) == 1:
            event = m.encode(m.ChatEvent("bo", "Bo", 1, "hi"))
            await socket.send(m.events_frame([(42, event), (42, event)]))
            await socket.send(m.encode(m.Move(10)))
        await socket.wait_closed()
        codes.append(socket.close_code)

    record = Record()

    async def token() -> str:
        return "token"

    async with serve(server, "127.0.0.1", 0, subprotocols=[m.SUBPROTOCOL]) as listening:  # type: ignore[list-item]
        port = next(iter(listening.sockets)).getsockname()[1]
        async with being(RoomConnection(f"ws://127.0.0.1:{port}/", token, record)):
            await until(lambda: len(joins) == 2)
    assert joins == [m.Join("token"), m.Join("token", "e1", 42)]
    assert codes[0] == OwnClose.MOVING
    assert record.offsets == [42]


async def test_the_queue_is_bounded() -> None:
    outgoing = Outgoing()
    for number in range(MAX_QUEUED):
        outgoing.put(m.Chat(number, "x"))
    with pytest.raises(QueueFullError):
        outgoing.put(m.Chat(MAX_QUEUED, "x"))


def test_back_off_doubles_to_its_cap_with_full_jitter() -> None:
    backoff = Backoff(0.25, 10, random.Random(3))
    for ceiling in (0.25, 0.5, 1, 2, 4, 8, 10, 10):
        assert 0 <= backoff.next_s() <= ceiling
    backoff.reset()
    assert backoff.next_s() <= 0.25
