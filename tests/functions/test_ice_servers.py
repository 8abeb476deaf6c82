"""ICE servers: credentials that coturn accepts, the headers of RFC 9725, and settings that cannot be used."""

import base64
import hashlib
import hmac
from typing import Any

import httpx
import pytest
from litestar import Litestar, get

from functions.api import ice_servers, media
from functions.settings import Settings
from shared.settings import SettingsError, load

REQUIRED = {"REDIS_URL": "redis://127.0.0.1/0", "MONGODB_URI": "mongodb://127.0.0.1", "HEADRACE_JWT_KEYS": "{}"}
URLS = "stun:turn.example:3478,turn:turn.example:3478?transport=udp,turns:turn.example:443?transport=tcp"


def configured(**changes: str) -> Settings:
    return load(Settings, REQUIRED | changes)


def test_without_servers_nobody_is_told_of_any() -> None:
    settings = configured()
    ice_servers.check(settings)
    assert ice_servers.for_person(settings, "p1") == ()


def test_turn_credentials_are_what_coturn_computes_and_expire() -> None:
    settings = configured(HEADRACE_ICE_SERVERS=URLS, HEADRACE_TURN_SECRET="north", HEADRACE_TURN_LIFETIME_S="600")
    ice_servers.check(settings)
    stun, turn = ice_servers.for_person(settings, "p1", now=1_000.5)
    assert (stun.urls, stun.username, stun.credential) == (("stun:turn.example:3478",), "", "")
    assert len(turn.urls) == 2
    assert turn.username == "1600:p1"
    expected = base64.b64encode(hmac.digest(b"north", b"1600:p1", hashlib.sha1)).decode()
    assert turn.credential == expected


def test_every_url_has_a_link_of_its_own() -> None:
    settings = configured(HEADRACE_ICE_SERVERS=URLS, HEADRACE_TURN_SECRET="north")
    links = ice_servers.links(ice_servers.for_person(settings, "p1", now=0))
    assert links[0] == '<stun:turn.example:3478>; rel="ice-server"'
    assert links[1].startswith('<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="43200:p1"; ')
    assert links[2].endswith('; credential-type="password"')


async def test_links_travel_as_separate_headers() -> None:
    @get("/")
    async def created() -> media._Created:
        return media._Created("v=0", status_code=201, media_type=media.SDP, links=["<stun:a>", "<stun:b>"])

    transport = httpx.ASGITransport(app=Litestar([created], openapi_config=None))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/")
    assert response.status_code == 201, response.text
    assert response.headers.get_list("link") == ["<stun:a>", "<stun:b>"]
    assert (response.status_code, response.text) == (201, "v=0")


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"HEADRACE_ICE_SERVERS": "turn.example:3478"}, "HEADRACE_ICE_SERVERS"),
        ({"HEADRACE_ICE_SERVERS": "http://turn.example"}, "HEADRACE_ICE_SERVERS"),
        ({"HEADRACE_ICE_SERVERS": "stun:"}, "HEADRACE_ICE_SERVERS"),
        ({"HEADRACE_ICE_SERVERS": "stun:a>b"}, "HEADRACE_ICE_SERVERS"),
        ({"HEADRACE_ICE_SERVERS": "turn:turn.example"}, "HEADRACE_TURN_SECRET"),
        ({"HEADRACE_TURN_LIFETIME_S": "5"}, "HEADRACE_TURN_LIFETIME_S"),
    ],
)
def test_servers_that_no_client_could_use_are_refused_at_the_start(changes: dict[str, Any], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        ice_servers.check(configured(**changes))
