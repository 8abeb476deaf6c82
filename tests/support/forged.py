"""Tokens as an attacker makes them, from what is public: our keys' public parts and a good token."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.security.keys import Key, KeyRing, generate_jwks
from shared.security.tokens import ISSUER, Claims, Grant, Tokens

CLAIMS: dict[str, Any] = {"sub": "p1", "name": "Eve", "tier": "streamer"}


def payload(audience: str, **changes: object) -> dict[str, Any]:
    now = int(time.time())
    return CLAIMS | {"iss": ISSUER, "aud": audience, "iat": now, "exp": now + 600} | changes


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(kid: str, claims: dict[str, Any], algorithm: str = "none") -> str:
    """RFC 8725, section 2.1: the token says that it needs no signature."""
    return f"{_part({'alg': algorithm, 'typ': 'JWT', 'kid': kid})}.{_part(claims)}."


def confused(key: Key, claims: dict[str, Any], secret: bytes) -> str:
    """RFC 8725, section 2.1: HMAC with what is public as the secret."""
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': key.kid})}.{_part(claims)}"
    mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def forgeries(ring: KeyRing, audience: str, other_audience: str, **claims: object) -> dict[str, str]:
    """Tokens that must be refused wherever `audience` is asked for, by what is wrong with them."""
    key = ring.signing()
    assert key is not None
    assert key.secret is not None
    assert not isinstance(key.verifier, bytes)
    raw = key.verifier.public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = key.verifier.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = payload(audience, **claims)
    whole = jwt.encode(good, key.secret, algorithm=key.algorithm, headers={"kid": key.kid})
    head, body, signature = whole.split(".")
    foreign = KeyRing.from_jwks(generate_jwks()).signing()
    assert foreign is not None
    assert foreign.secret is not None
    now = int(time.time())

    def signed(**changes: object) -> str:
        return jwt.encode(good | changes, key.secret, algorithm=key.algorithm, headers={"kid": key.kid})  # type: ignore[arg-type]

    return {
        "alg none": unsigned(key.kid, good),
        "alg None": unsigned(key.kid, good, "None"),
        "key confusion, raw": confused(key, good, raw),
        "key confusion, PEM": confused(key, good, pem),
        "key confusion, JWK": confused(key, good, json.dumps(key.jwk(private=False)).encode()),
        "signature of another token": f"{head}.{_part(good | {'sub': 'p2'})}.{signature}",
        "no signature": f"{head}.{body}.",
        "wrong audience": signed(aud=other_audience),
        "no audience": jwt.encode(
            {name: value for name, value in good.items() if name != "aud"},
            key.secret,
            algorithm=key.algorithm,
            headers={"kid": key.kid},
        ),
        "wrong issuer": signed(iss="somebody"),
        "from the future": signed(iat=now + 600, exp=now + 1200),
        "longer than any of ours": signed(exp=now + 10 * 86_400),
        "foreign key under our kid": jwt.encode(good, foreign.secret, algorithm="EdDSA", headers={"kid": key.kid}),
        "foreign key": jwt.encode(good, foreign.secret, algorithm="EdDSA", headers={"kid": foreign.kid}),
        "its own key in the header": jwt.encode(
            good, foreign.secret, algorithm="EdDSA", headers={"kid": foreign.kid, "jwk": foreign.jwk(private=False)}
        ),
        "kid as a path": jwt.encode(good, key.secret, algorithm=key.algorithm, headers={"kid": "../../dev/null"}),
        "no token": "a.b.c",
    }


def expired(ring: KeyRing, audience: str, *, grants: frozenset[Grant], room: str = "") -> str:
    """A token of ours that was good a minute ago."""
    claims = Claims(sub="p1", name="Eve", grants=grants, room=room)
    return Tokens(ring).sign(claims, audience=audience, lifetime_s=-60)
