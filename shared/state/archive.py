"""The MongoDB side of a room's log: its history, the ledger of gifts, and what a room must not forget.

Everything is keyed by (room, offset), or carries the offset of the event that it comes from, so writing the same events
again, in any order, changes nothing.

* `messages`: every event, as it was. `_id` is "room:offset", so one index serves identity, range and order.
* `gifts`: the ledger, one document per (room, key).
* `sanctions`: who is silenced or banned now, per room.

Settings, and which stream is live, are in the room's own document (`shared.state.directory`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from bson.binary import Binary
from pymongo import AsyncMongoClient, InsertOne, ReadPreference, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from shared.protocol.messages import ChatEvent, Deleted, GiftEvent, Sanction, decode_event
from shared.state.control import LIFT, RoomControl, Settings
from shared.state.documents import Document
from shared.state.rooms import LARGEST_OFFSET, Entry

_DUPLICATE_KEY = 11000


class Restored(NamedTuple):
    """What MongoDB keeps of a room for the case that Redis lost it. `sanctions`: participant → ms until when, or 0."""

    settings: Settings
    sanctions: dict[str, int]


class RoomArchive:
    """History in MongoDB.

    Every method raises `pymongo.errors.PyMongoError` when no primary (for reads: no member) can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        majority = WriteConcern("majority")
        self._messages, self._gifts, self._sanctions, self._rooms = (
            client[database].get_collection(name, write_concern=majority)
            for name in ("messages", "gifts", "sanctions", "rooms")
        )
        # What was cut from Redis was written with a majority: a majority read finds it on the primary.
        self._reading: AsyncCollection[Document] = self._messages.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
        )

    async def write(self, room: str, epoch: str, entries: Sequence[Entry]) -> None:
        """Write events of a room's log. Again, in part, or in another order, it has the same result."""
        if not entries:
            return
        messages: list[UpdateOne] = []
        gifts: list[InsertOne[Document]] = []
        for offset, raw in entries:
            event = _decoded(raw)
            messages.append(_message(room, epoch, offset, raw, event))
            if isinstance(event, Deleted):
                # The message itself may come later: then this has made its document already.
                hidden = {"$max": {"deleted": offset}}
                messages.append(UpdateOne({"_id": message_id(room, event.offset)}, hidden, upsert=True))
            elif isinstance(event, GiftEvent):
                gifts.append(InsertOne(_ledger_entry(room, offset, event)))
            elif isinstance(event, Sanction):
                await self._note_sanction(room, offset, event)
        if await _bulk(self._messages, messages):
            # Two archivers made the same document at the same moment: now it is there to be updated.
            await _bulk(self._messages, messages)
        if gifts:
            # What is in the ledger stays as it was first written.
            await _bulk(self._gifts, gifts)

    async def page(
        self, room: str, *, after: int = 0, before: int = LARGEST_OFFSET, limit: int, newest: bool = False
    ) -> list[Entry]:
        """Up to `limit` events between two offsets (both excluded), without what was deleted, oldest first.

        The first ones of the range, or with `newest` the last.
        """
        found = self._reading.find(
            {
                "_id": {"$gt": message_id(room, after), "$lt": message_id(room, before)},
                "event": {"$exists": True},
                "deleted": {"$exists": False},
            },
            {"offset": 1, "event": 1},
            sort=[("_id", -1 if newest else 1)],
            limit=limit,
        )
        entries = [(document["offset"], bytes(document["event"])) async for document in found]
        return entries[::-1] if newest else entries

    async def restored(self, room: str) -> Restored:
        """What is kept of a room's settings and of sanctions that still hold."""
        document = (
            await self._rooms.find_one({"_id": room}, {"title": 1, "state": 1, "category": 1, "settings": 1}) or {}
        )
        kept_settings = document.get("settings", {})
        values = {
            **kept_settings,
            "title": kept_settings.get("title") or document.get("title", ""),
            "category": kept_settings.get("category") or document.get("category", ""),
            "ended": document.get("state") == "ended",
        }
        settings = msgspec.convert(values, Settings)
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        sanctions = {
            kept["participant"]: kept["until_ms"]
            async for kept in self._sanctions.find({"room": room, "action": {"$ne": LIFT}})
            if kept["until_ms"] == 0 or kept["until_ms"] > now_ms
        }
        return Restored(settings, sanctions)

    async def sweep(self, room: str, limit: int) -> int:
        """Delete up to `limit` events of a room, and with the last of them its sanctions; how many events went.

        The ledger of gifts stays: it is an account of what people gave.
        """
        found = self._messages.find(
            {"_id": {"$gt": message_id(room, 0), "$lt": message_id(room, LARGEST_OFFSET)}},
            {"_id": 1},
            sort=[("_id", 1)],
            limit=limit,
        )
        ids = [document["_id"] async for document in found]
        if ids:
            await self._messages.delete_many({"_id": {"$gte": ids[0], "$lte": ids[-1]}})
        if len(ids) < limit:
            await self._sanctions.delete_many({"room": room})
        return len(ids)

    async def _note_sanction(self, room: str, offset: int, event: Sanction) -> None:
        identity = {"room": room, "participant": event.participant}
        values = {"action": event.action, "until_ms": event.until_ms, "offset": offset}
        try:
            await self._sanctions.update_one({**identity, "offset": {"$lt": offset}}, {"$set": values}, upsert=True)
        except DuplicateKeyError:
            # A newer decision is kept already.
            return


async def recall(control: RoomControl, archive: RoomArchive, room: str) -> bool:
    """Bring a room's settings and sanctions from MongoDB into Redis, where they are not there; whether that was needed.

    To be called when a process begins to serve a room: until then Redis knows neither the title nor who is banned.

    Raises:
        redis.exceptions.RedisError, pymongo.errors.PyMongoError: not done; the room works without, try again later.
    """
    if (await control.settings(room)).restored:
        return False
    return await control.restore(room, *await archive.restored(room))


def message_id(room: str, offset: int) -> str:
    """The id of an event's document. Offsets have at most 16 digits, so ids of a room sort as offsets do."""
    return f"{room}:{offset:016d}"


def _message(room: str, epoch: str, offset: int, raw: bytes, event: object) -> UpdateOne:
    values: Document = {
        "room": room,
        "epoch": epoch,
        "offset": offset,
        "at": datetime.fromtimestamp(offset / 1e6, UTC),
        "kind": _kind_of(raw),
        "event": Binary(raw),
    }
    if isinstance(event, ChatEvent | GiftEvent):
        values["sender"] = event.sender
    return UpdateOne({"_id": message_id(room, offset)}, {"$set": values}, upsert=True)


def _ledger_entry(room: str, offset: int, event: GiftEvent) -> Document:
    return {
        "_id": f"{room}:{event.key}",
        "room": room,
        "key": event.key,
        "sender": event.sender,
        "name": event.name,
        "gift": event.gift,
        "quantity": event.quantity,
        "offset": offset,
        "at": datetime.fromtimestamp(offset / 1e6, UTC),
    }


def is_event(raw: bytes, kind: type[msgspec.Struct]) -> bool:
    """Whether an event of the log is one of that kind."""
    return _kind_of(raw) == kind.__struct_config__.tag


async def _bulk(collection: AsyncCollection[Document], writes: Sequence[Any]) -> bool:
    """Write all, in no order; whether there were some whose document another writer had just made."""
    try:
        await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        details = error.details
        others = [failed for failed in details["writeErrors"] if failed["code"] != _DUPLICATE_KEY]
        if others or details.get("writeConcernErrors"):
            raise
        return True
    return False


def _decoded(raw: bytes) -> object:
    """The event, or None for one of a later version, which is kept as it is."""
    try:
        return decode_event(raw)
    except msgspec.DecodeError:
        return None


def _kind_of(raw: bytes) -> int:
    try:
        kind = msgspec.msgpack.decode(raw)[0]
    except (msgspec.DecodeError, TypeError, IndexError, KeyError):
        return 0
    return kind if isinstance(kind, int) else 0
