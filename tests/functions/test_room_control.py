"""Moderation, waiting room, settings, gifts, reactions, typing and people, over real sockets on two processes."""

import asyncio
import time

import httpx
import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, Tier, Tokens
from shared.stack.stack import LocalStack
from shared.state.archive import RoomArchive
from shared.state.connect import connect_redis
from shared.state.control import RoomControl
from tests.support import mongodb as mongodb_support
from tests.support.room_client import RoomClient, guest, joined, socket_url


class Scene(msgspec.Struct):
    """A room of Ana's, reachable at both function processes."""

    one: str
    two: str
    room: str
    owner: str
    tokens: Tokens

    def viewer(self, name: str, tier: Tier = Tier.VIEWER) -> str:
        claims = Claims(
            sub=name.lower(), name=name, tier=tier, room=self.room, grants=frozenset({Grant.SUBSCRIBE, Grant.CHAT})
        )
        return self.tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=600)


@pytest_asyncio.fixture
async def scene(stack: LocalStack, http: httpx.AsyncClient) -> Scene:
    room, owner = await (await guest(http, "Ana")).create_room()
    tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))
    return Scene(stack.functions[0].url, stack.functions[1].socket_url, room, owner, tokens)


async def _do(client: RoomClient, message: m.Moderate | m.Configure | m.Admit) -> None:
    await client.send(message)
    await client.expect(m.Done, lambda done: done.request == message.request)


def _events(client: RoomClient, kind: type[m.Event]) -> list[m.Event]:
    return [event for _, event in client.events if isinstance(event, kind)]


async def test_a_deleted_message_is_taken_back_everywhere_and_hidden_from_who_comes_later(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        bad = await bo.say("something awful")
        await bo.say("something nice")
        await _do(ana, m.Moderate(1, m.ModerationAction.DELETE, None, bad.offset, None))
        await bo.until(lambda: _events(bo, m.Deleted) == [m.Deleted(bad.offset)])
    async with joined(scene.two, scene.room, scene.viewer("Cy")) as cy:
        await cy.until(lambda: bool(cy.chats))
        assert [event.text for _, event in cy.chats] == ["something nice"]


async def test_a_time_out_silences_and_its_end_gives_the_voice_back(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        await _do(ana, m.Moderate(1, m.ModerationAction.TIME_OUT, "bo", None, 60))
        await bo.send(m.Chat(1, "hello?"))
        refused = await bo.expect(m.Error)
        assert (refused.code, refused.reference) == (ErrorCode.BANNED, 1)
        assert refused.retry_after_ms is not None
        assert 0 < refused.retry_after_ms <= 60_000
        await _do(ana, m.Moderate(2, m.ModerationAction.LIFT, "bo", None, None))
        await bo.say("thank you")


async def test_a_ban_closes_the_socket_and_the_door(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        async with joined(scene.two, scene.room, scene.viewer("Bo")) as bo:
            await _do(ana, m.Moderate(1, m.ModerationAction.BAN, "bo", None, None))
            await asyncio.wait_for(bo.socket.wait_closed(), 10)
            assert bo.socket.close_code == CloseCode.FORBIDDEN
        refused, code = await _refused(scene.one, scene.room, scene.viewer("Bo"))
        assert (refused.code, code) == (ErrorCode.BANNED, CloseCode.FORBIDDEN)


async def test_slow_mode_holds_for_viewers_and_not_for_moderators(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        await _do(ana, m.Configure(1, "Quiet hour", None, 30, None, None, None))
        await bo.until(lambda: bool(_events(bo, m.SettingsChanged)))
        (change,) = _events(bo, m.SettingsChanged)
        assert isinstance(change, m.SettingsChanged)
        assert (change.title, change.slow_mode_s) == ("Quiet hour", 30)
        await bo.say("first")
        await bo.send(m.Chat(2, "second"))
        refused = await bo.expect(m.Error)
        assert (refused.code, refused.reference) == (ErrorCode.SLOW_MODE, 2)
        await ana.say("one")
        await ana.say("two")


async def test_blocked_terms_are_refused_however_they_are_written(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        await _do(ana, m.Configure(1, None, None, None, None, None, ["buy now"]))
        await bo.send(m.Chat(1, "ＢＵＹ now, cheap"))  # noqa: RUF001 - full width on purpose
        refused = await bo.expect(m.Error)
        assert (refused.code, refused.reference) == (ErrorCode.TEXT_INVALID, 1)
        await bo.say("good evening")


@pytest.mark.parametrize(
    "message",
    [
        m.Moderate(1, m.ModerationAction.BAN, "ana", None, None),
        m.Configure(1, "Mine now", None, None, None, None, None),
        m.Admit(1, None, True),
    ],
)
async def test_only_holders_of_moderate_control_the_room(
    scene: Scene, message: m.Moderate | m.Configure | m.Admit
) -> None:
    async with joined(scene.two, scene.room, scene.viewer("Bo")) as bo:
        await bo.send(message)
        refused = await bo.expect(m.Error)
        assert (refused.code, refused.reference) == (ErrorCode.FORBIDDEN, 1)


async def test_a_waiting_room_shows_nothing_until_somebody_opens(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        await _do(ana, m.Configure(1, None, None, None, True, None, None))
        await ana.say("a secret")
        async with connect(socket_url(scene.two, scene.room), subprotocols=[m.SUBPROTOCOL]) as socket:  # type: ignore[list-item]
            bo = RoomClient(socket)
            await bo.send(m.Join(scene.viewer("Bo")))
            assert (await bo.expect(m.Waiting)).position == 1
            knocks = await ana.expect(m.Knocks)
            assert (knocks.waiting, knocks.count) == ([m.Knock("bo", "Bo")], 1)
            # Alive meanwhile, and told nothing of the room.
            await bo.send(m.Ping(5))
            await bo.expect(m.Pong)
            await ana.say("another secret")
            await bo.send(m.Chat(1, "let me in"))
            assert (await bo.expect(m.Error)).code == ErrorCode.JOIN_EXPECTED
            assert {type(message) for message in bo.received} == {m.Waiting, m.Pong, m.Error}
            await _do(ana, m.Admit(2, "bo", True))
            await bo.expect(m.Welcome)
            await bo.until(lambda: len(bo.chats) == 2)
            await bo.say("thank you")
            await ana.expect(m.Knocks, lambda knocks: knocks.count == 0)
            await bo.close()
        # An approval is remembered.
        async with joined(scene.one, scene.room, scene.viewer("Bo")) as bo:
            await bo.say("back again")


async def test_whoever_is_rejected_is_turned_away(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        await _do(ana, m.Configure(1, None, None, None, True, None, None))
        async with connect(socket_url(scene.two, scene.room), subprotocols=[m.SUBPROTOCOL]) as socket:  # type: ignore[list-item]
            bo = RoomClient(socket)
            await bo.send(m.Join(scene.viewer("Bo")))
            await bo.expect(m.Waiting)
            await _do(ana, m.Admit(2, None, False))
            refused = await bo.expect(m.Error)
            await asyncio.wait_for(bo.socket.wait_closed(), 10)
            assert (refused.code, bo.socket.close_code) == (ErrorCode.FORBIDDEN, CloseCode.FORBIDDEN)
            await bo.close()


async def test_whoever_gives_up_waiting_disappears_from_the_door(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        await _do(ana, m.Configure(1, None, None, None, True, None, None))
        async with connect(socket_url(scene.two, scene.room), subprotocols=[m.SUBPROTOCOL]) as socket:  # type: ignore[list-item]
            bo = RoomClient(socket)
            await bo.send(m.Join(scene.viewer("Bo")))
            await ana.expect(m.Knocks, lambda knocks: knocks.count == 1)
            await bo.close()
        await ana.until(lambda: [x.count for x in ana.received if isinstance(x, m.Knocks)][-1] == 0)


async def test_a_gift_is_given_once_however_often_it_is_sent(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        await bo.send(m.Gift(99, "rose", 3))
        first = await bo.expect(m.Sent)
        await bo.send(m.Gift(99, "rose", 3))
        await bo.until(lambda: [x for x in bo.received if isinstance(x, m.Sent)] == [first, first])
        await ana.say("marker")
        await ana.until(lambda: bool(ana.chats))
        assert _events(ana, m.GiftEvent) == [m.GiftEvent("bo", "Bo", 99, "rose", 3)]


async def test_reactions_are_added_up_over_both_processes(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        await _bus_is_up(ana, bo)
        began = time.monotonic()
        for _ in range(5):
            await bo.send(m.React("🎉", 2))
            await ana.send(m.React("🎉", 1))

        def counted(client: RoomClient) -> int:
            frames = [message for message in client.received if isinstance(message, m.Reactions)]
            return sum(item.count for frame in frames for item in frame.reactions if item.reaction == "🎉")

        for client in (ana, bo):
            await client.until(lambda client=client: counted(client) == 15)  # type: ignore[misc]
        frames = [message for message in ana.received if isinstance(message, m.Reactions)]
        assert len(frames) <= 3 + 10 * (time.monotonic() - began)


async def test_typing_is_shown_and_passes(scene: Scene) -> None:
    async with (
        joined(scene.one, scene.room, scene.owner) as ana,
        joined(scene.two, scene.room, scene.viewer("Bo")) as bo,
    ):
        await _bus_is_up(ana, bo)
        await bo.send(m.Typing())
        shown = await ana.expect(m.TypingNotice)
        assert (shown.names, shown.count) == (["Bo"], 1)
        await ana.expect(m.TypingNotice, lambda notice: notice.count == 0)


async def test_people_are_listed_with_their_roles(scene: Scene) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana, joined(scene.two, scene.room, scene.viewer("Bo")):
        await ana.send(m.People(7))
        people = await ana.expect(m.PeopleList)
        assert (people.request, people.total) == (7, 2)
        assert [(person.name, person.role) for person in people.people] == [("Ana", "streamer"), ("Bo", "viewer")]


async def test_an_anonymous_viewer_has_one_connection_and_a_viewer_three(scene: Scene) -> None:
    for tier, allowed in ((Tier.ANONYMOUS, 1), (Tier.VIEWER, 3)):
        token = scene.viewer(f"{tier}", tier)
        clients = [joined(url, scene.room, token) for url in (scene.one, scene.two, scene.one)[:allowed]]
        opened = [await client.__aenter__() for client in clients]
        refused, code = await _refused(scene.two, scene.room, token)
        assert (refused.code, code) == (ErrorCode.TOO_MANY_CONNECTIONS, CloseCode.TOO_MANY)
        # Whoever resumes takes the place of their own oldest connection, which is told so over the bus; the wait is for
        # that to be listening, since else it is noticed when the place is renewed.
        await asyncio.sleep(0.5)
        assert opened[0].welcome is not None
        async with joined(scene.two, scene.room, token, epoch=opened[0].welcome.epoch, offset=opened[0].offset):
            await asyncio.wait_for(opened[0].socket.wait_closed(), 10)
            assert opened[0].socket.close_code == CloseCode.DISPLACED
        for client in clients:
            await client.__aexit__(None, None, None)


async def _refused(url: str, room: str, token: str) -> tuple[m.Error, int | None]:
    async with connect(socket_url(url, room), subprotocols=[m.SUBPROTOCOL]) as socket:  # type: ignore[list-item]
        client = RoomClient(socket)
        await client.send(m.Join(token))
        error = await client.expect(m.Error)
        await asyncio.wait_for(socket.wait_closed(), 10)
        await client.close()
        return error, socket.close_code


async def _bus_is_up(*clients: RoomClient) -> None:
    """Ephemeral traffic may be missed in the first moments of a room on a process: wait until it comes through."""
    for client in clients:
        for _ in range(50):
            await client.send(m.React("ready", 1))
            await asyncio.sleep(0.1)
            names = [item.reaction for x in client.received if isinstance(x, m.Reactions) for item in x.reactions]
            if "ready" in names:
                break


async def test_bans_and_settings_come_back_from_mongodb_when_redis_has_lost_them(
    scene: Scene, stack: LocalStack
) -> None:
    redis = connect_redis(stack.redis_url)
    async with joined(scene.one, scene.room, scene.owner) as ana:
        await _do(ana, m.Configure(1, "Kept", None, 5, None, None, None))
        await _do(ana, m.Moderate(2, m.ModerationAction.BAN, "bo", None, None))
        await ana.say("archived with it")
    mongodb = mongodb_support.connect(stack.mongodb_uri)
    archive = RoomArchive(mongodb, "headrace")
    for _ in range(100):
        settings, sanctions = await archive.restored(scene.room)
        if "bo" in sanctions and settings.title == "Kept":
            break
        await asyncio.sleep(0.1)
    await redis.delete(*await redis.keys(f"room:{{{scene.room}}}:*"))
    async with joined(scene.one, scene.room, scene.owner):
        control = RoomControl(redis)
        for _ in range(100):
            if (await control.settings(scene.room)).restored:
                break
            await asyncio.sleep(0.05)
        assert (await control.settings(scene.room)).slow_mode_s == 5
        refused, _code = await _refused(scene.two, scene.room, scene.viewer("Bo"))
        assert refused.code == ErrorCode.BANNED
    await redis.aclose()
    await mongodb.close()


async def test_a_rooms_settings_are_read_with_the_room(scene: Scene, http: httpx.AsyncClient) -> None:
    async with joined(scene.one, scene.room, scene.owner) as ana:
        before = (await http.get(f"/v1/rooms/{scene.room}")).json()
        assert (before["title"], before["slow_mode_s"], before["waiting_room"]) == ("A room", 0, False)
        await _do(ana, m.Configure(1, "Renamed", "music", 10, True, None, None))
        after = (await http.get(f"/v1/rooms/{scene.room}")).json()
        assert (after["title"], after["category"]) == ("Renamed", "music")
        assert (after["slow_mode_s"], after["waiting_room"]) == (10, True)
