"""The control API as functions see it: status, code, headers."""

from collections.abc import AsyncIterator

import httpx
import pytest

from sfu_fleet.worker import SfuWorker
from shared.security.keys import KeyRing, generate_jwks
from shared.security.tokens import AUDIENCE_ROOM, AUDIENCE_SFU, Claims, Grant, Tokens
from tests.sfu_fleet.conftest import JWKS, eventually
from tests.sfu_fleet.peer import Peer


def token(
    *,
    jwks: str = JWKS,
    audience: str = AUDIENCE_SFU,
    lifetime_s: int = 60,
    participant: str = "p",
    room: str = "room",
    grants: frozenset[Grant] = frozenset({Grant.CONTROL}),
) -> str:
    claims = Claims(sub=participant, room=room, grants=grants)
    return Tokens(KeyRing.from_jwks(jwks)).sign(claims, audience=audience, lifetime_s=lifetime_s)


@pytest.fixture
async def api(worker: SfuWorker) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=worker.app)  # type: ignore[arg-type] # Litestar's scope is narrower
    headers = {"authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://worker", headers=headers) as client:
        yield client


def new(kind: str, offer: str | None = None) -> dict[str, str | None]:
    return {"room": "room", "kind": kind, "participant": "p", "name": "Name", "offer": offer}


async def test_a_publisher_is_answered_and_a_viewer_is_offered(api: httpx.AsyncClient) -> None:
    peer = Peer()
    response = await api.post("/v1/sessions", json=new("publish", peer.publish_offer()))
    assert response.status_code == 201
    created = response.json()
    assert created.keys() == {"session", "sdp", "etag"}
    worker_id, _, random = created["session"].partition("-")
    assert worker_id == "w1"
    assert len(random) == 22
    assert random.isalnum()
    assert response.headers["location"] == f"/v1/sessions/{created['session']}"

    offered = (await api.post("/v1/sessions", json=new("subscribe"))).json()
    assert "a=setup:actpass" in offered["sdp"]
    answer = await api.put(f"/v1/sessions/{offered['session']}/answer", json={"sdp": peer.view_answer(offered["sdp"])})
    assert answer.status_code == 204

    for choice in ({"layer": "0"}, {"paused": True}, {}):
        chosen = await api.put(f"/v1/sessions/{offered['session']}/layer", json=choice)
        assert (chosen.status_code, chosen.json()) == (200, None)  # nothing flows yet
    refused = await api.put(f"/v1/sessions/{offered['session']}/layer", json={"layer": "4k"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_layer")
    refused = await api.put(f"/v1/sessions/{created['session']}/layer", json={})
    assert refused.json()["code"] == "unknown_session"

    whep = await api.post("/v1/sessions", json=new("subscribe", peer.view_offer()))
    assert whep.status_code == 201
    assert "a=sendonly" in whep.json()["sdp"]

    patched = await api.patch(f"/v1/sessions/{created['session']}", json={"fragment": "a=mid:0\r\n", "etag": None})
    assert patched.status_code == 204
    listed = (await api.get("/v1/sessions")).json()
    assert [item["kind"] for item in listed] == ["publish", "subscribe", "subscribe"]
    assert {"state", "codecs", "packets_in", "bytes_out", "nacks", "rtt_ms"} <= listed[0].keys()

    assert (await api.delete(f"/v1/sessions/{created['session']}")).status_code == 204
    gone = await api.delete(f"/v1/sessions/{created['session']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_session")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (new("publish", "v=0\r\nnonsense\r\n"), 422, "sdp_refused"),
        (new("publish"), 400, "malformed"),
        (new("watch"), 400, "malformed"),
        ({"room": "room"}, 400, "malformed"),
        ([], 400, "malformed"),
        (new("publish", "x") | {"name": "n" * 300}, 400, "malformed"),
        (new("subscribe"), 409, "no_publisher"),
        (new("publish", "v" * 200_000), 413, "too_large"),
    ],
)
async def test_a_request_that_cannot_be_served_is_a_problem_with_a_code(
    api: httpx.AsyncClient, body: object, status: int, code: str
) -> None:
    response = await api.post("/v1/sessions", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"].startswith("application/problem+json")


async def test_an_ice_restart_is_answered_with_our_side_and_a_new_tag(api: httpx.AsyncClient) -> None:
    created = (await api.post("/v1/sessions", json=new("publish", Peer().publish_offer()))).json()
    url = f"/v1/sessions/{created['session']}"
    fragment = f"a=ice-ufrag:another\r\na=ice-pwd:{'p' * 22}\r\n"
    restarted = await api.patch(url, json={"fragment": fragment, "etag": "*"})
    assert restarted.status_code == 200
    body = restarted.json()
    assert body["etag"] != created["etag"]
    lines = body["fragment"].split("\r\n")
    assert lines[0] == "a=ice-lite"
    assert sum(line.startswith("a=candidate:") for line in lines) == 2
    assert {"a=mid:0", "a=group:BUNDLE 0 1"} <= set(lines)
    ours = next(line for line in lines if line.startswith("a=ice-ufrag:"))
    assert ours not in created["sdp"]
    # The answer may get lost on its way: asked for again, it is the same.
    assert (await api.patch(url, json={"fragment": fragment, "etag": "*"})).json() == body
    stale = await api.patch(url, json={"fragment": "a=mid:0\r\n", "etag": created["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "etag_mismatch")


async def test_the_reason_names_the_line(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/sessions", json=new("publish", "v=0\r\nnonsense\r\n"))
    assert response.json()["detail"].startswith("line 2:")


async def test_errors_about_a_session_have_their_own_codes(api: httpx.AsyncClient) -> None:
    peer = Peer()
    created = (await api.post("/v1/sessions", json=new("publish", peer.publish_offer()))).json()
    url = f"/v1/sessions/{created['session']}"
    stale = await api.patch(url, json={"fragment": "", "etag": '"other"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "etag_mismatch")
    half = await api.patch(url, json={"fragment": "a=ice-ufrag:another\r\n"})
    assert (half.status_code, half.json()["code"]) == (422, "sdp_refused")
    unknown = await api.put("/v1/sessions/w1-none/answer", json={"sdp": ""})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_session")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer nonsense",
        "Basic abc",
        f"Bearer {token(audience=AUDIENCE_ROOM)}",
        f"Bearer {token(lifetime_s=-60)}",
        f"Bearer {token(jwks=generate_jwks())}",
        f"Bearer {token(grants=frozenset())}",
    ],
)
async def test_without_a_good_token_nothing_is_done(api: httpx.AsyncClient, authorization: str) -> None:
    api.headers["authorization"] = authorization
    for response in (
        await api.get("/v1/sessions"),
        await api.post("/v1/sessions", json=new("subscribe")),
        await api.delete("/v1/sessions/x"),
    ):
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


async def test_a_session_is_its_participants_and_its_rooms_moderators_alone(api: httpx.AsyncClient) -> None:
    peer = Peer()
    created = (await api.post("/v1/sessions", json=new("publish", peer.publish_offer()))).json()
    url = f"/v1/sessions/{created['session']}"
    moderator = frozenset({Grant.CONTROL, Grant.MODERATE})
    for stranger in (token(participant="q"), token(room="other"), token(room="other", grants=moderator)):
        headers = {"authorization": f"Bearer {stranger}"}
        for response in (
            await api.put(f"{url}/answer", json={"sdp": "v=0"}, headers=headers),
            await api.patch(url, json={"fragment": ""}, headers=headers),
            await api.delete(url, headers=headers),
        ):
            assert (response.status_code, response.json()["code"]) == (404, "unknown_session")
    headers = {"authorization": f"Bearer {token(participant='q', grants=moderator)}"}
    assert (await api.delete(url, headers=headers)).status_code == 204


async def test_nobody_makes_a_session_in_anothers_name(api: httpx.AsyncClient) -> None:
    for stranger in (token(participant="q"), token(room="other")):
        response = await api.post(
            "/v1/sessions", json=new("subscribe"), headers={"authorization": f"Bearer {stranger}"}
        )
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_health_needs_no_token(api: httpx.AsyncClient, worker: SfuWorker) -> None:
    del api.headers["authorization"]
    await eventually(lambda: worker.registry.registered, "registration")
    assert (await api.get("/health/live")).status_code == 200
    assert (await api.get("/health/ready")).json() == {"status": "ready"}
    worker.rooms.draining = True
    assert (await api.get("/health/ready")).status_code == 503
    refused = await api.post("/v1/sessions", json=new("subscribe"), headers={"authorization": f"Bearer {token()}"})
    assert (refused.status_code, refused.json()["code"]) == (503, "draining")
