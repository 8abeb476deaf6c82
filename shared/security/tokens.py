"""JSON Web Tokens (RFC 7519) and the grants that they carry.

Five kinds, told apart by audience: an identity says who somebody is; a room token says what its holder may do in one
room; a control token lets a function speak to an SFU worker; a recording's lets its holder read that recording, and its
audience ends with the recording's id; an operator's is for the fleet's API.
"""

import time
from enum import StrEnum

import jwt
import msgspec

from shared.security.keys import KeyRing
from shared.security.revocations import Revocations
from shared.security.spent import SpentTokens

ISSUER = "headrace"
AUDIENCE_IDENTITY = "headrace-identity"
AUDIENCE_ROOM = "headrace-room"
AUDIENCE_SFU = "headrace-sfu"
AUDIENCE_RECORDING = "headrace-recording"
AUDIENCE_FLEET = "headrace-fleet"
# How far clocks may be apart, either way.
CLOCK_SKEW_S = 10
# No token lives longer, so a key that has not signed for as long is needed no more, nor a revocation that old.
LONGEST_LIFETIME_S = 12 * 3600


class Grant(StrEnum):
    """What the holder of a token may do."""

    ACCOUNT = "account"
    CREATE_ROOM = "create_room"
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    CHAT = "chat"
    MODERATE = "moderate"
    CONTROL = "control"
    OPERATE = "operate"
    RELAY = "relay"
    """A worker's, to have a room's stream from another worker."""


class Tier(StrEnum):
    """Rate-limit class of the holder."""

    ANONYMOUS = "anonymous"
    VIEWER = "viewer"
    PREMIUM = "premium"
    STREAMER = "streamer"


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says: the holder's id and display name, their tier, the room that the grants are for, the grants.

    `sid` is the session or API key that it came from, and ends with; `jti`, if any, makes it a token for one use.
    """

    sub: str
    name: str = ""
    tier: Tier = Tier.ANONYMOUS
    room: str = ""
    grants: frozenset[Grant] = frozenset()
    sid: str = ""
    jti: str = ""


class TokenError(Exception):
    """A token was not accepted. `code` is stable; the message never quotes the token."""

    code = "token_refused"


class TokenExpired(TokenError):  # noqa: N818 - the state, as the field calls it
    """The token was good once."""

    code = "token_expired"


class TokenRefused(TokenError):  # noqa: N818 - the state, as the field calls it
    """The token is malformed, foreign, for another audience, or signed with a key that is not ours."""


class TokenRevoked(TokenError):  # noqa: N818 - the state, as the field calls it
    """The token was good until what it came from was ended: somebody signed out, or a key was revoked."""

    code = "token_revoked"


class TokenReplayed(TokenError):  # noqa: N818 - the state, as the field calls it
    """The token was for one use, and somebody has used it."""

    code = "token_replayed"


class Tokens:
    """Signs and verifies tokens. `keys` may be replaced at any time, and `revocations` grow."""

    def __init__(self, keys: KeyRing, revocations: Revocations | None = None) -> None:
        self.keys = keys
        self.revocations = Revocations() if revocations is None else revocations
        self._spent = SpentTokens()

    def sign(self, claims: Claims, *, audience: str, lifetime_s: int) -> str:
        """A signed token that expires `lifetime_s` seconds from now.

        Raises:
            ValueError: that is longer than `LONGEST_LIFETIME_S`.
            TokenRefused: this process has only public keys, or none whose time has come.
        """
        if lifetime_s > LONGEST_LIFETIME_S:
            message = f"a token lives at most {LONGEST_LIFETIME_S} s"
            raise ValueError(message)
        now = time.time()
        key = self.keys.signing(now)
        if key is None or key.secret is None:
            message = "this process has no signing key"
            raise TokenRefused(message)
        times = {"iat": int(now), "exp": int(now) + lifetime_s}
        payload = msgspec.to_builtins(claims) | {"iss": ISSUER, "aud": audience} | times
        return jwt.encode(payload, key.secret, algorithm=key.algorithm, headers={"kid": key.kid})

    def verify(self, token: str, *, audience: str) -> Claims:
        """The claims of a token that one of our keys signed for `audience`.

        Raises:
            TokenExpired: it was valid and is over.
            TokenRevoked: it was valid and its session or API key has been ended.
            TokenRefused: anything else is wrong with it.
        """
        return self._verified(token, audience)[0]

    def verify_once(self, token: str, *, audience: str) -> Claims:
        """The same; a token with a `jti` is good for one use in this process.

        Raises:
            TokenReplayed: it was used before.
        """
        claims, expires = self._verified(token, audience)
        if claims.jti and not self._spent.spend(claims.jti, expires + CLOCK_SKEW_S):
            message = "the token was for one use, and has been used"
            raise TokenReplayed(message)
        return claims

    def _verified(self, token: str, audience: str) -> tuple[Claims, float]:
        try:
            key = self.keys.verifying(jwt.get_unverified_header(token)["kid"])
            if key is None:
                raise KeyError  # noqa: TRY301 - told as the others are
            payload = jwt.decode(
                token,
                key.verifier,
                # The algorithm is the key's, never the token's: that is what `alg=none` and key confusion need.
                algorithms=[key.algorithm],
                audience=audience,
                issuer=ISSUER,
                leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
            claims = msgspec.convert(payload, Claims)
            expires = float(payload["exp"])
            forged = expires - payload["iat"] > LONGEST_LIFETIME_S
        except jwt.ExpiredSignatureError:
            message = "the token has expired"
            raise TokenExpired(message) from None
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, msgspec.ValidationError):
            message = "the token is not valid here"
            raise TokenRefused(message) from None
        if forged:
            message = "the token claims to live longer than any of ours"
            raise TokenRefused(message)
        if self.revocations.holds(claims.sid):
            message = "the token has been revoked: sign in again"
            raise TokenRevoked(message)
        return claims, expires
