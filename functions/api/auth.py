"""Who is asking: bearer tokens (RFC 6750) and the grants that they must carry."""

from typing import Any

from litestar import Request

from functions import metrics
from functions.context import Context
from shared.security.tokens import (
    AUDIENCE_IDENTITY,
    AUDIENCE_ROOM,
    Claims,
    Grant,
    Tier,
    TokenError,
)
from shared.telemetry.problems import Problem

IDENTITY_LIFETIME_S = 30 * 24 * 3600
ROOM_LIFETIME_S = 3600
ENCODER_LIFETIME_S = 12 * 3600

VIEWER_GRANTS = frozenset({Grant.SUBSCRIBE, Grant.CHAT})
OWNER_GRANTS = VIEWER_GRANTS | {Grant.PUBLISH, Grant.MODERATE}
ENCODER_GRANTS = frozenset({Grant.PUBLISH})


def identity_of(request: Request[Any, Any, Any], context: Context, grant: Grant | None = None) -> Claims:
    """The claims of the request's identity token.

    Raises:
        Problem: 401 without a good token, 403 without the grant.
    """
    claims = _verify(request, context, AUDIENCE_IDENTITY)
    if grant is not None and grant not in claims.grants:
        raise _forbidden(f"the token does not grant {grant}")
    return claims


def room_claims_of(request: Request[Any, Any, Any], context: Context, room: str, grant: Grant) -> Claims:
    """The claims of the request's room token, which must be for `room` and carry `grant`.

    Raises:
        Problem: 401 without a good token, 403 for another room or without the grant.
    """
    claims = _verify(request, context, AUDIENCE_ROOM)
    if claims.room != room:
        raise _forbidden("the token is for another room")
    if grant not in claims.grants:
        raise _forbidden(f"the token does not grant {grant}")
    return claims


def claims_of_link(context: Context, token: str, room: str, recording: str) -> Claims:
    """The claims of the token in a link to a recording.

    Raises:
        Problem: 401 when it is not good, or not for that recording; 404 when it is for another room.
    """
    try:
        return context.shelf.claims_of_link(token, room, recording)
    except TokenError as error:
        metrics.TOKENS_REFUSED.labels(error.code).inc()
        raise _unauthorized(error.code, str(error)) from None


def sign_participant(context: Context, identity: Claims, room: str, *, owner: bool) -> str:
    """A room token for a browser or app."""
    claims = Claims(
        sub=identity.sub,
        name=identity.name,
        tier=Tier.STREAMER if owner else identity.tier,
        room=room,
        grants=OWNER_GRANTS if owner else VIEWER_GRANTS,
    )
    return context.tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=ROOM_LIFETIME_S)


def sign_encoder(context: Context, identity: Claims, room: str) -> str:
    """A room token that can publish and nothing else, for a program that somebody pastes it into."""
    claims = Claims(sub=identity.sub, name=identity.name, tier=Tier.STREAMER, room=room, grants=ENCODER_GRANTS)
    return context.tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=ENCODER_LIFETIME_S)


def _verify(request: Request[Any, Any, Any], context: Context, audience: str) -> Claims:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("unauthorized", "send the token as `Authorization: Bearer …`")
    try:
        return context.tokens.verify(token.strip(), audience=audience)
    except TokenError as error:
        metrics.TOKENS_REFUSED.labels(error.code).inc()
        raise _unauthorized(error.code, str(error)) from None


def _unauthorized(code: str, detail: str) -> Problem:
    challenge = "Bearer" if code == "unauthorized" else 'Bearer error="invalid_token"'
    return Problem(401, code, "Not authenticated", detail, {"www-authenticate": challenge})


def _forbidden(detail: str) -> Problem:
    return Problem(403, "forbidden", "Not allowed", detail)
