"""What MongoDB is told of our data: the collections, the shape of their documents, their indexes and shard keys.

`shared.state.migrate` makes a database match this, and the table in docs/architecture.md is written from it. Shapes are
JSON schemas (draft 4, with BSON types) in the keywords that DocumentDB has as well. They refuse what a program must
never write; what a client may send is checked before, at the edge.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

MINUTES_KEPT_S: Final = 400 * 24 * 3600
DELIVERIES_KEPT_S: Final = 30 * 24 * 3600
TOMBSTONE_S: Final = 30 * 24 * 3600
"""How long it is remembered that a recording was deleted: longer than a report of it can be on its way."""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An index: its fields with 1 (rising) or -1, and what it is for. `expire_after_s` makes documents vanish."""

    keys: tuple[tuple[str, int], ...]
    serves: str
    unique: bool = False
    sparse: bool = False
    expire_after_s: int | None = None

    @property
    def name(self) -> str:
        """The name that MongoDB gives it by itself."""
        return "_".join(f"{field}_{direction}" for field, direction in self.keys)


class CollectionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A collection. `shard_key` is what it would be sharded by: field to 1 (by range) or "hashed"."""

    name: str
    holds: str
    properties: Mapping[str, Any]
    required: Sequence[str]
    indexes: tuple[Index, ...] = ()
    shard_key: Mapping[str, int | str]
    shard_reason: str

    def validator(self) -> dict[str, Any]:
        """The validator of the collection."""
        return {"$jsonSchema": shape(self.required, **self.properties)}


def text(longest: int, shortest: int = 0) -> dict[str, Any]:
    """A string of at most so many characters."""
    return {"bsonType": "string", "minLength": shortest, "maxLength": longest}


def one_of(*values: str) -> dict[str, Any]:
    """One of a few strings."""
    return {"bsonType": "string", "enum": list(values)}


def shape(required: Sequence[str], /, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON schema
    """A document within a document."""
    # An empty list of required fields is an error to MongoDB.
    needed = {"required": list(required)} if required else {}
    return {"bsonType": "object", **needed, "properties": properties}


DATE: Final = {"bsonType": "date"}
BOOL: Final = {"bsonType": "bool"}
COUNT: Final = {"bsonType": ["int", "long"], "minimum": 0}
STRINGS: Final = {"bsonType": "array", "items": {"bsonType": "string"}}
IDENTIFIER: Final = text(128, 1)
# Ten characters of our alphabet.
ROOM: Final = text(10, 10)

ROOMS: Final = CollectionSpec(
    name="rooms",
    holds="what a room is, who owns it, whether it is listed, and its settings and totals as Redis last had them",
    required=("title", "owner", "created_at"),
    properties={
        "_id": ROOM,
        "title": text(200),
        "description": text(2000),
        "category": text(200),
        "owner": shape(("id", "name"), id=IDENTIFIER, name=text(200)),
        "created_at": DATE,
        "made": text(64),
        "version": COUNT,
        "state": one_of("open", "scheduled", "live", "ended"),
        "listed": BOOL,
        "list": one_of("live", "scheduled"),
        "order": text(64),
        "terms": {**STRINGS, "maxItems": 256},
        "scheduled_at": DATE,
        "ended_at": DATE,
        "live": shape(("session", "offset"), session=IDENTIFIER, offset=COUNT),
        "stream_offset": COUNT,
        "viewers": COUNT,
        "totals": shape((), peak=COUNT, visitors=COUNT, messages=COUNT, watch_s=COUNT),
        "settings": shape(("offset",), offset=COUNT),
        "deleted_at": DATE,
        "sweep_at": DATE,
    },
    indexes=(
        Index(keys=(("list", 1), ("order", 1)), sparse=True, serves="the lists of live and of scheduled rooms"),
        Index(keys=(("list", 1), ("terms", 1), ("order", 1)), sparse=True, serves="the same by category and words"),
        Index(keys=(("owner.id", 1), ("made", -1)), serves="the rooms of an owner, newest first"),
        Index(keys=(("live.offset", 1),), sparse=True, serves="all live rooms, listed or not"),
        Index(keys=(("sweep_at", 1),), sparse=True, serves="deleted rooms whose data has still to go"),
    ),
    shard_key={"_id": "hashed"},
    shard_reason="nearly every read is of one room by its id, which is random",
)

MESSAGES: Final = CollectionSpec(
    name="messages",
    holds="every event of a room's log, as it was; `_id` is room:offset, so one index serves identity, range and order",
    # A deletion that comes before its message makes a document of its own.
    required=(),
    properties={
        "_id": text(64, 12),
        "room": ROOM,
        "epoch": text(64),
        "offset": COUNT,
        "at": DATE,
        "kind": COUNT,
        "event": {"bsonType": "binData"},
        "sender": IDENTIFIER,
        "deleted": COUNT,
    },
    shard_key={"_id": 1},
    shard_reason="a page is a range of one room's ids and lies on one shard; rooms' ids are random, so rooms spread",
)

GIFTS: Final = CollectionSpec(
    name="gifts",
    holds="the ledger of gifts, one document per (room, key)",
    required=("room", "key", "sender", "gift", "quantity", "offset", "at"),
    properties={
        "_id": text(64, 12),
        "room": ROOM,
        "key": COUNT,
        "sender": IDENTIFIER,
        "name": text(200),
        "gift": text(64, 1),
        "quantity": {"bsonType": ["int", "long"], "minimum": 1},
        "offset": COUNT,
        "at": DATE,
    },
    indexes=(
        Index(keys=(("room", 1), ("offset", -1)), serves="a room's gifts, newest first"),
        Index(
            keys=(("room", 1), ("sender", 1), ("gift", 1), ("quantity", 1), ("name", 1)),
            serves="totals by gift and by giver, without reading documents",
        ),
    ),
    shard_key={"_id": 1},
    shard_reason="as `messages`: written by id, and the ids of a room lie together",
)

SANCTIONS: Final = CollectionSpec(
    name="sanctions",
    holds="the latest decision about each participant of a room",
    required=("room", "participant", "action", "until_ms", "offset"),
    properties={
        "room": ROOM,
        "participant": IDENTIFIER,
        "action": COUNT,
        "until_ms": COUNT,
        "offset": COUNT,
    },
    indexes=(
        Index(keys=(("room", 1), ("participant", 1)), unique=True, serves="the one decision about a participant"),
    ),
    shard_key={"room": 1, "participant": 1},
    shard_reason="the unique index has to begin with it, and a room is read whole",
)

RECORDINGS: Final = CollectionSpec(
    name="recordings",
    holds="recordings, and for a while the ids of deleted ones",
    required=("room",),
    properties={
        "_id": IDENTIFIER,
        "room": ROOM,
        "host": text(128),
        "started_at": DATE,
        "ended_at": {"bsonType": ["date", "null"]},
        "deleted_at": DATE,
        "state": one_of("recording", "uploading", "ready", "failed"),
        "revision": COUNT,
        "bytes": COUNT,
    },
    indexes=(
        Index(keys=(("room", 1), ("started_at", 1)), serves="a room's recordings, oldest first"),
        Index(keys=(("deleted_at", 1),), expire_after_s=TOMBSTONE_S, serves="forgetting deleted ones"),
    ),
    shard_key={"_id": "hashed"},
    shard_reason="reports are written by id; listing a room's asks every shard, which is rare",
)

MINUTES: Final = CollectionSpec(
    name="room_minutes",
    holds="a room's audience by the minute; `_id` is room:minute; `samples` are of every ten seconds",
    required=("room", "at"),
    properties={
        "_id": text(64, 12),
        "room": ROOM,
        "at": DATE,
        "samples": {"bsonType": "object"},
        "qualities": {"bsonType": "object"},
        "messages": COUNT,
    },
    indexes=(Index(keys=(("at", 1),), expire_after_s=MINUTES_KEPT_S, serves="forgetting after 400 days"),),
    shard_key={"_id": 1},
    shard_reason="as `messages`: a range of one room's ids is one shard",
)

WEBHOOKS: Final = CollectionSpec(
    name="webhooks",
    holds="where owners want to be told of events, and the secret that signs what they are told",
    required=("owner", "url", "events", "secret", "active", "created_at", "version"),
    properties={
        "_id": text(64, 1),
        "owner": IDENTIFIER,
        "url": text(2000, 1),
        "events": {**STRINGS, "minItems": 1},
        "room": text(10),
        "description": text(200),
        "secret": text(128, 1),
        "active": BOOL,
        "failing_since": {"bsonType": ["date", "null"]},
        "created_at": DATE,
        "version": COUNT,
    },
    indexes=(Index(keys=(("owner", 1), ("_id", 1)), serves="the webhooks of an owner"),),
    shard_key={"_id": "hashed"},
    shard_reason="few, and nearly always read by id",
)

DELIVERIES: Final = CollectionSpec(
    name="webhook_deliveries",
    holds="what is to be told to a webhook, what came of each attempt, and for how long",
    required=("webhook", "event", "body", "state", "due", "order", "created_at", "attempts"),
    properties={
        "_id": text(300, 1),
        "webhook": text(64, 1),
        "event_id": text(200, 1),
        "event": text(64, 1),
        "body": text(65_536, 2),
        "state": one_of("pending", "delivered", "failed"),
        "due": DATE,
        "order": text(300),
        "created_at": DATE,
        "tries": COUNT,
        "attempts": {"bsonType": "array", "items": {"bsonType": "object"}, "maxItems": 32},
    },
    indexes=(
        Index(keys=(("state", 1), ("due", 1)), serves="the next one that is due"),
        Index(keys=(("webhook", 1), ("order", -1)), serves="the log of a webhook, newest first"),
        Index(keys=(("created_at", 1),), expire_after_s=DELIVERIES_KEPT_S, serves="forgetting after 30 days"),
    ),
    shard_key={"_id": "hashed"},
    shard_reason="written by id; the next one that is due is asked of every shard once a second",
)

USERS: Final = CollectionSpec(
    name="users",
    holds="people who have registered; a password is an argon2 hash",
    required=("username", "name", "password", "created_at", "tier"),
    properties={
        "_id": IDENTIFIER,
        "username": text(64, 1),
        "name": text(200, 1),
        "password": text(512, 1),
        "created_at": DATE,
        "about": text(1200),
        "tier": text(32, 1),
    },
    indexes=(Index(keys=(("username", 1),), unique=True, serves="signing in; a user name belongs to one"),),
    shard_key={"username": 1},
    shard_reason="a unique index must begin with the shard key; ids are asked of every shard, and seldom",
)

API_KEYS: Final = CollectionSpec(
    name="api_keys",
    holds="keys of servers, with a hash in place of the secret, what they may do and when they were last used",
    required=("owner", "owner_name", "tier", "name", "scopes", "digest", "created_at"),
    properties={
        "_id": IDENTIFIER,
        "owner": IDENTIFIER,
        "owner_name": text(200),
        "tier": text(32, 1),
        "name": text(200),
        "scopes": STRINGS,
        "digest": text(64, 64),
        "created_at": DATE,
        "expires_at": {"bsonType": ["date", "null"]},
        "used_at": {"bsonType": ["date", "null"]},
    },
    indexes=(Index(keys=(("owner", 1), ("created_at", 1)), serves="the keys of an owner, oldest first"),),
    shard_key={"_id": "hashed"},
    shard_reason="read by id with each use, listed seldom",
)

COLLECTIONS: Final = (ROOMS, MESSAGES, GIFTS, SANCTIONS, RECORDINGS, MINUTES, WEBHOOKS, DELIVERIES, USERS, API_KEYS)
