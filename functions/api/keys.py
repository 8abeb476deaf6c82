"""API keys, with which servers act in their owner's name, and the public keys that verify our tokens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions.api.auth import IDENTITY, identity_of
from functions.api.identity_schemas import CreatedKeyResponse, KeyRequest, KeyResponse
from functions.api.wording import cleaned
from functions.context import Context
from shared.security.tokens import Grant
from shared.state.api_keys import MAX_OF_OWNER, ApiKey
from shared.telemetry.problems import Problem

# Half of the least lead of a rotation: whoever reads the set at that pace knows a key before it signs.
JWKS_MAX_AGE_S = 300


@post("/v1/keys", summary="Make an API key", tags=["keys"], security=IDENTITY, opt={"secret": True})
async def create_key(
    request: Request[Any, Any, Any], data: JSONBody[KeyRequest], context: NamedDependency[Context]
) -> CreatedKeyResponse:
    """Make a key that may do in the account's name what its scopes say. Its text is shown this once."""
    identity = identity_of(request, context, Grant.ACCOUNT)
    name = cleaned(context, data.name, "name")
    if len(await context.api_keys.of(identity.sub)) >= MAX_OF_OWNER:
        raise Problem(409, "too_many_keys", "Too many keys", f"an account has at most {MAX_OF_OWNER}: revoke some")
    expires_at = None
    if data.expires_in_s is not None:
        expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=data.expires_in_s)
    key, secret = await context.api_keys.create(
        owner=identity.sub,
        owner_name=identity.name,
        tier=identity.tier,
        name=name,
        scopes=frozenset(Grant(scope) for scope in data.scopes),
        expires_at=expires_at,
    )
    return CreatedKeyResponse(_described(key), secret)


@get("/v1/keys", summary="List one's API keys", tags=["keys"], security=IDENTITY)
async def list_keys(request: Request[Any, Any, Any], context: NamedDependency[Context]) -> list[KeyResponse]:
    """The account's keys, oldest first, without their text."""
    identity = identity_of(request, context, Grant.ACCOUNT)
    return [_described(key) for key in await context.api_keys.of(identity.sub)]


@delete("/v1/keys/{key:str}", summary="Revoke an API key", tags=["keys"], security=IDENTITY, status_code=204)
async def revoke_key(request: Request[Any, Any, Any], key: FromPath[str], context: NamedDependency[Context]) -> None:
    """Revoke a key at once, and within a second the room tokens that were got with it."""
    identity = identity_of(request, context, Grant.ACCOUNT)
    if not await context.api_keys.revoke(identity.sub, key):
        raise Problem(404, "key_unknown", "No such key", "it may have been revoked already")
    await context.revocations.revoke([key])


@get("/.well-known/jwks.json", summary="Public keys", tags=["keys"], media_type="application/jwk-set+json")
async def read_jwks(context: NamedDependency[Context]) -> Response[dict[str, list[dict[str, Any]]]]:
    """The keys that verify our tokens (RFC 7517), those that are about to sign among them."""
    headers = {"cache-control": f"public, max-age={JWKS_MAX_AGE_S}"}
    document = msgspec.json.decode(context.tokens.keys.public_jwks(), type=dict[str, list[dict[str, Any]]])
    return Response(document, media_type="application/jwk-set+json", headers=headers)


def _described(key: ApiKey) -> KeyResponse:
    return KeyResponse(key.id, key.name, sorted(key.scopes), key.created_at, key.expires_at, key.used_at)


ROUTES: list[ControllerRouterHandler] = [create_key, list_keys, revoke_key, read_jwks]
