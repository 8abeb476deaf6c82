"""Sessions: becoming a guest, signing in and out, and new identity tokens for as long as that lasts."""

import secrets
from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions import metrics
from functions.api import cookies
from functions.api.address_limits import GUESTS, REFRESHES, SIGN_INS, admit, too_many
from functions.api.auth import IDENTITY, identity_of, unauthorized
from functions.api.identity_schemas import (
    GuestRequest,
    Kept,
    RefreshRequest,
    SessionInfo,
    SessionResponse,
    SignInRequest,
)
from functions.api.schemas import Participant
from functions.api.wording import cleaned
from functions.context import Context
from functions.passwords import TooBusyError
from shared.security.tokens import AUDIENCE_IDENTITY, Claims, Grant, Tier
from shared.state.sessions import Bearer, Refreshing
from shared.state.users import User
from shared.telemetry.problems import Problem


def new_identity() -> str:
    """An id for somebody new."""
    return f"p{secrets.token_hex(8)}"


def bearer_of(user: User) -> Bearer:
    """What sessions of a registered person give out."""
    return Bearer(id=user.id, name=user.name, tier=user.tier, account=True)


async def begin_session(context: Context, bearer: Bearer, kept: Kept) -> Response[SessionResponse]:
    """Begin a session and answer its first tokens."""
    begun = await context.sessions.begin(bearer)
    await context.revocations.revoke(begun.ended)
    return _answer(context, bearer, begun.session, begun.refresh_token, 201, kept)


def busy() -> Problem:
    """More passwords wait to be hashed than there should be."""
    detail = "too many sign-ins at the moment"
    return Problem(503, "busy", "Unavailable", detail, {"retry-after": "2"})


async def check_password(context: Context, user: User | None, username: str, password: str, address: str) -> User:
    """The user, if that is their password.

    Raises:
        Problem: 401 where it is not, or there is no such user; 429 after too many of these; 503 when overloaded.
    """
    if wait_ms := await context.attempts.wait_ms(username, address):
        metrics.SIGN_INS.labels("backed_off").inc()
        metrics.LIMITS_REFUSED.labels("failed_sign_ins").inc()
        raise too_many(wait_ms, "too many failed attempts: wait before the next one")
    try:
        matches = await context.passwords.verify(password, user.password if user else None)
        if matches and user is not None:
            await context.attempts.succeeded(username, address)
            if context.passwords.outdated(user.password):
                await context.users.change(user.id, password=await context.passwords.hash(password))
            metrics.SIGN_INS.labels("signed_in").inc()
            return user
    except TooBusyError:
        metrics.SIGN_INS.labels("busy").inc()
        raise busy() from None
    await context.attempts.failed(username, address)
    metrics.SIGN_INS.labels("refused").inc()
    # The same whether the name or the password is wrong, so that names cannot be tried out.
    raise unauthorized("wrong_credentials", "user name and password do not match")


@post("/v1/guests", summary="Become a guest", tags=["people"], opt={"rate": "join", "secret": True})
async def create_guest(
    request: Request[Any, Any, Any], data: JSONBody[GuestRequest], context: NamedDependency[Context]
) -> Response[SessionResponse]:
    """Give a display name, get an identity token and the means to renew it."""
    name = cleaned(context, data.name, "name")
    await admit(request, context, GUESTS)
    bearer = Bearer(id=new_identity(), name=name, tier=Tier.VIEWER, account=False)
    answer = await begin_session(context, bearer, data.session)
    metrics.GUESTS_CREATED.inc()
    return answer


@post("/v1/sessions", summary="Sign in", tags=["people"], opt={"credentials": True, "secret": True})
async def sign_in(
    request: Request[Any, Any, Any], data: JSONBody[SignInRequest], context: NamedDependency[Context]
) -> Response[SessionResponse]:
    """Begin a session with user name and password. Failures are slowed down, each for twice as long."""
    address = await admit(request, context, SIGN_INS)
    username = data.username.strip().lower()
    user = await context.users.named(username)
    user = await check_password(context, user, username, data.password, address)
    return await begin_session(context, bearer_of(user), data.session)


@post(
    "/v1/sessions/refresh",
    summary="Get a new identity token",
    tags=["people"],
    status_code=200,
    opt={"credentials": True, "secret": True},
)
async def refresh(
    request: Request[Any, Any, Any], data: JSONBody[RefreshRequest], context: NamedDependency[Context]
) -> Response[SessionResponse]:
    """Exchange a refresh token for an identity token and the next refresh token.

    Each is for one use: a second one, but for seconds after the first, ends the session and its tokens.
    """
    await admit(request, context, REFRESHES)
    from_cookie = not data.refresh_token
    presented = data.refresh_token or cookies.refresh_token_of(request, context)
    if not presented:
        raise unauthorized("unauthorized", "send a refresh token")
    refreshed = await context.sessions.refresh(presented)
    metrics.SESSIONS_REFRESHED.labels(refreshed.outcome.name.lower()).inc()
    if refreshed.outcome is Refreshing.REUSED:
        await context.revocations.revoke([refreshed.session])
        raise unauthorized(
            "token_replayed", "the refresh token was used before, so the session is ended: sign in again"
        )
    if refreshed.bearer is None:
        raise unauthorized("session_ended", "the session is over: sign in again")
    kept: Kept = "cookie" if from_cookie else "token"
    return _answer(context, refreshed.bearer, refreshed.session, refreshed.refresh_token, 200, kept)


@get("/v1/sessions", summary="List one's sessions", tags=["people"], security=IDENTITY)
async def list_sessions(request: Request[Any, Any, Any], context: NamedDependency[Context]) -> list[SessionInfo]:
    """Where somebody is signed in, latest use first."""
    identity = identity_of(request, context, Grant.ACCOUNT)
    sessions = await context.sessions.of(identity.sub)
    return [SessionInfo(each.id, each.begun_at, each.used_at, each.id == identity.sid) for each in sessions]


@delete("/v1/sessions/{session:str}", summary="Sign out", tags=["people"], security=IDENTITY, status_code=204)
async def sign_out(
    request: Request[Any, Any, Any], session: FromPath[str], context: NamedDependency[Context]
) -> Response[None]:
    """End a session, `current` or another of one's own. Its tokens are refused within a second, its sockets close."""
    identity = identity_of(request, context)
    # A key is revoked as a key (`DELETE /v1/keys/{key}`).
    ends = identity.sid if session == "current" else session
    if not ends.startswith("s") or not await context.sessions.end(identity.sub, ends):
        raise Problem(404, "session_unknown", "No such session", "it may have ended already")
    await context.revocations.revoke([ends])
    return Response(None, status_code=204, cookies=[cookies.cleared(context)] if ends == identity.sid else [])


@delete("/v1/sessions", summary="Sign out everywhere", tags=["people"], security=IDENTITY, status_code=204)
async def sign_out_everywhere(request: Request[Any, Any, Any], context: NamedDependency[Context]) -> Response[None]:
    """End all of one's sessions."""
    identity = identity_of(request, context, Grant.ACCOUNT)
    await context.revocations.revoke(await context.sessions.end_all(identity.sub))
    return Response(None, status_code=204, cookies=[cookies.cleared(context)])


def _answer(
    context: Context, bearer: Bearer, session: str, refresh_token: str, status: int, kept: Kept
) -> Response[SessionResponse]:
    grants = {Grant.CREATE_ROOM} | ({Grant.ACCOUNT} if bearer.account else set())
    claims = Claims(sub=bearer.id, name=bearer.name, tier=bearer.tier, grants=frozenset(grants), sid=session)
    lifetime_s = context.settings.identity_lifetime_s
    in_cookie = kept == "cookie"
    body = SessionResponse(
        token=context.tokens.sign(claims, audience=AUDIENCE_IDENTITY, lifetime_s=lifetime_s),
        expires_in_s=lifetime_s,
        participant=Participant(bearer.id, bearer.name),
        account=bearer.account,
        refresh_token="" if in_cookie else refresh_token,
    )
    return Response(body, status_code=status, cookies=[cookies.kept(context, refresh_token)] if in_cookie else [])


ROUTES: list[ControllerRouterHandler] = [
    create_guest,
    sign_in,
    refresh,
    list_sessions,
    sign_out,
    sign_out_everywhere,
]
