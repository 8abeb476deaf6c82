"""Signing keys as a JWK set (RFC 7517), each with a `kid`, of three algorithms.

EdDSA with Ed25519 (RFC 8037) and ES256 with P-256 (RFC 7518) are for production. HS256 is for development: whoever
verifies with it can sign as well, so it is refused unless asked for.

A key belongs to one algorithm, which is its own to say and never a token's. Two members that RFC 7517, section 4,
leaves to us carry a rotation's schedule, in seconds since 1970: `nbf`, from when a key signs, and `exp`, until when it
verifies.
The first private key whose time has come signs; every key verifies until its `exp`. So one document, once it has
reached every process, rotates them all at the same moment (`rotation`).
"""

import json
import math
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm

Algorithm = Literal["EdDSA", "ES256", "HS256"]
ASYMMETRIC: Final[tuple[Algorithm, ...]] = ("EdDSA", "ES256")
# RFC 7518, section 3.2: a key as long as the hash, at least.
_HS256_BYTES: Final = 32

Secret: TypeAlias = Ed25519PrivateKey | EllipticCurvePrivateKey | bytes
Verifier: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey | bytes


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `secret` signs, where this process has it. Times are in s since 1970, 0 and infinity at the ends."""

    kid: str
    algorithm: Algorithm
    verifier: Verifier
    secret: Secret | None = None
    signs_from: float = 0
    verifies_until: float = math.inf

    def jwk(self, *, private: bool) -> dict[str, Any]:
        """The key as a JWK, with its private part if `private`."""
        key = self.secret if private and self.secret is not None else self.verifier
        fields = _to_jwk(key) | {"kid": self.kid, "alg": self.algorithm, "use": "sig"}
        if self.signs_from:
            fields["nbf"] = int(self.signs_from)
        if math.isfinite(self.verifies_until):
            fields["exp"] = int(self.verifies_until)
        # `key_ops` of PyJWT says the same as `use`, which is enough (RFC 7517, section 4.3).
        fields.pop("key_ops", None)
        return fields


class KeyRing:
    """The keys that a process knows, in the order of their document."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = {key.kid: key for key in keys}

    @classmethod
    def from_jwks(cls, document: str, *, insecure_hs256: bool = False) -> "KeyRing":
        """Read a JWK set. HS256 keys are refused unless `insecure_hs256`.

        Raises:
            ValueError: not a JWK set, a key of ours that is malformed or has no `kid`, or no key at all.
        """
        try:
            entries: list[dict[str, Any]] = json.loads(document)["keys"]
            # A set may hold keys for others (RFC 7517, section 5).
            keys = [_key(entry) for entry in entries if _algorithm(entry) is not None]
        except (AttributeError, KeyError, TypeError, ValueError, jwt.InvalidKeyError) as error:
            # The document holds secrets: the error says what kind of fault it is, never what was read.
            message = f"expected a JWK set of Ed25519 or P-256 keys with kid ({type(error).__name__})"
            raise ValueError(message) from None
        if any(key.algorithm == "HS256" for key in keys) and not insecure_hs256:
            message = "expected a JWK set without HS256 keys (development may allow them: HEADRACE_INSECURE_HS256)"
            raise ValueError(message)
        if not keys:
            message = "expected a JWK set with at least one Ed25519 or P-256 key"
            raise ValueError(message)
        return cls(keys)

    def signing(self, now: float | None = None) -> Key | None:
        """The key that signs at a time: the first private one whose time has come."""
        moment = time.time() if now is None else now
        usable = (key for key in self.keys.values() if key.secret is not None and moment < key.verifies_until)
        return next((key for key in usable if key.signs_from <= moment), None)

    def verifying(self, kid: object, now: float | None = None) -> Key | None:
        """The key of that `kid`, unless its time is over."""
        key = self.keys.get(kid) if isinstance(kid, str) else None
        moment = time.time() if now is None else now
        return key if key is not None and moment < key.verifies_until else None

    def public_jwks(self) -> str:
        """The same keys without their private parts, for processes that only verify; HS256 keys have no other part."""
        return _document(key.jwk(private=False) for key in self.keys.values() if key.algorithm in ASYMMETRIC)

    def private_jwks(self) -> str:
        """All keys, with their private parts."""
        return _document(key.jwk(private=True) for key in self.keys.values())


def generate_key(algorithm: Algorithm = "EdDSA", *, signs_from: float = 0) -> Key:
    """A new private key."""
    kid = secrets.token_hex(4)
    if algorithm == "HS256":
        secret = secrets.token_bytes(_HS256_BYTES)
        return Key(kid=kid, algorithm=algorithm, verifier=secret, secret=secret, signs_from=signs_from)
    private = Ed25519PrivateKey.generate() if algorithm == "EdDSA" else generate_private_key(SECP256R1())
    return Key(kid=kid, algorithm=algorithm, verifier=private.public_key(), secret=private, signs_from=signs_from)


def generate_jwks(algorithm: Algorithm = "EdDSA") -> str:
    """A JWK set with one new private key."""
    return KeyRing([generate_key(algorithm)]).private_jwks()


def _document(keys: Iterable[dict[str, Any]]) -> str:
    return json.dumps({"keys": list(keys)})


def _algorithm(entry: Mapping[str, Any]) -> Algorithm | None:
    """What a JWK is for; None where it is not for us."""
    match entry["kty"], entry.get("crv"):
        case "OKP", "Ed25519":
            found: Algorithm = "EdDSA"
        case "EC", "P-256":
            found = "ES256"
        case "oct", None:
            found = "HS256"
        case _:
            return None
    said = entry.get("alg", found)
    if said != found and said in get_args(Algorithm):
        message = "alg contradicts kty"
        raise ValueError(message)
    return found if said == found and entry.get("use", "sig") == "sig" else None


def _key(entry: dict[str, Any]) -> Key:
    algorithm = _algorithm(entry)
    kid = entry["kid"]
    if not isinstance(kid, str) or not kid or algorithm is None:
        message = "kid is not text"
        raise ValueError(message)
    key = _from_jwk(algorithm, entry)
    if isinstance(key, bytes) and len(key) < _HS256_BYTES:
        message = "too short"
        raise ValueError(message)
    secret: Secret | None = None if isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey) else key
    return Key(
        kid=kid,
        algorithm=algorithm,
        verifier=key.public_key() if isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey) else key,
        secret=secret,
        signs_from=float(entry.get("nbf", 0)),
        verifies_until=float(entry.get("exp", math.inf)),
    )


def _from_jwk(algorithm: Algorithm, entry: dict[str, Any]) -> Secret | Verifier:
    match algorithm:
        case "EdDSA":
            key = OKPAlgorithm.from_jwk(entry)
            if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
                raise jwt.InvalidKeyError
            return key
        case "ES256":
            return ECAlgorithm.from_jwk(entry)
        case "HS256":
            return HMACAlgorithm.from_jwk(entry)


def _to_jwk(key: Secret | Verifier) -> dict[str, Any]:
    if isinstance(key, bytes):
        return HMACAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        return OKPAlgorithm.to_jwk(key, as_dict=True)
    return ECAlgorithm.to_jwk(key, as_dict=True)
