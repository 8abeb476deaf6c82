"""Who is asking: bearer tokens and API keys (RFC 6750), and the grants that they must carry."""

from contextlib import suppress
from typing import Any

from litestar import Request
from litestar.openapi.spec import SecurityRequirement
from litestar.types import Scope
from redis.exceptions import RedisError

from functions import metrics
from functions.api.address_limits import address_of
from functions.context import Context
from shared.security.tokens import (
    AUDIENCE_IDENTITY,
    AUDIENCE_ROOM,
    Claims,
    Grant,
    Tier,
    TokenError,
)
from shared.state.api_keys import PREFIX
from shared.state.directory import parse_room_id
from shared.telemetry.problems import Problem

# What routes say of themselves in the OpenAPI document: whose token they take.
IDENTITY: list[SecurityRequirement] = [{"identity": []}]
ROOM_TOKEN: list[SecurityRequirement] = [{"room": []}]

ROOM_LIFETIME_S = 3600
ENCODER_LIFETIME_S = 12 * 3600

VIEWER_GRANTS = frozenset({Grant.SUBSCRIBE, Grant.CHAT})
OWNER_GRANTS = VIEWER_GRANTS | {Grant.PUBLISH, Grant.MODERATE}
ENCODER_GRANTS = frozenset({Grant.PUBLISH})

# What an API key was found to be, until the handler asks.
_KEY_STATE = "api_key"
# What trying tokens looks like; one that has expired is everyday life.
_OFFENCES = frozenset({"token_refused", "token_replayed", "key_refused"})


async def recognise_key(request: Request[Any, Any, Any], context: Context) -> None:
    """Look an API key up before the handler runs, so that handlers may ask for an identity without waiting.

    Raises:
        Problem: 401 where it is none, or has been revoked or expired.
    """
    token = _bearer(request)
    if not token.startswith(PREFIX):
        return
    key = await context.api_keys.authenticate(token)
    if key is None:
        metrics.TOKENS_REFUSED.labels("key_refused").inc()
        raise unauthorized("key_refused", "there is no such key, or it has been revoked or has expired")
    request.state[_KEY_STATE] = Claims(sub=key.owner, name=key.owner_name, tier=key.tier, grants=key.scopes, sid=key.id)


async def count_offence(error: Exception, scope: Scope, context: Context) -> None:
    """Count a refused token against the address that it came from; who goes on is backed off (`address_limits`)."""
    if isinstance(error, Problem) and error.code in _OFFENCES and (address := address_of(Request(scope), context)):
        with suppress(RedisError, OSError):
            await context.reception.limits.offended(address=address)


def identity_of(request: Request[Any, Any, Any], context: Context, grant: Grant | None = None) -> Claims:
    """The claims of the request's identity token.

    Raises:
        Problem: 401 without a good token, 403 without the grant.
    """
    known: Claims | None = request.state.get(_KEY_STATE)
    claims = known or _verify(request, context, AUDIENCE_IDENTITY)
    if grant is not None and grant not in claims.grants:
        raise _forbidden(f"the token does not grant {grant}")
    return claims


def typed_room(room_id: str) -> str:
    """The id of a room as somebody typed it; whether there is one is not looked at.

    Raises:
        Problem: 404 for what cannot be one.
    """
    room = parse_room_id(room_id)
    if room is None:
        raise no_such_room()
    return room


def no_such_room() -> Problem:
    """There is no room of that id."""
    return Problem(404, "room_unknown", "No such room", "check the code, or ask for a new link")


def room_claims_of(request: Request[Any, Any, Any], context: Context, room_id: str, grant: Grant) -> Claims:
    """The claims of the request's room token, which must be for the room of that typed id and carry `grant`.

    Raises:
        Problem: 404 for what is no room, 401 without a good token, 403 for another room or without the grant.
    """
    room = typed_room(room_id)
    claims = _verify(request, context, AUDIENCE_ROOM)
    if claims.room != room:
        raise _forbidden("the token is for another room")
    if grant not in claims.grants:
        raise _forbidden(f"the token does not grant {grant}")
    return claims


async def subject_of(authorization: str, context: Context) -> str | None:
    """Whose token or API key a request carries, whatever it is for; None where it is none of ours."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    if token.strip().startswith(PREFIX):
        key = await context.api_keys.authenticate(token.strip())
        # Keys of one owner may do different things.
        return f"{key.owner}:{key.id}" if key is not None else None
    for audience in (AUDIENCE_IDENTITY, AUDIENCE_ROOM):
        try:
            return context.tokens.verify(token.strip(), audience=audience).sub
        except TokenError:
            continue
    return None


def claims_of_link(context: Context, token: str, room: str, recording: str) -> Claims:
    """The claims of the token in a link to a recording.

    Raises:
        Problem: 401 when it is not good, or not for that recording; 404 when it is for another room.
    """
    try:
        return context.shelf.claims_of_link(token, room, recording)
    except TokenError as error:
        metrics.TOKENS_REFUSED.labels(error.code).inc()
        raise unauthorized(error.code, str(error)) from None


def sign_participant(context: Context, identity: Claims, room: str, *, owner: bool) -> str:
    """A room token for a browser or app."""
    claims = Claims(
        sub=identity.sub,
        name=identity.name,
        tier=Tier.STREAMER if owner else identity.tier,
        room=room,
        grants=_lent(identity, OWNER_GRANTS if owner else VIEWER_GRANTS),
        sid=identity.sid,
    )
    return context.tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=ROOM_LIFETIME_S)


def sign_encoder(context: Context, identity: Claims, room: str) -> str:
    """A room token that can publish and nothing else, for a program that somebody pastes it into."""
    claims = Claims(
        sub=identity.sub,
        name=identity.name,
        tier=Tier.STREAMER,
        room=room,
        grants=_lent(identity, ENCODER_GRANTS),
        sid=identity.sid,
    )
    return context.tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=ENCODER_LIFETIME_S)


def _lent(identity: Claims, grants: frozenset[Grant]) -> frozenset[Grant]:
    """What a room token may grant: for an API key no more than its scopes."""
    return grants & identity.grants if identity.sid.startswith("k") else grants


def _bearer(request: Request[Any, Any, Any]) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _verify(request: Request[Any, Any, Any], context: Context, audience: str) -> Claims:
    token = _bearer(request)
    if not token:
        raise unauthorized("unauthorized", "send the token as `Authorization: Bearer …`")
    try:
        return context.tokens.verify(token, audience=audience)
    except TokenError as error:
        metrics.TOKENS_REFUSED.labels(error.code).inc()
        raise unauthorized(error.code, str(error)) from None


def unauthorized(code: str, detail: str) -> Problem:
    """Not known, or not believed."""
    challenge = "Bearer" if code == "unauthorized" else 'Bearer error="invalid_token"'
    return Problem(401, code, "Not authenticated", detail, {"www-authenticate": challenge})


def _forbidden(detail: str) -> Problem:
    return Problem(403, "forbidden", "Not allowed", detail)
