"""API keys of servers: collection `api_keys`, one document each, with a hash in place of the key."""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern

from shared.security.tokens import Grant, Tier
from shared.state.documents import Document

COLLECTION: Final = "api_keys"
PREFIX: Final = "hrk_"
MAX_OF_OWNER: Final = 50
# When a key was last used is known to the minute, so that a busy key is not a write per request.
USED_RESOLUTION: Final = timedelta(minutes=1)
_KEY = re.compile(r"hrk_(k[0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key: whose it is, what it may do, and until when (None: until it is revoked). `digest` is SHA-256, hex."""

    id: str
    owner: str
    owner_name: str
    tier: Tier
    name: str
    scopes: frozenset[Grant]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


class ApiKeys:
    """All keys. Every method raises `pymongo.errors.PyMongoError` when no primary can be reached in time."""

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._keys = client[database].get_collection(
            COLLECTION, write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )

    async def create(  # the fields of a key
        self,
        *,
        owner: str,
        owner_name: str,
        tier: Tier,
        name: str,
        scopes: frozenset[Grant],
        expires_at: datetime | None,
    ) -> tuple[ApiKey, str]:
        """A new key, and its text, which is kept nowhere."""
        identifier, secret = f"k{secrets.token_hex(8)}", secrets.token_urlsafe(32)
        key = ApiKey(
            id=identifier,
            owner=owner,
            owner_name=owner_name,
            tier=tier,
            name=name,
            scopes=scopes,
            digest=_digest(secret),
            created_at=datetime.now(UTC).replace(microsecond=0),
            expires_at=expires_at,
        )
        await self._keys.insert_one(_document(key))
        return key, f"{PREFIX}{identifier}_{secret}"

    async def of(self, owner: str) -> list[ApiKey]:
        """Somebody's keys, oldest first."""
        found = self._keys.find({"owner": owner}, sort=[("created_at", 1)], limit=MAX_OF_OWNER)
        return [_key(document) async for document in found]

    async def authenticate(self, text: str) -> ApiKey | None:
        """The key of that text, and note its use; None where it is none, or has been revoked or expired."""
        parts = _KEY.fullmatch(text)
        document = await self._keys.find_one({"_id": parts[1]}) if parts else None
        if parts is None or document is None:
            return None
        key, now = _key(document), datetime.now(UTC)
        if not hmac.compare_digest(key.digest, _digest(parts[2])):
            return None
        if key.expires_at is not None and key.expires_at <= now:
            return None
        if key.used_at is None or now - key.used_at >= USED_RESOLUTION:
            await self._keys.update_one({"_id": key.id}, {"$set": {"used_at": now}})
        return key

    async def revoke(self, owner: str, identifier: str) -> bool:
        """Forget a key; whether there was one of that owner. Its tokens are to be revoked as well."""
        return (await self._keys.delete_one({"_id": identifier, "owner": owner})).deleted_count == 1

    async def revoke_all(self, owner: str) -> list[str]:
        """Forget all keys of somebody; their ids."""
        ids = [key.id for key in await self.of(owner)]
        await self._keys.delete_many({"owner": owner})
        return ids


def _digest(secret: str) -> str:
    # A secret of 256 random bits needs no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _document(key: ApiKey) -> Document:
    values = msgspec.to_builtins(key, builtin_types=(datetime,))
    return {**{name: value for name, value in values.items() if name != "id"}, "_id": key.id}


def _key(document: Document) -> ApiKey:
    return msgspec.convert({**document, "id": document["_id"]}, ApiKey)
