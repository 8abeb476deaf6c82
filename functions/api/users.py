"""People who have registered: their account, their profile, their password."""

from typing import Any

from litestar import Request, Response, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions import metrics
from functions.api import cookies
from functions.api.address_limits import REGISTRATIONS, address_of, admit
from functions.api.auth import IDENTITY, identity_of
from functions.api.identity_schemas import (
    AccountResponse,
    DeletionRequest,
    PasswordRequest,
    ProfileRequest,
    ProfileResponse,
    RegistrationRequest,
    SessionResponse,
)
from functions.api.sessions import bearer_of, begin_session, busy, check_password, new_identity
from functions.api.wording import cleaned
from functions.context import Context
from functions.passwords import PasswordTooWeakError, TooBusyError, check_strength
from shared.security.tokens import Grant
from shared.state.users import User, UsernameTakenError
from shared.telemetry.problems import Problem

ABOUT_CHARACTERS = 300


@post("/v1/users", summary="Register", tags=["people"], opt={"secret": True})
async def register(
    request: Request[Any, Any, Any], data: JSONBody[RegistrationRequest], context: NamedDependency[Context]
) -> Response[SessionResponse]:
    """Make an account and sign in. A guest who sends their identity token keeps their id, and with it their rooms."""
    name = cleaned(context, data.name, "name")
    username = data.username.strip().lower()
    if context.text_policy.blocks(username):
        raise Problem(400, "malformed", "Bad request", "username: has a term that is blocked here")
    guest = identity_of(request, context).sub if "authorization" in request.headers else ""
    await admit(request, context, REGISTRATIONS)
    hashed = await _hashed(context, data.password, (username, name))
    try:
        user = await context.users.create(guest, username, name, hashed) if guest else None
        while user is None:
            # Without a guest, or one who has registered before.
            user = await context.users.create(new_identity(), username, name, hashed)
    except UsernameTakenError:
        raise Problem(409, "username_taken", "Name taken", "somebody has this user name: choose another") from None
    metrics.USERS_CREATED.inc()
    answer = await begin_session(context, bearer_of(user), data.session)
    answer.headers["location"] = f"/v1/users/{user.id}"
    return answer


@get("/v1/users/me", summary="Read one's account", tags=["people"], security=IDENTITY)
async def read_account(request: Request[Any, Any, Any], context: NamedDependency[Context]) -> AccountResponse:
    """The account of whoever asks."""
    return _account(await _user_of(request, context))


@patch("/v1/users/me", summary="Change one's profile", tags=["people"], security=IDENTITY)
async def change_profile(
    request: Request[Any, Any, Any], data: JSONBody[ProfileRequest], context: NamedDependency[Context]
) -> AccountResponse:
    """Change the name that others see, or what they read of one; identity tokens have it from the next one on."""
    user = await _user_of(request, context)
    changes: dict[str, str] = {}
    if data.name is not None:
        changes["name"] = cleaned(context, data.name, "name")
    if data.about is not None:
        changes["about"] = cleaned(context, data.about, "about", most=ABOUT_CHARACTERS, may_be_empty=True)
    if changes:
        user = await context.users.change(user.id, **changes) or user
        await context.sessions.describe(bearer_of(user))
    return _account(user)


@put("/v1/users/me/password", summary="Change one's password", tags=["people"], security=IDENTITY, status_code=204)
async def change_password(
    request: Request[Any, Any, Any], data: JSONBody[PasswordRequest], context: NamedDependency[Context]
) -> None:
    """Change the password; all other sessions end."""
    user = await _user_of(request, context)
    await check_password(context, user, user.username, data.current, address_of(request, context))
    await context.users.change(user.id, password=await _hashed(context, data.new, (user.username, user.name)))
    session = identity_of(request, context).sid
    await context.revocations.revoke(await context.sessions.end_all(user.id, but=session))


# A body of DELETE has no meaning (RFC 9110, section 9.3.5), and the password belongs in no address.
@post("/v1/users/me/deletion", summary="Delete one's account", tags=["people"], security=IDENTITY, status_code=204)
async def delete_account(
    request: Request[Any, Any, Any], data: JSONBody[DeletionRequest], context: NamedDependency[Context]
) -> Response[None]:
    """Forget the account, its API keys and its sessions. What was said in rooms stays in their history."""
    user = await _user_of(request, context)
    await check_password(context, user, user.username, data.password, address_of(request, context))
    keys = await context.api_keys.revoke_all(user.id)
    await context.users.delete(user.id)
    await context.revocations.revoke([*keys, *await context.sessions.end_all(user.id)])
    return Response(None, status_code=204, cookies=[cookies.cleared(context)])


@get("/v1/users/{user:str}", summary="Read a profile", tags=["people"])
async def read_profile(user: FromPath[str], context: NamedDependency[Context]) -> ProfileResponse:
    """What everybody may know of a registered person."""
    found = await context.users.find(user)
    if found is None:
        raise Problem(404, "user_unknown", "No such person", "guests have no profile")
    return ProfileResponse(found.id, found.name, found.about, found.created_at)


async def _user_of(request: Request[Any, Any, Any], context: Context) -> User:
    identity = identity_of(request, context, Grant.ACCOUNT)
    user = await context.users.find(identity.sub)
    if user is None:
        raise Problem(404, "user_unknown", "No such person", "the account has been deleted")
    return user


async def _hashed(context: Context, password: str, known: tuple[str, ...]) -> str:
    try:
        check_strength(password, known=known)
        return await context.passwords.hash(password)
    except PasswordTooWeakError as error:
        raise Problem(422, "password_too_weak", "Password too weak", str(error)) from None
    except TooBusyError:
        raise busy() from None


def _account(user: User) -> AccountResponse:
    return AccountResponse(user.id, user.username, user.name, user.about, user.tier, user.created_at)


ROUTES: list[ControllerRouterHandler] = [
    register,
    read_account,
    change_profile,
    change_password,
    delete_account,
    read_profile,
]
