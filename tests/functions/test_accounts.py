"""People: guests, registration, signing in and out, profiles, over HTTP."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_IDENTITY, Tokens
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from tests.support.accounts import PASSWORD, problem, refresh, register, sign_in, signed_in, unused_name
from tests.support.room_client import guest


@pytest_asyncio.fixture
async def other(stack: LocalStack) -> AsyncIterator[httpx.AsyncClient]:
    """The second function process."""
    async with httpx.AsyncClient(base_url=stack.functions[1].url) as client:
        yield client


async def test_a_guest_who_registers_keeps_their_rooms(http: httpx.AsyncClient) -> None:
    ana = await guest(http, "Ana")
    room, _ = await ana.create_room()
    account = await register(http, guest=ana.token)
    assert account.id == ana.id
    token = await http.post(f"/v1/rooms/{room}/tokens", json={}, headers=account.headers)
    assert token.json()["role"] == "streamer"
    # Whoever still has the guest's token can make another account with it, and not this one's.
    second = await register(http, guest=ana.token)
    assert second.id != ana.id


async def test_an_account_is_known_at_every_process_and_its_name_only_once(
    http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    account = await register(http)
    again = await signed_in(other, account.username.upper())
    assert again.id == account.id
    taken = {"username": account.username.title(), "password": PASSWORD, "name": "Bo"}
    problem(await other.post("/v1/users", json=taken), 409, "username_taken")


async def test_of_many_who_register_one_name_at_once_one_gets_it(http: httpx.AsyncClient) -> None:
    body = {"username": unused_name(), "password": PASSWORD, "name": "Ana"}
    answers = await asyncio.gather(*(http.post("/v1/users", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_passwords_are_kept_as_argon2id_hashes_only(http: httpx.AsyncClient, stack: LocalStack) -> None:
    account = await register(http)
    client = connect_mongodb(stack.mongodb_uri)
    document = await client["headrace"]["users"].find_one({"_id": account.id})
    await client.close()
    assert document is not None
    assert document["password"].startswith("$argon2id$")
    assert PASSWORD not in str(document)


@pytest.mark.parametrize(
    "change",
    [
        {"username": "a"},
        {"username": "has space"},
        {"username": "аna"},  # noqa: RUF001 - a Cyrillic letter is the point
        {"name": ""},
        {"name": "\u202e \u0000"},
        {"name": "e" + "\u0301" * 30},
        {"session": "header"},
        {"password": "x" * 257},
        {"admin": True},
    ],
)
async def test_a_registration_that_cannot_be_is_a_problem(http: httpx.AsyncClient, change: dict[str, object]) -> None:
    body = {"username": unused_name(), "password": PASSWORD, "name": "Ana"} | change
    problem(await http.post("/v1/users", json=body), 400, "malformed")


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "Password1234", "ababababababab", "{username}1"])
async def test_a_password_that_is_guessed_first_is_refused(http: httpx.AsyncClient, password: str) -> None:
    username = unused_name()
    body = {"username": username, "password": password.format(username=username), "name": "Ana"}
    problem(await http.post("/v1/users", json=body), 422, "password_too_weak")


async def test_a_wrong_password_and_a_wrong_name_are_told_the_same(http: httpx.AsyncClient) -> None:
    account = await register(http)
    wrong = problem(await sign_in(http, account.username, "not this one"), 401, "wrong_credentials")
    nobody = problem(await sign_in(http, unused_name()), 401, "wrong_credentials")
    assert wrong == nobody


async def test_whoever_guesses_waits_ever_longer_and_others_at_the_same_name_do_not(
    http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    account = await register(http)
    guesser, owner = f"203.0.113.{secrets.randbelow(256)}", f"198.51.100.{secrets.randbelow(256)}"
    guesses = [
        await sign_in((http, other)[attempt % 2], account.username, "guess", **{"x-forwarded-for": guesser})
        for attempt in range(6)
    ]
    assert [guess.status_code for guess in guesses] == [401] * 5 + [429]
    waited = problem(guesses[-1], 429, "too_many_requests")
    assert int(guesses[-1].headers["retry-after"]) >= 1
    assert "wait" in waited["detail"]
    # Even the right password waits there, and nothing tells that it would have been right.
    right = await sign_in(http, account.username, **{"x-forwarded-for": guesser})
    problem(right, 429, "too_many_requests")
    response = await sign_in(http, account.username, **{"x-forwarded-for": owner})
    assert response.status_code == 201


async def test_a_profile_is_read_by_all_and_changed_by_its_owner(http: httpx.AsyncClient) -> None:
    account = await register(http)
    changed = await http.patch("/v1/users/me", json={"name": "Ana L.", "about": "Synths."}, headers=account.headers)
    assert changed.json()["username"] == account.username
    public = (await http.get(f"/v1/users/{account.id}")).json()
    assert (public["name"], public["about"]) == ("Ana L.", "Synths.")
    assert set(public) == {"id", "name", "about", "created_at"}
    # The next identity token has the new name.
    renewed = (await refresh(http, account.refresh_token)).json()
    assert renewed["participant"]["name"] == "Ana L."
    emptied = await http.patch("/v1/users/me", json={"about": ""}, headers=account.headers)
    assert (emptied.json()["name"], emptied.json()["about"]) == ("Ana L.", "")
    problem(await http.get("/v1/users/pnobody"), 404, "user_unknown")
    problem(await http.get("/v1/users/me"), 401, "unauthorized")
    problem(await http.get("/v1/users/me", headers=(await guest(http, "Bo")).headers), 403, "forbidden")


async def test_a_new_password_ends_the_other_sessions(http: httpx.AsyncClient) -> None:
    account = await register(http)
    elsewhere = await signed_in(http, account.username)
    change = {"current": "not this one", "new": "a longer way home"}
    problem(await http.put("/v1/users/me/password", json=change, headers=account.headers), 401, "wrong_credentials")
    change["current"] = PASSWORD
    weak = await http.put("/v1/users/me/password", json=change | {"new": "short"}, headers=account.headers)
    problem(weak, 422, "password_too_weak")
    assert (await http.put("/v1/users/me/password", json=change, headers=account.headers)).status_code == 204
    assert (await http.get("/v1/users/me", headers=account.headers)).status_code == 200
    problem(await http.get("/v1/users/me", headers=elsewhere.headers), 401, "token_revoked")
    problem(await refresh(http, elsewhere.refresh_token), 401, "session_ended")
    problem(await sign_in(http, account.username), 401, "wrong_credentials")
    assert (await sign_in(http, account.username, "a longer way home")).status_code == 201


async def test_sessions_are_listed_and_ended_one_by_one_or_all(http: httpx.AsyncClient) -> None:
    account = await register(http)
    elsewhere = await signed_in(http, account.username)
    sessions = (await http.get("/v1/sessions", headers=account.headers)).json()
    assert [session["current"] for session in sessions].count(True) == 1
    there = next(session["id"] for session in sessions if not session["current"])
    assert (await http.delete(f"/v1/sessions/{there}", headers=account.headers)).status_code == 204
    problem(await http.get("/v1/users/me", headers=elsewhere.headers), 401, "token_revoked")
    problem(await http.delete(f"/v1/sessions/{there}", headers=account.headers), 404, "session_unknown")
    stranger = await register(http)
    mine = next(session["id"] for session in sessions if session["current"])
    problem(await http.delete(f"/v1/sessions/{mine}", headers=stranger.headers), 404, "session_unknown")
    assert (await http.delete("/v1/sessions", headers=account.headers)).status_code == 204
    problem(await http.get("/v1/users/me", headers=account.headers), 401, "token_revoked")


async def test_a_deleted_account_is_gone_with_its_keys_and_sessions(http: httpx.AsyncClient) -> None:
    account = await register(http)
    made = await http.post("/v1/keys", json={"name": "bot", "scopes": ["create_room"]}, headers=account.headers)
    key = {"authorization": f"Bearer {made.json()['secret']}"}
    body = {"password": "not this one"}
    problem(await http.post("/v1/users/me/deletion", json=body, headers=account.headers), 401, "wrong_credentials")
    body["password"] = PASSWORD
    assert (await http.post("/v1/users/me/deletion", json=body, headers=account.headers)).status_code == 204
    problem(await http.get("/v1/users/me", headers=account.headers), 401, "token_revoked")
    problem(await http.post("/v1/rooms", json={"title": "t"}, headers=key), 401, "key_refused")
    problem(await refresh(http, account.refresh_token), 401, "session_ended")
    problem(await http.get(f"/v1/users/{account.id}"), 404, "user_unknown")
    # The name is free again.
    again = {"username": account.username, "password": PASSWORD, "name": "Bo"}
    assert (await http.post("/v1/users", json=again)).status_code == 201


async def test_a_page_keeps_its_session_in_a_cookie_that_only_it_can_use(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/guests", json={"name": "Ana", "session": "cookie"})
    assert response.json()["refresh_token"] == ""
    attributes = response.headers["set-cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert "path=/v1/sessions" in attributes
    cookie = {"cookie": response.headers["set-cookie"].partition(";")[0]}
    http.cookies.clear()
    page = cookie | {"sec-fetch-site": "same-origin"}
    renewed = await http.post("/v1/sessions/refresh", json={}, headers=page)
    assert renewed.status_code == 200
    assert renewed.json()["participant"] == response.json()["participant"]
    assert renewed.headers["set-cookie"] != response.headers["set-cookie"]
    http.cookies.clear()
    own = f"http://{renewed.request.headers['host']}"
    for headers in (
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{own}.evil.example"},
    ):
        problem(await http.post("/v1/sessions/refresh", json={}, headers=cookie | headers), 403, "foreign_page")
    older = await http.post("/v1/sessions/refresh", json={}, headers=cookie | {"origin": own})
    assert older.status_code == 200
    http.cookies.clear()


async def test_signing_out_clears_the_cookie_and_ends_the_session(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/guests", json={"name": "Ana", "session": "cookie"})
    http.cookies.clear()
    headers = {"authorization": f"Bearer {response.json()['token']}"}
    gone = await http.delete("/v1/sessions/current", headers=headers)
    assert gone.status_code == 204
    assert "max-age=0" in gone.headers["set-cookie"].lower()
    problem(await http.post("/v1/rooms", json={"title": "t"}, headers=headers), 401, "token_revoked")
    http.cookies.clear()


async def test_an_identity_token_is_short_lived(http: httpx.AsyncClient, stack: LocalStack) -> None:
    response = await http.post("/v1/guests", json={"name": "Ana"})
    body = response.json()
    assert body["expires_in_s"] == 900
    assert Tokens(KeyRing.from_jwks(stack.jwt_keys)).verify(body["token"], audience=AUDIENCE_IDENTITY).sid
