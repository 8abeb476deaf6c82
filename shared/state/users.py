"""The MongoDB side of people who have registered: collection `users`, one document each."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

from shared.security.tokens import Tier
from shared.state.documents import Document

COLLECTION: Final = "users"


class UsernameTakenError(Exception):
    """Somebody else has that user name."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has registered. `username` is what they sign in with, `name` what others see.

    `password` is an argon2 hash in PHC string format.
    """

    id: str
    username: str
    name: str
    password: str
    created_at: datetime
    about: str = ""
    tier: Tier = Tier.VIEWER


class UserDirectory:
    """The registered people.

    Every method raises `pymongo.errors.PyMongoError` when no primary can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        # The primary alone: a password that was changed must not hold on at a member that has not heard of it.
        self._users = client[database].get_collection(
            COLLECTION, write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )

    async def create(self, identity: str, username: str, name: str, password: str) -> User | None:
        """A new user; None where that identity has been registered already.

        Raises:
            UsernameTakenError: the user name belongs to somebody else.
        """
        created_at = datetime.now(UTC).replace(microsecond=0)
        user = User(id=identity, username=username, name=name, password=password, created_at=created_at)
        try:
            await self._users.insert_one(_document(user))
        except DuplicateKeyError as error:
            if "username" in ((error.details or {}).get("keyPattern") or {}):
                raise UsernameTakenError from None
            return None
        return user

    async def find(self, identity: str) -> User | None:
        """The user of that id."""
        return _user(await self._users.find_one({"_id": identity}))

    async def named(self, username: str) -> User | None:
        """The user who signs in with that name."""
        return _user(await self._users.find_one({"username": username}))

    async def change(self, identity: str, **values: str) -> User | None:
        """Change fields of a user; what they are then, None where there is none."""
        found = await self._users.find_one_and_update(
            {"_id": identity}, {"$set": values}, return_document=ReturnDocument.AFTER
        )
        return _user(found)

    async def delete(self, identity: str) -> None:
        """Forget a user; the user name is free again."""
        await self._users.delete_one({"_id": identity})


def _document(user: User) -> Document:
    values = msgspec.to_builtins(user, builtin_types=(datetime,))
    values["_id"] = values.pop("id")
    return dict(values)


def _user(document: Document | None) -> User | None:
    return None if document is None else msgspec.convert({**document, "id": document["_id"]}, User)
