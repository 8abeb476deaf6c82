"""What every answer carries, where requests may come from, and what is written down of them."""

import asyncio
import json
import secrets

import httpx
import pytest

from functions.app import build_app
from functions.context import build_context
from functions.http_security import secured
from functions.settings import Settings
from shared.protocol import messages as m
from shared.security.keys import generate_jwks
from shared.stack.stack import LocalStack
from tests.support.accounts import problem, register
from tests.support.room_client import guest, joined


@pytest.mark.parametrize("path", ["/health/live", "/v1/nothing", "/v1/rooms/x", "/", "/docs", "/openapi.json"])
async def test_every_answer_says_what_browsers_may_do_with_it(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy if path in {"/", "/docs"} else "default-src 'none'" in policy
    # This is no deployment with a certificate.
    assert "strict-transport-security" not in headers


async def test_what_is_for_one_person_is_for_no_cache(http: httpx.AsyncClient) -> None:
    account = await register(http)
    for response in (
        await http.get("/v1/users/me", headers=account.headers),
        await http.post("/v1/guests", json={"name": "Bo"}),
        await http.get("/v1/keys", headers=account.headers),
    ):
        assert response.headers["cache-control"] == "no-store"


def _settings(**changes: object) -> Settings:
    given: dict[str, object] = {
        "redis_url": "redis://127.0.0.1:1/0",
        "mongodb_uri": "mongodb://127.0.0.1:1/?replicaSet=none",
        "jwt_keys": generate_jwks(),
    }
    return Settings(**given | changes)  # type: ignore[arg-type]


async def test_production_asks_for_https_from_then_on_and_pages_of_allowed_origins_may_call() -> None:
    context = build_context(_settings(allowed_origins=("https://shop.example",)))
    app = secured(build_app(context), production=True)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # Litestar's own ASGI types
    async with httpx.AsyncClient(transport=transport, base_url="https://live.example") as http:
        live = await http.get("/health/live", headers={"origin": "https://shop.example"})
        assert live.headers["strict-transport-security"].startswith("max-age=31536000")
        assert live.headers["access-control-allow-origin"] == "https://shop.example"
        assert "access-control-allow-credentials" not in live.headers
        ask = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization"}
        for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
            preflight = await http.options("/v1/users/me/password", headers=ask | {"origin": origin})
            granted = preflight.headers.get("access-control-allow-origin") == origin
            assert (preflight.is_success and granted) is allowed
    await context.close()


async def test_an_address_that_goes_on_is_backed_off_and_its_neighbours_are_not(http: httpx.AsyncClient) -> None:
    address = f"203.0.113.{secrets.randbelow(256)}"

    async def registers(source: str) -> httpx.Response:
        # Refused for its weakness, after it was counted.
        body = {"username": "somebody", "password": "short", "name": "Ana"}
        return await http.post("/v1/users", json=body, headers={"x-forwarded-for": source})

    answers = await asyncio.gather(*(registers(address) for _ in range(60)))
    codes = {answer.status_code for answer in answers}
    assert codes == {422, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await registers(f"198.51.100.{secrets.randbelow(256)}")).status_code == 422
    # What somebody claims in front of what the proxy says counts for nothing.
    assert (await registers(f"192.0.2.7, {address}")).status_code == 429


async def test_nothing_that_somebody_typed_is_in_logs_or_metrics(http: httpx.AsyncClient, stack: LocalStack) -> None:
    mark = f"marked{secrets.token_hex(6)}"
    ana = await guest(http, f"Ana {mark}")
    room, token = await ana.create_room(f"Room {mark}")
    account = await register(http, name=f"Bo {mark}", password=f"a password {mark}")
    await http.patch("/v1/users/me", json={"about": mark}, headers=account.headers)
    await http.post("/v1/sessions", json={"username": mark, "password": mark})
    await http.post("/v1/keys", json={"name": mark, "scopes": ["chat"]}, headers=account.headers)
    await http.get(f"/v1/{mark}?{mark}={mark}", headers={"user-agent": mark, "authorization": f"Bearer {mark}"})
    await http.request(mark.upper(), "/v1/guests")
    await http.post("/v1/guests", content=json.dumps({mark: mark}))
    await http.post(f"/v1/rooms/{mark}/whip", content=mark, headers={"authorization": f"Bearer {token}"})
    async with joined(stack.functions[0].socket_url, room, token) as client:
        await client.say(f"Hello {mark}")
        await client.send(m.Configure(1, title=f"Title {mark}", category=mark))
        await client.expect(m.Done)
    # The log line of a request follows its answer.
    await http.get("/v1/rooms/x", headers={"x-request-id": "after-all-that"})
    log = stack.logs / "function-1.log"
    async with asyncio.timeout(10):
        while "after-all-that" not in log.read_text(encoding="utf-8"):
            await asyncio.sleep(0.05)
    written = log.read_text(encoding="utf-8").lower()
    assert mark not in written
    for secret in (token, account.token, account.refresh_token, account.username):
        assert secret.lower() not in written
    for endpoint in stack.functions:
        assert mark not in (await http.get(endpoint.metrics_url)).text.lower()
