"""Keys are rotated while people use the platform: nobody is refused, and what is published is ahead of what signs."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from shared.security.keys import KeyRing
from shared.stack.stack import LocalStack
from tests.bench.rotation import rotate_under_load
from tests.conftest import child_environ


@pytest_asyncio.fixture
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """A stack whose keys may change."""
    folder = tmp_path_factory.mktemp("rotation")
    async with LocalStack(folder, functions=2, workers=1, environ=child_environ(), report=lambda _: None) as stack:
        yield stack


async def test_no_good_token_is_refused_while_keys_rotate_under_load(own: LocalStack) -> None:
    tally = await rotate_under_load(own, rotations=2, clients=4)
    assert tally.refused == {}
    assert len(tally.kids) == 3
    asked = {what for what, _ in tally.answers}
    assert asked == {"refresh", "room_token", "socket", "worker"}
    assert {status for what, status in tally.answers if what == "worker"} == {422}
    assert {status for what, status in tally.answers if what != "worker"} <= {101, 200, 201}
    async with httpx.AsyncClient(base_url=own.functions[0].url) as http:
        response = await http.get("/.well-known/jwks.json")
    assert response.headers["content-type"] == "application/jwk-set+json"
    assert response.headers["cache-control"] == "public, max-age=300"
    published = KeyRing.from_jwks(response.text)
    assert published.keys.keys() == KeyRing.from_jwks(own.keys_file.read_text()).keys.keys()
    assert all(key.secret is None for key in published.keys.values())
