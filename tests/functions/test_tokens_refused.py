"""Tokens that are forged, over, for something else, or ended: refused over HTTP and at room sockets alike."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from shared.protocol import messages as m
from shared.protocol.errors import CloseCode, ErrorCode
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_IDENTITY, AUDIENCE_ROOM, AUDIENCE_SFU, Claims, Grant, Tokens
from shared.stack.stack import LocalStack
from tests.support.accounts import problem, refresh, register, signed_in
from tests.support.forged import expired, forgeries
from tests.support.room_client import Person, guest, joined, socket_url

PROTOCOLS: list[Any] = [m.SUBPROTOCOL]


class Scene(msgspec.Struct):
    """A room, and the keys that sign its tokens."""

    room: str
    owner: str
    ring: KeyRing
    sockets: list[str]


@pytest_asyncio.fixture
async def scene(stack: LocalStack, http: httpx.AsyncClient) -> Scene:
    room, owner = await (await guest(http, "Ana")).create_room()
    endpoint = stack.functions[0]
    return Scene(room, owner, KeyRing.from_jwks(stack.jwt_keys), [endpoint.url, endpoint.socket_url])


async def _refusal(url: str, room: str, token: str) -> tuple[ErrorCode, int | None]:
    async with connect(socket_url(url, room), subprotocols=PROTOCOLS) as socket:
        await socket.send(m.encode(m.Join(token)))
        frame = await asyncio.wait_for(socket.recv(), 10)
        assert isinstance(frame, bytes)
        error = m.decode_server(frame)
        assert isinstance(error, m.Error), error
        await asyncio.wait_for(socket.wait_closed(), 10)
        return ErrorCode(error.code), socket.close_code


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_no_forged_identity_is_believed_over_http(http: httpx.AsyncClient, scene: Scene) -> None:
    for kind, token in forgeries(scene.ring, AUDIENCE_IDENTITY, AUDIENCE_ROOM, grants=["create_room"]).items():
        response = await http.post("/v1/rooms", json={"title": "t"}, headers=_bearer(token))
        assert (kind, response.status_code, response.json()["code"]) == (kind, 401, "token_refused")
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    late = expired(scene.ring, AUDIENCE_IDENTITY, grants=frozenset({Grant.CREATE_ROOM}))
    problem(await http.post("/v1/rooms", json={"title": "t"}, headers=_bearer(late)), 401, "token_expired")


async def test_no_forged_room_token_is_believed_over_http_or_at_a_socket(http: httpx.AsyncClient, scene: Scene) -> None:
    room, grants = scene.room, ["subscribe", "publish", "chat", "moderate"]
    for kind, token in forgeries(scene.ring, AUDIENCE_ROOM, AUDIENCE_IDENTITY, room=room, grants=grants).items():
        response = await http.get(f"/v1/rooms/{room}/recordings", headers=_bearer(token))
        assert (kind, response.status_code, response.json()["code"]) == (kind, 401, "token_refused")
        for url in scene.sockets:
            assert (kind, *await _refusal(url, room, token)) == (kind, ErrorCode.UNAUTHORIZED, CloseCode.UNAUTHORIZED)
    late = expired(scene.ring, AUDIENCE_ROOM, room=room, grants=frozenset(map(Grant, grants)))
    problem(await http.get(f"/v1/rooms/{room}/recordings", headers=_bearer(late)), 401, "token_expired")
    for url in scene.sockets:
        assert await _refusal(url, room, late) == (ErrorCode.TOKEN_EXPIRED, CloseCode.UNAUTHORIZED)


async def test_a_worker_believes_no_forged_call_and_none_twice(stack: LocalStack, scene: Scene) -> None:
    async with httpx.AsyncClient(base_url=stack.workers[0].url) as worker:
        for kind, token in forgeries(scene.ring, AUDIENCE_SFU, AUDIENCE_ROOM, grants=["control"]).items():
            response = await worker.get("/v1/sessions", headers=_bearer(token))
            assert (kind, response.status_code) == (kind, 401)
        claims = Claims(sub="p1", grants=frozenset({Grant.CONTROL}), jti="once")
        token = Tokens(scene.ring).sign(claims, audience=AUDIENCE_SFU, lifetime_s=60)
        assert (await worker.get("/v1/sessions", headers=_bearer(token))).status_code == 200
        assert (await worker.get("/v1/sessions", headers=_bearer(token))).status_code == 401
        late = expired(scene.ring, AUDIENCE_SFU, grants=frozenset({Grant.CONTROL}))
        assert (await worker.get("/v1/sessions", headers=_bearer(late))).status_code == 401


async def test_a_replayed_refresh_token_ends_the_session_and_all_its_tokens_everywhere(
    http: httpx.AsyncClient, stack: LocalStack, scene: Scene
) -> None:
    account = await register(http)
    person = Person(http, account.token, account.id)
    room_token = await person.room_token(scene.room)
    encoder_room, _ = await person.create_room()
    encoder = await person.room_token(encoder_room, "encoder")
    second = (await refresh(http, account.refresh_token)).json()
    third = (await refresh(http, second["refresh_token"])).json()
    async with joined(scene.sockets[1], scene.room, room_token) as client:
        # A thief who copied the first one, or its owner after a thief has used it.
        problem(await refresh(http, account.refresh_token), 401, "token_replayed")
        await asyncio.wait_for(client.socket.wait_closed(), 10)
        assert client.socket.close_code == CloseCode.UNAUTHORIZED
    problem(await refresh(http, third["refresh_token"]), 401, "session_ended")
    for token in (account.token, second["token"], third["token"]):
        response = await http.post("/v1/rooms", json={"title": "t"}, headers=_bearer(token))
        problem(response, 401, "token_revoked")
    offer = {"content-type": "application/sdp"} | _bearer(encoder)
    problem(await http.post(f"/v1/rooms/{encoder_room}/whip", content="v=0", headers=offer), 401, "token_revoked")
    for url in scene.sockets:
        assert await _refusal(url, scene.room, room_token) == (ErrorCode.UNAUTHORIZED, CloseCode.UNAUTHORIZED)
    # The other process hears of it within a second.
    async with httpx.AsyncClient(base_url=stack.functions[1].url) as other, asyncio.timeout(10):
        while (await other.get("/v1/users/me", headers=_bearer(third["token"]))).status_code != 401:
            await asyncio.sleep(0.05)
    # Signing in again is all that it takes.
    assert (await signed_in(http, account.username)).id == account.id


async def test_an_answer_that_was_lost_may_be_asked_for_again(http: httpx.AsyncClient) -> None:
    account = await register(http)
    answers = await asyncio.gather(*(refresh(http, account.refresh_token) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    (following,) = {answer.json()["refresh_token"] for answer in answers}
    assert (await refresh(http, following)).status_code == 200


@pytest.mark.parametrize(
    "token", ["", "hrr_", "hrr_p1.s1.short", "hrr_p1.s1." + "A" * 43, "x" * 257, "\u0000", "hrk_x"]
)
async def test_what_is_no_refresh_token_is_refused(http: httpx.AsyncClient, token: str) -> None:
    response = await refresh(http, token)
    assert response.status_code in {400, 401}
    assert response.json()["code"] in {"unauthorized", "session_ended", "malformed"}


async def test_a_guessed_secret_of_a_session_ends_nobody_elses_without_its_id(http: httpx.AsyncClient) -> None:
    account = await register(http)
    head, _, secret = account.refresh_token.rpartition(".")
    foreign = head.rpartition(".")[0] + ".s0000000000000000." + secret
    problem(await refresh(http, foreign), 401, "session_ended")
    assert (await refresh(http, account.refresh_token)).status_code == 200
