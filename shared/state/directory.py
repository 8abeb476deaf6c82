"""The MongoDB side of rooms: what a room is, for as long as it exists."""

import secrets
from datetime import UTC, datetime

import msgspec
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import DuplicateKeyError

from shared.state.documents import Document

# No 0/o, 1/l/i: a code is read aloud and typed.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
ID_LENGTH = 10


class Owner(msgspec.Struct, frozen=True):
    """Who made a room."""

    id: str
    name: str


class Room(msgspec.Struct, frozen=True):
    """A room; `id` is the code that people join by."""

    id: str
    title: str
    owner: Owner
    created_at: datetime


def parse_room_id(text: str) -> str | None:
    """A room's id from what somebody typed: any case, with hyphens or spaces. None when it cannot be one."""
    code = "".join(text.split()).replace("-", "").lower()
    return code if len(code) == ID_LENGTH and all(character in _ALPHABET for character in code) else None


class RoomDirectory:
    """Rooms in MongoDB.

    Every method raises `pymongo.errors.PyMongoError` when no primary (for reads: no member) can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._rooms = client[database].get_collection("rooms", write_concern=WriteConcern("majority"))
        # A room that was just made must be found, by any function: reads go to the primary, and while there is none,
        # to what is left, since a room that exists does not change its owner.
        self._reading = self._rooms.with_options(read_preference=ReadPreference.PRIMARY_PREFERRED)

    async def create(self, title: str, owner: Owner) -> Room:
        """A new room with an id of its own."""
        while True:
            room = Room(_new_id(), title, owner, datetime.now(UTC).replace(microsecond=0))
            try:
                await self._rooms.insert_one({"_id": room.id, **_document(room)})
            except DuplicateKeyError:
                continue
            return room

    async def find(self, room_id: str) -> Room | None:
        """The room of that id."""
        document = await self._reading.find_one({"_id": room_id})
        if document is None:
            return None
        return msgspec.convert({**document, "id": document["_id"]}, Room)


def _document(room: Room) -> Document:
    return {"title": room.title, "owner": msgspec.to_builtins(room.owner), "created_at": room.created_at}


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))
