import asyncio
import json

import httpx
import pytest

from functions.api.auth import OWNER_GRANTS
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_IDENTITY, AUDIENCE_ROOM, Claims, Grant, Tier, Tokens
from shared.stack.stack import LocalStack
from tests.support.room_client import guest

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
SDP = {"content-type": "application/sdp"}


def _problem(response: httpx.Response, status: int, code: str) -> dict[str, str]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    return dict(body)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_guest_makes_a_room_that_others_find_by_its_code(http: httpx.AsyncClient) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    response = await http.post("/v1/rooms", json={"title": "Late night"}, headers=ana.headers)
    room = response.json()["room"]
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/rooms/{room['id']}"
    typed = f"{room['id'][:5]}-{room['id'][5:]}".upper()
    found = (await http.get(f"/v1/rooms/{typed}")).json()
    assert found == room
    assert found["owner"] == {"id": ana.id, "name": "Ana"}
    assert (found["live"], found["viewers"], found["title"]) == (False, 0, "Late night")
    token = await http.post(f"/v1/rooms/{room['id']}/tokens", json={}, headers=bo.headers)
    assert token.json()["role"] == "viewer"
    again = await http.post(f"/v1/rooms/{room['id']}/tokens", json={}, headers=ana.headers)
    assert again.json()["role"] == "streamer"


async def test_a_room_made_at_one_process_is_there_at_the_other(stack: LocalStack) -> None:
    async with (
        httpx.AsyncClient(base_url=stack.functions[0].url) as one,
        httpx.AsyncClient(base_url=stack.functions[1].url) as two,
    ):
        room, _ = await (await guest(one, "Ana")).create_room()
        assert (await two.get(f"/v1/rooms/{room}")).status_code == 200


async def test_an_encoder_token_publishes_and_nothing_else(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, _ = await ana.create_room()
    token = await ana.room_token(room, "encoder")
    claims = Tokens(KeyRing.from_jwks(stack.jwt_keys)).verify(token, audience=AUDIENCE_ROOM)
    assert (claims.room, claims.grants) == (room, frozenset({Grant.PUBLISH}))
    refused = await http.post(f"/v1/rooms/{room}/tokens", json={"kind": "encoder"}, headers=bo.headers)
    _problem(refused, 403, "forbidden")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/guests", b""),
        ("/v1/guests", b"{"),
        ("/v1/guests", b"[]"),
        ("/v1/guests", b'{"name": ""}'),
        ("/v1/guests", b'{"name": "   "}'),
        ("/v1/guests", b'{"name": 5}'),
        ("/v1/guests", b'{"name": "' + b"x" * 41 + b'"}'),
        ("/v1/guests", b'{"name": "a", "admin": true}'),
        ("/v1/guests", b"\xff\xfe"),
    ],
)
async def test_a_malformed_body_is_a_problem(http: httpx.AsyncClient, path: str, body: bytes) -> None:
    response = await http.post(path, content=body, headers={"content-type": "application/json"})
    _problem(response, 400, "malformed")


async def test_names_and_titles_lose_what_would_deceive_a_reader(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/guests", json={"name": " A\u202ena\u0000\n "})
    assert response.json()["participant"]["name"] == "Ana"


async def test_an_oversized_body_is_refused(http: httpx.AsyncClient) -> None:
    body = json.dumps({"name": "x" * 100_000}).encode()
    _problem(await http.post("/v1/guests", content=body), 413, "too_large")
    room, token = await (await guest(http, "Ana")).create_room()
    response = await http.post(f"/v1/rooms/{room}/whip", content=b"v" * 100_000, headers=SDP | _bearer(token))
    _problem(response, 413, "too_large")


@pytest.mark.parametrize("room", ["aaaaaaaaaa", "nonsense", "..%2f..%2fetc", "%00", "a" * 300])
async def test_an_unknown_room_is_a_problem(http: httpx.AsyncClient, room: str) -> None:
    ana = await guest(http, "Ana")
    _problem(await http.get(f"/v1/rooms/{room}"), 404, "room_unknown" if "%2f" not in room else "not_found")
    response = await http.post(f"/v1/rooms/{room}/tokens", json={}, headers=ana.headers)
    assert response.status_code == 404


async def test_an_unknown_path_or_method_is_a_problem(http: httpx.AsyncClient) -> None:
    _problem(await http.get("/v1/nothing"), 404, "not_found")
    _problem(await http.put("/v1/guests"), 405, "method_not_allowed")


def _tokens(stack: LocalStack) -> Tokens:
    return Tokens(KeyRing.from_jwks(stack.jwt_keys))


async def test_a_room_is_not_made_without_an_identity(http: httpx.AsyncClient, stack: LocalStack) -> None:
    claims = Claims(sub="p1", name="Ana", grants=frozenset({Grant.CREATE_ROOM}))
    sign = _tokens(stack).sign
    for headers, code in (
        ({}, "unauthorized"),
        ({"authorization": "Basic YTpi"}, "unauthorized"),
        (_bearer("a.b.c"), "token_refused"),
        (_bearer(sign(claims, audience=AUDIENCE_ROOM, lifetime_s=60)), "token_refused"),
        (_bearer(sign(claims, audience=AUDIENCE_IDENTITY, lifetime_s=-60)), "token_expired"),
    ):
        response = await http.post("/v1/rooms", json={"title": "t"}, headers=headers)
        _problem(response, 401, code)
        assert response.headers["www-authenticate"].startswith("Bearer")
    bare = sign(Claims(sub="p1", name="Ana"), audience=AUDIENCE_IDENTITY, lifetime_s=60)
    _problem(await http.post("/v1/rooms", json={"title": "t"}, headers=_bearer(bare)), 403, "forbidden")


@pytest.mark.parametrize(("kind", "grant"), [("whip", Grant.PUBLISH), ("whep", Grant.SUBSCRIBE)])
async def test_media_needs_its_grant_for_this_room(
    http: httpx.AsyncClient, stack: LocalStack, kind: str, grant: Grant
) -> None:
    room, _ = await (await guest(http, "Ana")).create_room()

    def token(room: str, grants: frozenset[Grant]) -> str:
        claims = Claims(sub="p1", name="Ana", tier=Tier.STREAMER, room=room, grants=grants)
        return _tokens(stack).sign(claims, audience=AUDIENCE_ROOM, lifetime_s=60)

    async def post(headers: dict[str, str]) -> httpx.Response:
        return await http.post(f"/v1/rooms/{room}/{kind}", content=OFFER, headers=SDP | headers)

    _problem(await post({}), 401, "unauthorized")
    _problem(await post(_bearer(token(room, OWNER_GRANTS - {grant}))), 403, "forbidden")
    _problem(await post(_bearer(token("aaaaaaaaaa", OWNER_GRANTS))), 403, "forbidden")


async def test_whip_refuses_what_is_not_a_usable_offer(http: httpx.AsyncClient) -> None:
    room, token = await (await guest(http, "Ana")).create_room()
    headers = _bearer(token)
    path = f"/v1/rooms/{room}/whip"
    for body in (b"", b"hello", b"v=0", OFFER.encode(), b"v=0\r\n" + b"a=x\r\n" * 5000):
        problem = _problem(await http.post(path, content=body, headers=SDP | headers), 422, "sdp_refused")
        assert problem["detail"]
    _problem(await http.post(path, content=b"\xff", headers=SDP | headers), 400, "malformed")
    json_type = {"content-type": "application/json"}
    _problem(await http.post(path, content=b"{}", headers=json_type | headers), 415, "media_type")


async def test_watching_a_room_where_nobody_is_live_says_so(http: httpx.AsyncClient) -> None:
    room, token = await (await guest(http, "Ana")).create_room()
    response = await http.post(f"/v1/rooms/{room}/whep", content=OFFER, headers=SDP | _bearer(token))
    _problem(response, 409, "no_publisher")
    assert response.headers["retry-after"]


@pytest.mark.parametrize("session", ["worker1-aaaaaaaaaaaaaaaaaaaaaa", "nobody-x", "x", "worker1-..%2f..", "a" * 500])
async def test_an_unknown_media_session_is_a_problem(http: httpx.AsyncClient, session: str) -> None:
    room, token = await (await guest(http, "Ana")).create_room()
    response = await http.delete(f"/v1/rooms/{room}/whip/{session}", headers=_bearer(token))
    _problem(response, 404, "unknown_session" if "%2f" not in session else "not_found")


async def test_every_response_carries_a_request_id_and_a_proxys_is_kept(http: httpx.AsyncClient) -> None:
    assert len((await http.get("/health/live")).headers["x-request-id"]) == 16
    kept = await http.get("/v1/rooms/x", headers={"x-request-id": "edge-42"})
    assert kept.headers["x-request-id"] == "edge-42"
    replaced = await http.get("/v1/rooms/x", headers={"x-request-id": "two words"})
    assert replaced.headers["x-request-id"] != "two words"


async def test_log_lines_are_json_with_the_request_they_belong_to(http: httpx.AsyncClient, stack: LocalStack) -> None:
    await http.get("/v1/rooms/x", headers={"x-request-id": "find-me-42"})
    await asyncio.sleep(0.1)
    text = (stack.logs / "function-1.log").read_text(encoding="utf-8")
    (line,) = [json.loads(line) for line in text.splitlines() if "find-me-42" in line]
    assert line["event"] == "request"
    assert (line["route"], line["status"], line["service"]) == ("/v1/rooms/{room_id}", 404, "functions")


async def test_the_openapi_document_has_every_route_and_no_internal_one(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/.well-known/jwks.json",
        "/health/live",
        "/health/ready",
        "/v1/fleet/rooms",
        "/v1/fleet/rooms/{room_id}",
        "/v1/fleet/rooms/{room_id}/move",
        "/v1/fleet/sessions/{session}",
        "/v1/fleet/sessions/{session}/move",
        "/v1/fleet/workers",
        "/v1/fleet/workers/{worker_id}/drain",
        "/v1/guests",
        "/v1/my/rooms",
        "/v1/keys",
        "/v1/keys/{key}",
        "/v1/rooms",
        "/v1/rooms/{room_id}",
        "/v1/rooms/{room_id}/analytics",
        "/v1/rooms/{room_id}/end",
        "/v1/rooms/{room_id}/gifts",
        "/v1/rooms/{room_id}/gifts/totals",
        "/v1/rooms/{room_id}/messages",
        "/v1/rooms/{room_id}/messages/{offset}",
        "/v1/rooms/{room_id}/participants",
        "/v1/rooms/{room_id}/recording",
        "/v1/rooms/{room_id}/recordings",
        "/v1/rooms/{room_id}/recordings/{recording}",
        "/v1/rooms/{room_id}/recordings/{recording}/link",
        "/v1/rooms/{room_id}/reopen",
        "/v1/rooms/{room_id}/sanctions",
        "/v1/rooms/{room_id}/sanctions/{participant}",
        "/v1/rooms/{room_id}/statistics",
        "/v1/rooms/{room_id}/tokens",
        "/v1/rooms/{room_id}/waiting",
        "/v1/rooms/{room_id}/whip",
        "/v1/rooms/{room_id}/whep",
        "/v1/rooms/{room_id}/whip/{session}",
        "/v1/rooms/{room_id}/whep/{session}",
        "/v1/rooms/{room_id}/whep/{session}/layer",
        "/v1/webhooks",
        "/v1/webhooks/{webhook_id}",
        "/v1/webhooks/{webhook_id}/deliveries",
        "/v1/webhooks/{webhook_id}/deliveries/{delivery}/retry",
        "/v1/webhooks/{webhook_id}/ping",
        "/v1/sessions",
        "/v1/sessions/refresh",
        "/v1/sessions/{session}",
        "/v1/users",
        "/v1/users/me",
        "/v1/users/me/deletion",
        "/v1/users/me/password",
        "/v1/users/{user}",
    }
    whip = document["paths"]["/v1/rooms/{room_id}/whip"]["post"]
    assert list(whip["requestBody"]["content"]) == ["application/sdp"]
    assert whip["security"] == [{"room": []}]


async def test_health_says_what_is_up(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/live")).json() == {"status": "live"}
    ready = await http.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "redis": "up",
        "mongodb": "up",
        "draining": False,
        "instance": "function-1",
    }


async def test_metrics_count_requests_by_route_and_never_by_what_was_typed(
    http: httpx.AsyncClient, stack: LocalStack
) -> None:
    await http.get("/v1/rooms/secretcode")
    await http.get("/v1/typed-by-somebody")
    await http.request("TYPEDTOO", "/v1/guests")
    text = (await http.get(stack.functions[0].metrics_url)).text
    assert 'headrace_http_requests_total{method="GET",route="/v1/rooms/{room_id}",status="404"}' in text
    assert 'route="unmatched"' in text
    assert "secretcode" not in text
    assert "typed-by-somebody" not in text
    assert "TYPEDTOO" not in text
