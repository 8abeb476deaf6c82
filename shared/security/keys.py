"""Signing keys as a JWK set (RFC 7517), Ed25519 (RFC 8037), each with a `kid`.

The first key signs; every key verifies. To rotate, put the new key first and drop the old one when its last token has
expired.
"""

import json
import secrets
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

ALGORITHM = "EdDSA"


class KeyRing:
    """The keys that this process knows: one that signs, if it has a private part, and all that verify."""

    def __init__(self, verifying: dict[str, Ed25519PublicKey], signing: tuple[str, Ed25519PrivateKey] | None) -> None:
        self.verifying = verifying
        self.signing = signing

    @classmethod
    def from_jwks(cls, document: str) -> "KeyRing":
        """Read a JWK set.

        Raises:
            ValueError: not a JWK set, a key without `kid`, an unknown key type, or no key at all.
        """
        verifying: dict[str, Ed25519PublicKey] = {}
        signing: tuple[str, Ed25519PrivateKey] | None = None
        try:
            entries: list[dict[str, Any]] = json.loads(document)["keys"]
            for entry in entries:
                if entry["crv"] != "Ed25519":
                    continue  # a set may hold keys for others (RFC 7517, section 5)
                kid, key = entry["kid"], OKPAlgorithm.from_jwk(entry)
                if isinstance(key, Ed25519PrivateKey):
                    signing = signing or (kid, key)
                    verifying[kid] = key.public_key()
                elif isinstance(key, Ed25519PublicKey):
                    verifying[kid] = key
        except (KeyError, TypeError, ValueError, jwt.InvalidKeyError) as error:
            # The document holds secrets: the error says what kind of fault it is, never what was read.
            message = f"expected a JWK set of Ed25519 keys with kid ({type(error).__name__})"
            raise ValueError(message) from None
        if not verifying:
            message = "expected a JWK set with at least one Ed25519 key"
            raise ValueError(message)
        return cls(verifying, signing)

    def public_jwks(self) -> str:
        """The same keys without their private parts, for processes that only verify."""
        return json.dumps({"keys": [_jwk(kid, key) for kid, key in self.verifying.items()]})


def generate_jwks() -> str:
    """A JWK set with one new private Ed25519 key."""
    return json.dumps({"keys": [_jwk(secrets.token_hex(4), Ed25519PrivateKey.generate())]})


def _jwk(kid: str, key: Ed25519PrivateKey | Ed25519PublicKey) -> dict[str, Any]:
    fields = OKPAlgorithm.to_jwk(key, as_dict=True)
    return {**fields, "kid": kid, "alg": ALGORITHM, "use": "sig"}
