"""The MongoDB side of rooms: what a room is, for as long as it exists, and how rooms are found.

A room's document is changed by reading it and writing it back under its version, so that what is derived from several
fields (`shared.state.listing`) always fits them, whoever else changes it at the same moment. Only the audience of a
live room is written without: it changes every ten seconds and concerns nobody but the order of the list.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import DuplicateKeyError, OperationFailure

from shared.state.control import Settings
from shared.state.documents import Document
from shared.state.listing import ListName, category_term, listed_fields, live_order, page_of, words_of

# No 0/o, 1/l/i: a code is read aloud and typed.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
ID_LENGTH = 10
# A room that did not begin when it was said to is still announced for so long.
LATENESS = timedelta(hours=2)
# So long functions may still write to a room that they do not know to be deleted.
SWEEP_AFTER = timedelta(minutes=2)
_TRIES = 20
_DERIVED = ("list", "order", "terms")

RoomState: TypeAlias = Literal["open", "scheduled", "live", "ended"]


class Owner(msgspec.Struct, frozen=True):
    """Who made a room."""

    id: str
    name: str


class LiveStream(msgspec.Struct, frozen=True):
    """The stream that was live when the archive last looked.

    `offset` is that of its start in the log, µs since 1970.
    """

    session: str
    offset: int

    @property
    def since(self) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(self.offset / 1e6, UTC)


class Totals(msgspec.Struct, frozen=True):
    """Over a room's life, as of the last sample. `watch_s` is the time that all viewers together spent in it."""

    peak: int = 0
    visitors: int = 0
    messages: int = 0
    watch_s: int = 0


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A room; `id` is the code that people join by. `version` rises with every change but that of its audience."""

    id: str
    title: str
    owner: Owner
    created_at: datetime
    category: str = ""
    description: str = ""
    state: RoomState = "open"
    listed: bool = False
    scheduled_at: datetime | None = None
    ended_at: datetime | None = None
    live: LiveStream | None = None
    viewers: int = 0
    totals: Totals = Totals()
    version: int = 0


class RoomPage(NamedTuple):
    """Rooms, and where the next page begins; None: this is the last."""

    rooms: list[Room]
    next: str | None


class Unchanged(Exception):  # noqa: N818 - the state, not a fault of the program
    """The room is not at the version that the change was made for, or it is not in a state that allows it."""


def parse_room_id(text: str) -> str | None:
    """A room's id from what somebody typed: any case, with hyphens or spaces. None when it cannot be one."""
    code = "".join(text.split()).replace("-", "").lower()
    return code if len(code) == ID_LENGTH and all(character in _ALPHABET for character in code) else None


class RoomDirectory:
    """Rooms in MongoDB: `find`, `search`, `of_owner`, `live_streams` and `to_sweep` read, the others write.

    Every method raises `pymongo.errors.PyMongoError` when no primary (for reads: no member) can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._rooms = client[database].get_collection(
            "rooms", write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )
        # A room that was just made must be found, by any function: reads go to the primary, and while there is none,
        # to what is left, since a room that exists does not change its owner.
        self._reading = self._rooms.with_options(read_preference=ReadPreference.PRIMARY_PREFERRED)

    async def create(
        self,
        title: str,
        owner: Owner,
        *,
        category: str = "",
        description: str = "",
        scheduled_at: datetime | None = None,
        listed: bool = False,
    ) -> Room:
        """A new room with an id of its own."""
        while True:
            document: Document = {
                "_id": _new_id(),
                "title": title,
                "category": category,
                "description": description,
                "owner": msgspec.to_builtins(owner),
                "created_at": _in_milliseconds(datetime.now(UTC)),
                "state": "scheduled" if scheduled_at else "open",
                "listed": listed,
                "version": 1,
            }
            if scheduled_at:
                document["scheduled_at"] = _in_milliseconds(scheduled_at)
            try:
                await self._rooms.insert_one(document | listed_fields(document))
            except DuplicateKeyError:
                continue
            # Somebody may have tried that code.
            await self.changed(document["_id"])
            return _room(document)

    async def find(self, room_id: str) -> Room | None:
        """The room of that id, unless it was deleted."""
        document = await self._reading.find_one({"_id": room_id})
        return None if document is None or "deleted_at" in document else _room(document)

    async def search(
        self, name: ListName, *, category: str = "", query: str = "", after: str = "", limit: int
    ) -> RoomPage:
        """A page of listed rooms: live ones with the most viewers first, or scheduled ones that are next first.

        `query` are beginnings of words that the title, the owner's name or the category must have, all of them. `after`
        is the position behind which the page begins.
        """
        wanted = [*([category_term(category)] if category else []), *words_of(query)]
        if not after and name == "scheduled":
            after = f"{datetime.now(UTC) - LATENESS:%Y%m%dT%H%M%S}"
        filters: Document = {"list": name, "order": {"$gt": after}}
        if wanted:
            filters["terms"] = {"$all": wanted}
        found = self._reading.find(filters, {"terms": 0}, sort=[("order", 1)], limit=limit + 1)
        page, cursor = page_of([document async for document in found], limit, "order")
        return RoomPage([_room(document) for document in page], cursor)

    async def of_owner(self, owner: str, *, after: str = "", limit: int) -> RoomPage:
        """A page of an owner's rooms, newest first."""
        filters: Document = {"owner.id": owner, "deleted_at": {"$exists": False}}
        if after:
            filters["made"] = {"$lt": after}
        found = self._reading.find(filters, {"terms": 0}, sort=[("made", -1)], limit=limit + 1)
        page, cursor = page_of([document async for document in found], limit, "made")
        return RoomPage([_room(document) for document in page], cursor)

    async def update(
        self,
        room_id: str,
        *,
        version: int | None = None,
        description: str | None = None,
        listed: bool | None = None,
        scheduled_at: datetime | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> Room:
        """Change what is not kept in Redis. A time schedules a room also when it had ended; None takes it off.

        Raises:
            Unchanged: it has another version than the one given, or is live and cannot be scheduled.
        """

        def change(document: Document) -> None:
            if version is not None and document.get("version") != version:
                raise Unchanged("the room was changed in the meantime")
            if description is not None:
                document["description"] = description
            if listed is not None:
                document["listed"] = listed
            if scheduled_at is msgspec.UNSET:
                return
            if document.get("state") == "live":
                raise Unchanged("the room is live")
            document.pop("scheduled_at", None)
            if isinstance(scheduled_at, datetime):
                document["scheduled_at"] = _in_milliseconds(scheduled_at)
                document["state"] = "scheduled"
                document.pop("ended_at", None)
            elif document.get("state") == "scheduled":
                document["state"] = "open"

        return _room(await self._change(room_id, change))

    async def end(self, room_id: str) -> Room:
        """The room is over, until it is opened again."""

        def change(document: Document) -> None:
            document.setdefault("ended_at", _in_milliseconds(datetime.now(UTC)))
            document["state"] = "ended"
            document.pop("live", None)
            document.pop("scheduled_at", None)

        return _room(await self._change(room_id, change))

    async def reopen(self, room_id: str) -> Room:
        """The room is not over after all."""

        def change(document: Document) -> None:
            if document.get("state") == "ended":
                document["state"] = "open"
            document.pop("ended_at", None)

        return _room(await self._change(room_id, change))

    async def delete(self, room_id: str) -> None:
        """Forget a room: it is found no more, and what belongs to it goes soon (`functions.archive.sweeper`)."""

        def change(document: Document) -> None:
            now = datetime.now(UTC)
            document |= {
                "deleted_at": now,
                "sweep_at": now + SWEEP_AFTER,
                "state": "ended",
                "title": "",
                "description": "",
            }
            document.pop("live", None)

        await self._change(room_id, change)

    async def note_stream(self, room_id: str, offset: int, session: str | None) -> None:
        """A stream started, or with None ended, at that offset of the log; what is older is not new."""

        def change(document: Document) -> None:
            if document.get("stream_offset", 0) >= offset or document.get("state") == "ended":
                raise Unchanged("nothing new")
            document["stream_offset"] = offset
            if session is None:
                document.pop("live", None)
                document["state"] = "open"
            else:
                document["live"] = {"session": session, "offset": offset}
                document["state"] = "live"
                document.pop("scheduled_at", None)

        await self._noted(room_id, change)

    async def note_settings(self, room_id: str, settings: Settings) -> None:
        """Keep a room's settings, unless newer ones are kept already."""
        kept = msgspec.to_builtins(settings)
        del kept["restored"], kept["ended"]

        def change(document: Document) -> None:
            if document.get("settings", {}).get("offset", -1) >= settings.offset:
                raise Unchanged("nothing new")
            document["settings"] = kept
            document["title"] = settings.title or document["title"]
            # Redis knows of a category that the room was made with only after it has been brought in there.
            if settings.category or settings.restored:
                document["category"] = settings.category

        await self._noted(room_id, change)

    async def note_audience(self, room_id: str, viewers: int, totals: Totals) -> None:
        """How many watch a room, and its totals, which never fall."""
        highest = {f"totals.{name}": value for name, value in msgspec.structs.asdict(totals).items()}
        alive: Document = {"_id": room_id, "deleted_at": {"$exists": False}}
        await self._rooms.update_one(alive, {"$set": {"viewers": viewers}, "$max": highest})
        await self._rooms.update_one(
            {"_id": room_id, "list": "live"}, {"$set": {"order": live_order(room_id, viewers)}}
        )

    async def live_streams(self, limit: int) -> list[tuple[str, str]]:
        """Rooms that are live as far as the archive knows, with their session, the oldest stream first."""
        found = self._rooms.find(
            {"live.offset": {"$gte": 0}}, {"live.session": 1}, sort=[("live.offset", 1)], limit=limit
        )
        return [(document["_id"], document["live"]["session"]) async for document in found]

    async def to_sweep(self, limit: int) -> list[str]:
        """Deleted rooms whose data has still to go."""
        due = {"sweep_at": {"$lte": datetime.now(UTC)}}
        found = self._rooms.find(due, {"_id": 1}, sort=[("sweep_at", 1)], limit=limit)
        return [document["_id"] async for document in found]

    async def swept(self, room_id: str) -> None:
        """The data of a deleted room is gone. Its id stays, so that no other room is found under an old link."""
        gone = dict.fromkeys(("sweep_at", "settings", "totals", "viewers", "category", *_DERIVED), "")
        await self._rooms.update_one({"_id": room_id, "deleted_at": {"$exists": True}}, {"$unset": gone})

    async def changed(self, room_id: str) -> None:
        """A room's document was written, in all but its audience: for a cache in front to override."""

    async def _noted(self, room_id: str, change: Callable[[Document], None]) -> None:
        try:
            await self._change(room_id, change)
        except Unchanged:
            return

    async def _change(self, room_id: str, change: Callable[[Document], None]) -> Document:
        """Apply a change to a room's document, and bring what is derived from it up to date."""
        for _ in range(_TRIES):
            before = await self._rooms.find_one({"_id": room_id})
            if before is None or "deleted_at" in before:
                raise Unchanged("there is no such room")
            after = before.copy()
            change(after)
            after["version"] = before.get("version", 0) + 1
            after = {name: value for name, value in after.items() if name not in _DERIVED} | listed_fields(after)
            # The audience is not ours to write: it changes beside us.
            changed = {name: value for name, value in after.items() if value != before.get(name) and name != "viewers"}
            update: Document = {"$set": changed}
            if gone := [name for name in before if name not in after]:
                update["$unset"] = dict.fromkeys(gone, "")
            same = {"_id": room_id, "version": before.get("version", {"$exists": False})}
            if (await self._rooms.update_one(same, update)).matched_count:
                await self.changed(room_id)
                return after
        raise OperationFailure(f"the room changed {_TRIES} times in a row")


def _room(document: Document) -> Room:
    return msgspec.convert({**document, "id": document["_id"]}, Room)


def _in_milliseconds(at: datetime) -> datetime:
    """MongoDB's precision."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))
