"""People with accounts, for tests over HTTP."""

import secrets
from typing import Any

import httpx
import msgspec

PASSWORD = "three synths and a drum"


class Account(msgspec.Struct):
    """Somebody registered, and the tokens of one session."""

    id: str
    username: str
    token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


def unused_name() -> str:
    return f"ana.{secrets.token_hex(6)}"


async def register(http: httpx.AsyncClient, *, guest: str = "", name: str = "Ana", **changes: object) -> Account:
    username = unused_name()
    headers = {"authorization": f"Bearer {guest}"} if guest else {}
    body = {"username": username, "password": PASSWORD, "name": name} | changes
    response = await http.post("/v1/users", json=body, headers=headers)
    assert response.status_code == 201, response.text
    return _account(username, response)


async def sign_in(http: httpx.AsyncClient, username: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return await http.post("/v1/sessions", json={"username": username, "password": password}, headers=headers)


async def signed_in(http: httpx.AsyncClient, username: str, password: str = PASSWORD) -> Account:
    response = await sign_in(http, username, password)
    assert response.status_code == 201, response.text
    return _account(username, response)


async def refresh(http: httpx.AsyncClient, refresh_token: str, **headers: str) -> httpx.Response:
    return await http.post("/v1/sessions/refresh", json={"refresh_token": refresh_token}, headers=headers)


def _account(username: str, response: httpx.Response) -> Account:
    body = response.json()
    return Account(body["participant"]["id"], username, body["token"], body["refresh_token"])


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"]) == (status, code)
    return body
