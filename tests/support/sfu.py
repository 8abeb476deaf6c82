"""What an SFU worker says of itself, asked as the functions ask it."""

from typing import Any

import httpx

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from shared.stack.stack import LocalStack


async def sessions(stack: LocalStack, worker_url: str) -> list[dict[str, Any]]:
    """The sessions of a worker."""
    tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))
    token = tokens.sign(Claims(sub="test", grants=frozenset({Grant.CONTROL})), audience=AUDIENCE_SFU, lifetime_s=60)
    async with httpx.AsyncClient() as http:
        response = await http.get(f"{worker_url}/v1/sessions", headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    return list(response.json())
