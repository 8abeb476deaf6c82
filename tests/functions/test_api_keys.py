"""API keys of servers: what they may do, how they are listed, and how they end."""

import asyncio

import httpx

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_ROOM, Grant, Tokens
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from tests.support.accounts import Account, problem, register
from tests.support.room_client import Person, guest


async def _key(http: httpx.AsyncClient, account: Account, *scopes: str, **more: object) -> tuple[str, dict[str, str]]:
    body = {"name": "bot", "scopes": list(scopes)} | more
    response = await http.post("/v1/keys", json=body, headers=account.headers)
    assert response.status_code == 201, response.text
    return response.json()["key"]["id"], {"authorization": f"Bearer {response.json()['secret']}"}


async def test_a_key_acts_for_its_owner_within_its_scopes(http: httpx.AsyncClient, stack: LocalStack) -> None:
    account = await register(http)
    _, both = await _key(http, account, "create_room", "chat")
    _, chat = await _key(http, account, "chat")
    created = await http.post("/v1/rooms", json={"title": "By a server"}, headers=both)
    room = created.json()["room"]
    assert room["owner"]["id"] == account.id
    claims = Tokens(KeyRing.from_jwks(stack.jwt_keys)).verify(created.json()["token"], audience=AUDIENCE_ROOM)
    assert claims.grants == {Grant.CHAT}
    problem(await http.post("/v1/rooms", json={"title": "t"}, headers=chat), 403, "forbidden")
    own = await Person(http, account.token, account.id).room_token(room["id"])
    owner = Tokens(KeyRing.from_jwks(stack.jwt_keys)).verify(own, audience=AUDIENCE_ROOM)
    assert Grant.MODERATE in owner.grants


async def test_a_key_cannot_manage_the_account_it_belongs_to(http: httpx.AsyncClient) -> None:
    account = await register(http)
    identifier, key = await _key(http, account, "create_room")
    problem(await http.get("/v1/users/me", headers=key), 403, "forbidden")
    problem(await http.post("/v1/keys", json={"name": "k", "scopes": ["chat"]}, headers=key), 403, "forbidden")
    problem(await http.delete(f"/v1/keys/{identifier}", headers=key), 403, "forbidden")
    problem(await http.delete("/v1/sessions/current", headers=key), 404, "session_unknown")
    wanted = {"name": "k", "scopes": ["account"]}
    problem(await http.post("/v1/keys", json=wanted, headers=account.headers), 400, "malformed")


async def test_a_request_of_a_key_is_carried_out_once_and_the_key_s_own_text_is_not_kept(
    http: httpx.AsyncClient,
) -> None:
    account = await register(http)
    _, key = await _key(http, account, "create_room")
    _, other = await _key(http, account, "create_room", "chat")
    once = {"idempotency-key": "one-room"}
    made = [(await http.post("/v1/rooms", json={"title": "t"}, headers=who | once)).json() for who in (key, key, other)]
    assert made[0] == made[1]
    assert made[2]["room"]["id"] != made[0]["room"]["id"]
    wanted = {"name": "k", "scopes": ["chat"]}
    texts = {(await http.post("/v1/keys", json=wanted, headers=account.headers | once)).json()["secret"] for _ in "ab"}
    assert len(texts) == 2


async def test_keys_are_for_people_with_accounts(http: httpx.AsyncClient) -> None:
    headers = (await guest(http, "Bo")).headers
    problem(await http.post("/v1/keys", json={"name": "k", "scopes": ["chat"]}, headers=headers), 403, "forbidden")


async def test_keys_are_listed_without_their_text_and_say_when_they_were_used(
    http: httpx.AsyncClient, stack: LocalStack
) -> None:
    account = await register(http)
    identifier, key = await _key(http, account, "create_room", expires_in_s=3600)
    (before,) = (await http.get("/v1/keys", headers=account.headers)).json()
    assert before["used_at"] is None
    assert before["expires_at"] > before["created_at"]
    await http.post("/v1/rooms", json={"title": "t"}, headers=key)
    (after,) = (await http.get("/v1/keys", headers=account.headers)).json()
    assert after == before | {"used_at": after["used_at"]}
    assert after["used_at"] is not None
    client = connect_mongodb(stack.mongodb_uri)
    document = await client["headrace"]["api_keys"].find_one({"_id": identifier})
    await client.close()
    # hrk_, the id, and the secret, which may have underscores of its own.
    secret = key["authorization"].split("_", 2)[2]
    assert secret not in str(document)
    assert secret not in str(after)


async def test_a_revoked_key_is_refused_at_once_and_so_are_tokens_got_with_it(
    http: httpx.AsyncClient, stack: LocalStack
) -> None:
    account = await register(http)
    identifier, key = await _key(http, account, "create_room", "moderate")
    created = (await http.post("/v1/rooms", json={"title": "t"}, headers=key)).json()
    recordings = f"/v1/rooms/{created['room']['id']}/recordings"
    room_token = {"authorization": f"Bearer {created['token']}"}
    assert (await http.get(recordings, headers=room_token)).status_code == 200
    stranger = await register(http)
    problem(await http.delete(f"/v1/keys/{identifier}", headers=stranger.headers), 404, "key_unknown")
    assert (await http.delete(f"/v1/keys/{identifier}", headers=account.headers)).status_code == 204
    problem(await http.post("/v1/rooms", json={"title": "t"}, headers=key), 401, "key_refused")
    problem(await http.get(recordings, headers=room_token), 401, "token_revoked")
    async with httpx.AsyncClient(base_url=stack.functions[1].url) as other, asyncio.timeout(10):
        problem(await other.post("/v1/rooms", json={"title": "t"}, headers=key), 401, "key_refused")
        while (await other.get(recordings, headers=room_token)).status_code != 401:
            await asyncio.sleep(0.05)


async def test_a_key_that_nobody_made_is_refused(http: httpx.AsyncClient) -> None:
    account = await register(http)
    identifier, key = await _key(http, account, "create_room")
    other_secret = f"hrk_{identifier}_{'A' * 43}"
    for text in ("hrk_", "hrk_x_y", other_secret, key["authorization"][7:-1], f"{key['authorization'][7:]}A"):
        headers = {"authorization": f"Bearer {text}"}
        problem(await http.post("/v1/rooms", json={"title": "t"}, headers=headers), 401, "key_refused")
