"""What goes over HTTP about people: sessions, profiles, API keys."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from functions.api.schemas import Name, Participant
from functions.passwords import MAX_CHARACTERS
from shared.security.tokens import Grant, Tier

# ASCII, so that no two can be taken for each other by their look.
Username = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{2,31}$",
        description="3 to 32 letters, digits, dots, hyphens and underscores; case does not count",
        examples=["ana.lopez"],
    ),
]
Password = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_CHARACTERS,
        description="at least 10 characters when it is chosen, and none that is guessed first",
        examples=["three synths and a drum"],
    ),
]
About = Annotated[str, msgspec.Meta(max_length=1200, description="at most 300 characters", examples=["Synths, live."])]
Kept = Annotated[
    Literal["token", "cookie"],
    msgspec.Meta(
        description="where the refresh token goes: into the answer, or into a cookie that the page cannot read"
    ),
]
Scope = Annotated[
    Literal["create_room", "publish", "subscribe", "chat", "moderate"],
    msgspec.Meta(description="what the key may do in its owner's name"),
]


class GuestRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody without an account."""

    name: Name
    session: Kept = "token"


class RegistrationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody who wants an account. A guest who sends their identity token keeps their id, and so their rooms."""

    username: Username
    password: Password
    name: Name
    session: Kept = "token"


class SignInRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody who has an account."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=64, examples=["ana.lopez"])]
    password: Password
    session: Kept = "token"


class RefreshRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A refresh token; empty where it is in the cookie."""

    refresh_token: Annotated[str, msgspec.Meta(max_length=256)] = ""


class SessionResponse(msgspec.Struct, frozen=True):
    """An identity token, and with what to get the next one: `refresh_token`, empty where a cookie has it."""

    token: str
    expires_in_s: int
    participant: Participant
    account: bool
    refresh_token: str = ""


class SessionInfo(msgspec.Struct, frozen=True):
    """One of the sessions that somebody is signed in with; `current` is the one that asks."""

    id: str
    begun_at: datetime
    used_at: datetime
    current: bool


class ProfileResponse(msgspec.Struct, frozen=True):
    """A person as everybody may see them."""

    id: str
    name: str
    about: str
    created_at: datetime


class AccountResponse(msgspec.Struct, frozen=True):
    """A person as they see themselves."""

    id: str
    username: str
    name: str
    about: str
    tier: Tier
    created_at: datetime


class ProfileRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change; what is left out stays."""

    name: Name | None = None
    about: About | None = None


class PasswordRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A new password, and the present one as proof."""

    current: Password
    new: Password


class DeletionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The password as proof that it is meant."""

    password: Password


class KeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An API key to make. Without `expires_in_s` it holds until it is revoked."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80, description="what it is for", examples=["bot"])]
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=5, examples=[["create_room", "chat"]])]
    expires_in_s: Annotated[int, msgspec.Meta(ge=60, le=10 * 366 * 86_400)] | None = None


class KeyResponse(msgspec.Struct, frozen=True):
    """An API key as its owner sees it. `used_at` is right to the minute."""

    id: str
    name: str
    scopes: list[Grant]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class CreatedKeyResponse(msgspec.Struct, frozen=True):
    """A new API key; `secret` is what to send as a bearer token, and is shown this once."""

    key: KeyResponse
    secret: str
