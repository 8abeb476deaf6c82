"""JSON Web Tokens (RFC 7519) and the grants that they carry.

Four kinds, told apart by audience: an identity says who somebody is; a room token says what its holder may do in one
room; a control token lets a function speak to an SFU worker; a recording's lets its holder read that recording, and its
audience ends with the recording's id.
"""

import time
from enum import StrEnum

import jwt
import msgspec

from shared.security.keys import ALGORITHM, KeyRing

ISSUER = "headrace"
AUDIENCE_IDENTITY = "headrace-identity"
AUDIENCE_ROOM = "headrace-room"
AUDIENCE_SFU = "headrace-sfu"
AUDIENCE_RECORDING = "headrace-recording"
CLOCK_SKEW_S = 10


class Grant(StrEnum):
    """What the holder of a token may do."""

    CREATE_ROOM = "create_room"
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    CHAT = "chat"
    MODERATE = "moderate"
    CONTROL = "control"


class Tier(StrEnum):
    """Rate-limit class of the holder."""

    ANONYMOUS = "anonymous"
    VIEWER = "viewer"
    PREMIUM = "premium"
    STREAMER = "streamer"


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says: the holder's id and display name, their tier, the room that the grants are for, the grants."""

    sub: str
    name: str = ""
    tier: Tier = Tier.ANONYMOUS
    room: str = ""
    grants: frozenset[Grant] = frozenset()


class TokenError(Exception):
    """A token was not accepted. `code` is stable; the message never quotes the token."""

    code = "token_refused"


class TokenExpired(TokenError):  # noqa: N818 - the state, as the field calls it
    """The token was good once."""

    code = "token_expired"


class TokenRefused(TokenError):  # noqa: N818 - the state, as the field calls it
    """The token is malformed, foreign, for another audience, or signed with a key that is not ours."""


class Tokens:
    """Signs and verifies tokens with one key ring."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def sign(self, claims: Claims, *, audience: str, lifetime_s: int) -> str:
        """A signed token that expires `lifetime_s` seconds from now.

        Raises:
            TokenRefused: this process has only public keys.
        """
        if self._keys.signing is None:
            message = "this process has no signing key"
            raise TokenRefused(message)
        kid, key = self._keys.signing
        now = int(time.time())
        payload = msgspec.to_builtins(claims) | {"iss": ISSUER, "aud": audience, "iat": now, "exp": now + lifetime_s}
        return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": kid})

    def verify(self, token: str, *, audience: str) -> Claims:
        """The claims of a token that one of our keys signed for `audience`.

        Raises:
            TokenExpired: it was valid and is over.
            TokenRefused: anything else is wrong with it.
        """
        try:
            key = self._keys.verifying[jwt.get_unverified_header(token)["kid"]]
            payload = jwt.decode(
                token,
                key,
                # The algorithm is ours to choose, never the token's: that is what `alg=none` and key confusion need.
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=ISSUER,
                leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
            return msgspec.convert(payload, Claims)
        except jwt.ExpiredSignatureError:
            message = "the token has expired"
            raise TokenExpired(message) from None
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, msgspec.ValidationError):
            message = "the token is not valid here"
            raise TokenRefused(message) from None
