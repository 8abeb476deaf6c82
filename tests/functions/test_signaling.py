import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_IDENTITY, AUDIENCE_ROOM, Claims, Grant, Tier, Tokens
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.rooms import RoomLog, Submission
from tests.support.room_client import RoomClient, guest, joined, socket_url

PROTOCOLS: list[Any] = [m.SUBPROTOCOL]


class Scene(msgspec.Struct):
    """A room with its owner's and a viewer's token, reachable at both function processes."""

    one: str
    two: str
    room: str
    owner: str
    viewer: str
    tokens: Tokens

    def sign(self, *grants: Grant, room: str | None = None, audience: str = AUDIENCE_ROOM, lifetime_s: int = 60) -> str:
        name = f"x{random.getrandbits(32)}"
        claims = Claims(
            sub=name,
            name=name,
            tier=Tier.STREAMER,
            room=self.room if room is None else room,
            grants=frozenset(grants),
        )
        return self.tokens.sign(claims, audience=audience, lifetime_s=lifetime_s)


@pytest_asyncio.fixture(params=["granian", "picows"])
async def scene(request: pytest.FixtureRequest, stack: LocalStack, http: httpx.AsyncClient) -> Scene:
    """The same on either of the ports that take sockets."""
    one, two = (endpoint.url if request.param == "granian" else endpoint.socket_url for endpoint in stack.functions)
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, owner = await ana.create_room()
    tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))
    return Scene(one, two, room, owner, await bo.room_token(room), tokens)


@pytest_asyncio.fixture
async def raw(scene: Scene) -> AsyncIterator[ClientConnection]:
    """A socket that has not joined."""
    async with connect(socket_url(scene.one, scene.room), subprotocols=PROTOCOLS) as socket:
        yield socket


async def _error(socket: ClientConnection) -> m.Error:
    frame = await asyncio.wait_for(socket.recv(), 10)
    assert isinstance(frame, bytes)
    message = m.decode_server(frame)
    assert isinstance(message, m.Error), message
    return message


async def _closed_with(socket: ClientConnection) -> int:
    await asyncio.wait_for(socket.wait_closed(), 10)
    assert socket.close_code is not None
    return socket.close_code


async def test_a_join_is_welcomed_with_what_is_bound_to_the_connection(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana, joined(scene.two, scene.room, scene.viewer) as bo:
        assert ana.welcome is not None
        assert bo.welcome is not None
        assert (ana.welcome.name, ana.welcome.role, ana.welcome.instance) == ("Ana", "streamer", "function-1")
        assert (bo.welcome.name, bo.welcome.role, bo.welcome.instance) == ("Bo", "viewer", "function-2")
        assert ana.welcome.epoch == bo.welcome.epoch
        assert ana.welcome.ping_ms <= 25_000


async def test_chat_reaches_everyone_on_every_process_in_one_order(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana, joined(scene.two, scene.room, scene.viewer) as bo:
        for number in range(5):
            await ana.say(f"a{number}")
            await bo.say(f"b{number}")
        for client in (ana, bo):
            await client.until(lambda client=client: len(client.chats) == 10)  # type: ignore[misc]
        assert ana.chats == bo.chats
        assert [event.text for _, event in ana.chats] == [f"{who}{n}" for n in range(5) for who in "ab"]
        assert {event.name for _, event in ana.chats} == {"Ana", "Bo"}


async def test_a_late_joiner_gets_the_recent_chat(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        for number in range(3):
            await ana.say(f"before {number}")
        async with joined(scene.two, scene.room, scene.viewer) as bo:
            for client in (ana, bo):
                await client.until(lambda client=client: len(client.chats) == 3)  # type: ignore[misc]
            assert bo.chats == ana.chats


async def test_whoever_comes_back_gets_exactly_what_was_missed(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        async with joined(scene.one, scene.room, scene.viewer) as bo:
            await ana.say("seen")
            await bo.until(lambda: len(bo.chats) == 1)
            assert bo.welcome is not None
            epoch, offset = bo.welcome.epoch, bo.offset
        for number in range(20):
            await ana.say(f"missed {number}")
        # At the other process: nothing about a client is kept in the first.
        async with joined(scene.two, scene.room, scene.viewer, epoch=epoch, offset=offset) as back:
            await ana.say("live again")
            await back.until(lambda: len(back.chats) == 21)
            assert [event.text for _, event in back.chats] == [f"missed {n}" for n in range(20)] + ["live again"]
            await ana.until(lambda: len(ana.chats) == 22)
            assert back.chats == ana.chats[1:]


async def test_joining_again_and_again_under_chat_misses_and_doubles_nothing(scene: Scene) -> None:
    """The seam between resume and tail, crossed many times while messages pour in."""
    talker = scene.sign(Grant.SUBSCRIBE, Grant.CHAT)
    seen: list[int] = []
    async with joined(scene.one, scene.room, talker) as speaker:

        async def talk() -> None:
            for number in range(150):
                await speaker.say(str(number))
                await asyncio.sleep(0.02)

        talking = asyncio.create_task(talk())
        epoch: str | None = None
        offset: int | None = None
        for _ in range(40):
            url = random.choice([scene.one, scene.two])
            # Another identity each time, since one may not join that often; a position belongs to nobody.
            viewer = scene.sign(Grant.SUBSCRIBE)
            async with joined(url, scene.room, viewer, epoch=epoch, offset=offset) as client:
                await asyncio.sleep(random.uniform(0, 0.06))
            assert client.welcome is not None
            seen += [number for number, _ in client.chats]
            # Whoever leaves before anything has come is still where they were, whatever the welcome says of the log.
            if client.events:
                epoch, offset = client.welcome.epoch, client.events[-1][0]
        await talking
        async with joined(scene.two, scene.room, scene.viewer, epoch=epoch, offset=offset) as client:
            await client.until(lambda: len(seen) + len(client.chats) >= 150)
            seen += [number for number, _ in client.chats]
        await speaker.until(lambda: len(speaker.chats) == 150)
    assert seen == [number for number, _ in speaker.chats]


async def test_the_same_message_sent_again_appears_once(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        first = await ana.say("once", 77)
        await ana.close()
    async with joined(scene.two, scene.room, scene.owner) as ana:
        assert await ana.say("once", 77) == first
        await ana.say("marker")
        await ana.until(lambda: len(ana.chats) == 2)
        assert [event.text for _, event in ana.chats] == ["once", "marker"]


async def test_a_position_of_another_epoch_is_answered_with_a_gap(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        await ana.say("hello")
        async with joined(scene.two, scene.room, scene.viewer, epoch="ffffffffffffffff", offset=5) as bo:
            gap = await bo.expect(m.Gap)
            assert ana.welcome is not None
            assert (gap.reason, gap.epoch) == ("epoch", ana.welcome.epoch)
            await bo.until(lambda: len(bo.chats) == 1)


async def test_viewers_are_counted_over_both_processes(scene: Scene, http: httpx.AsyncClient) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana, joined(scene.one, scene.room, scene.viewer):
        async with joined(scene.two, scene.room, scene.sign(Grant.SUBSCRIBE)):
            await ana.expect(m.Viewers, lambda viewers: viewers.count == 2)
            assert (await http.get(f"/v1/rooms/{scene.room}")).json()["viewers"] == 2
        await ana.until(
            lambda: [x.count for x in ana.received if isinstance(x, m.Viewers)][-1] == 1,
        )


async def test_a_ping_is_answered(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.viewer) as bo:
        await bo.send(m.Ping(42))
        await bo.expect(m.Pong, lambda pong: pong.nonce == 42)


async def test_too_fast_is_refused_with_a_wait_and_loses_nothing(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.viewer) as bo:
        for number in range(15):
            await bo.send(m.Chat(number, f"m{number}"))
        refused = await bo.expect(m.Error)
        assert refused.code == ErrorCode.RATE_LIMITED
        assert refused.retry_after_ms is not None
        assert refused.reference is not None
        await asyncio.sleep(refused.retry_after_ms / 1000)
        await bo.say(f"m{refused.reference}", refused.reference)


@pytest.mark.parametrize("text", ["", "   ", "\u202e", "x" * 501])
async def test_an_empty_or_long_message_is_refused_by_its_number(scene: Scene, text: str) -> None:
    async with joined(scene.one, scene.room, scene.viewer) as bo:
        await bo.send(m.Chat(5, text))
        error = await bo.expect(m.Error)
        assert (error.code, error.reference) == (ErrorCode.TEXT_INVALID, 5)
        await bo.say("still here")


@pytest.mark.parametrize(
    ("grants", "frame", "refused"),
    [
        ({Grant.SUBSCRIBE}, m.Chat(1, "hi"), True),
        ({Grant.SUBSCRIBE, Grant.CHAT}, m.Chat(1, "hi"), False),
        ({Grant.SUBSCRIBE}, m.Publish(1, "v=0"), True),
        ({Grant.SUBSCRIBE, Grant.CHAT}, m.Publish(1, "v=0"), True),
    ],
)
async def test_a_frame_without_its_grant_is_refused(
    scene: Scene, grants: set[Grant], frame: m.ClientMessage, refused: bool
) -> None:
    async with joined(scene.one, scene.room, scene.sign(*grants)) as client:
        await client.send(frame)
        if refused:
            error = await client.expect(m.Error)
            assert (error.code, error.reference) == (ErrorCode.FORBIDDEN, 1)
        else:
            await client.expect(m.Sent)


async def test_a_join_without_a_good_token_is_refused_and_closed(scene: Scene) -> None:
    cases = [
        ("a.b.c", ErrorCode.UNAUTHORIZED, CloseCode.UNAUTHORIZED),
        (scene.sign(Grant.SUBSCRIBE, lifetime_s=-60), ErrorCode.TOKEN_EXPIRED, CloseCode.UNAUTHORIZED),
        (scene.sign(Grant.SUBSCRIBE, audience=AUDIENCE_IDENTITY), ErrorCode.UNAUTHORIZED, CloseCode.UNAUTHORIZED),
        (scene.sign(Grant.SUBSCRIBE, room="aaaaaaaaaa"), ErrorCode.FORBIDDEN, CloseCode.FORBIDDEN),
        (scene.sign(Grant.PUBLISH), ErrorCode.FORBIDDEN, CloseCode.FORBIDDEN),
    ]
    for token, code, close in cases:
        async with connect(socket_url(scene.one, scene.room), subprotocols=PROTOCOLS) as socket:
            await socket.send(m.encode(m.Join(token)))
            assert (await _error(socket)).code == code
            assert await _closed_with(socket) == close


async def test_nothing_is_said_before_the_join(raw: ClientConnection) -> None:
    await raw.send(m.encode(m.Chat(9, "hello")))
    assert (await _error(raw)).code == ErrorCode.JOIN_EXPECTED


async def test_a_socket_that_does_not_join_is_closed(raw: ClientConnection) -> None:
    assert await _closed_with(raw) == CloseCode.JOIN_TIMEOUT


async def test_a_handshake_for_no_room_or_no_protocol_is_refused(scene: Scene) -> None:
    none: list[Any] = []
    other: list[Any] = ["headrace.99"]
    for url, protocols in (
        (socket_url(scene.one, "nonsense"), PROTOCOLS),
        (socket_url(scene.one, scene.room), none),
        (socket_url(scene.one, scene.room), other),
    ):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url, subprotocols=protocols or None):
                pass
        assert caught.value.response.status_code == 403


async def test_a_second_join_is_refused_and_the_first_one_holds(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.viewer) as bo:
        await bo.send(m.Join(scene.viewer))
        assert (await bo.expect(m.Error)).code == ErrorCode.JOINED_ALREADY
        await bo.say("still here")


async def test_garbage_is_answered_and_the_connection_goes_on(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.viewer) as bo:
        frames: list[tuple[bytes | str, ErrorCode]] = [
            (b"", ErrorCode.MALFORMED),
            (b"\xc1", ErrorCode.MALFORMED),
            ("text", ErrorCode.MALFORMED),
            (msgspec.msgpack.encode([99]), ErrorCode.KIND_UNKNOWN),
            (msgspec.msgpack.encode([3, "x", "y"]), ErrorCode.MALFORMED),
            (b"\x00" * 100_000, ErrorCode.TOO_LARGE),
        ]
        for count, (frame, code) in enumerate(frames, 1):
            await bo.socket.send(frame)
            await bo.until(lambda count=count: len(_errors(bo)) == count)  # type: ignore[misc]
            assert _errors(bo)[-1].code == code
        await bo.say("still here")


async def test_whoever_sends_only_garbage_is_closed(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.viewer) as bo:
        for _ in range(20):
            await bo.socket.send(b"\xc1")
        await bo.socket.wait_closed()
        assert bo.socket.close_code == CloseCode.MALFORMED


async def test_random_frames_from_many_sockets_leave_the_others_unharmed(scene: Scene) -> None:
    generator = random.Random(2026)

    async def attack() -> None:
        token = scene.sign(Grant.SUBSCRIBE, Grant.CHAT, Grant.PUBLISH)
        # Without a bound on its queue, since it reads nothing and the close is behind the errors.
        async with connect(socket_url(scene.one, scene.room), subprotocols=PROTOCOLS, max_queue=None) as socket:
            try:
                if generator.random() < 0.7:
                    await socket.send(m.encode(m.Join(token)))
                for _ in range(60):
                    kind = generator.randrange(10)
                    junk = generator.randbytes(generator.randrange(200))
                    array = msgspec.msgpack.encode([kind, generator.getrandbits(60), junk.hex(), junk])
                    await socket.send(generator.choice([junk, array, array[:-3], b"\x93" + junk]))
            except ConnectionClosed:
                pass

    async with joined(scene.one, scene.room, scene.owner) as ana:
        await asyncio.gather(*(attack() for _ in range(25)))
        await ana.say("still here")
        await ana.until(lambda: any(event.text == "still here" for _, event in ana.chats))


async def test_a_reader_that_stalls_is_closed_and_slows_nobody(
    scene: Scene, stack: LocalStack, http: httpx.AsyncClient
) -> None:
    url = stack.functions[0].metrics_url
    before = await _closes(http, url, CloseCode.TOO_SLOW)
    redis = connect_redis(stack.redis_url)
    async with connect(socket_url(scene.one, scene.room), subprotocols=PROTOCOLS, max_queue=1) as stalled:
        await stalled.send(m.encode(m.Join(scene.viewer)))
        # From here on it reads nothing: the kernel's buffers fill, then its outbox.
        async with joined(scene.one, scene.room, scene.owner) as ana:
            # Straight into the log, since 40 MB of chat would take the limits for ever.
            log, text = RoomLog(redis), "x" * 50_000
            for number in range(800):
                await log.append(scene.room, [Submission(m.ChatEvent("p", "Loud", number, text), 1_000_000)])
                await ana.until(lambda number=number: len(ana.chats) == number + 1)  # type: ignore[misc]
            assert await _closes(http, url, CloseCode.TOO_SLOW) == before + 1
        stalled.transport.abort()
    await redis.aclose()


async def _closes(http: httpx.AsyncClient, url: str, code: CloseCode) -> float:
    needle = f'headrace_signaling_closes_total{{code="{int(code)}"}} '
    lines = (await http.get(url)).text.splitlines()
    return sum(float(line.removeprefix(needle)) for line in lines if line.startswith(needle))


def _errors(client: RoomClient) -> list[m.Error]:
    return [message for message in client.received if isinstance(message, m.Error)]
