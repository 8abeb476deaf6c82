import base64
import json
import time

import jwt
import pytest

from shared.security.keys import KeyRing, generate_jwks
from shared.security.tokens import (
    AUDIENCE_IDENTITY,
    AUDIENCE_ROOM,
    ISSUER,
    Claims,
    Grant,
    Tier,
    TokenExpired,
    TokenRefused,
    Tokens,
)

JWKS = generate_jwks()
TOKENS = Tokens(KeyRing.from_jwks(JWKS))
CLAIMS = Claims(
    sub="p1", name="Ana", tier=Tier.VIEWER, room="abcdefghjk", grants=frozenset({Grant.CHAT, Grant.SUBSCRIBE})
)


def _payload(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return {"sub": "p1", "iss": ISSUER, "aud": AUDIENCE_ROOM, "iat": now, "exp": now + 3600} | changes


def _sign(payload: dict[str, object], kid: str | None = None) -> str:
    ring = KeyRing.from_jwks(JWKS)
    key = ring.signing()
    assert key is not None
    assert key.secret is not None
    return jwt.encode(payload, key.secret, algorithm=key.algorithm, headers={"kid": kid or key.kid})


def test_what_was_signed_is_what_is_verified() -> None:
    assert TOKENS.verify(TOKENS.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60), audience=AUDIENCE_ROOM) == CLAIMS


def test_a_process_with_public_keys_only_verifies_and_cannot_sign() -> None:
    public = Tokens(KeyRing.from_jwks(KeyRing.from_jwks(JWKS).public_jwks()))
    assert public.verify(TOKENS.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60), audience=AUDIENCE_ROOM) == CLAIMS
    with pytest.raises(TokenRefused):
        public.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60)


def test_after_a_rotation_tokens_of_the_old_key_still_hold() -> None:
    old = json.loads(JWKS)["keys"]
    rotated = Tokens(KeyRing.from_jwks(json.dumps({"keys": json.loads(generate_jwks())["keys"] + old})))
    assert rotated.verify(TOKENS.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60), audience=AUDIENCE_ROOM) == CLAIMS
    with pytest.raises(TokenRefused):
        TOKENS.verify(rotated.sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=60), audience=AUDIENCE_ROOM)


def test_an_expired_token_is_told_apart() -> None:
    with pytest.raises(TokenExpired):
        TOKENS.verify(_sign(_payload(exp=int(time.time()) - 60)), audience=AUDIENCE_ROOM)


def _none_algorithm() -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    kid = json.loads(JWKS)["keys"][0]["kid"]
    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{part(_payload())}."


def _public_key_as_hmac_secret() -> str:
    entry = json.loads(JWKS)["keys"][0]
    secret = base64.urlsafe_b64decode(entry["x"] + "=")
    return jwt.encode(_payload(), secret, algorithm="HS256", headers={"kid": entry["kid"]})


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param("\x00" * 2000, id="control characters"),
        pytest.param(_none_algorithm(), id="alg none"),
        pytest.param(_public_key_as_hmac_secret(), id="key confusion", marks=pytest.mark.filterwarnings("ignore")),
        pytest.param(_sign(_payload(aud=AUDIENCE_IDENTITY)), id="other audience"),
        pytest.param(_sign(_payload(iss="somebody")), id="other issuer"),
        pytest.param(_sign({k: v for k, v in _payload().items() if k != "exp"}), id="no expiry"),
        pytest.param(_sign(_payload(grants=["everything"])), id="unknown grant"),
        pytest.param(_sign(_payload(sub=5)), id="subject not text"),
        pytest.param(_sign(_payload(), kid="nobody"), id="unknown kid"),
        pytest.param(
            Tokens(KeyRing.from_jwks(generate_jwks())).sign(CLAIMS, audience=AUDIENCE_ROOM, lifetime_s=3600),
            id="foreign key",
        ),
    ],
)
def test_every_other_token_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        TOKENS.verify(token, audience=AUDIENCE_ROOM)


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}'])
def test_a_key_set_that_cannot_be_used_says_so_without_quoting_it(document: str) -> None:
    with pytest.raises(ValueError, match="expected a JWK set"):
        KeyRing.from_jwks(document)
