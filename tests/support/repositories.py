"""Every method of every repository, called: what the tests of indexes and of DocumentDB's limits look at.

A repository is a class of `shared.state` that is given an `AsyncMongoClient`. `CALLS` says how to call each of its
public methods; a method that is not here fails `tests/shared/state/test_queries.py`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient

import shared.state
from shared.protocol.events import Event
from shared.protocol.messages import ChatEvent, Deleted, GiftEvent, Sanction, SettingsChanged, encode
from shared.security.tokens import Grant, Tier
from shared.state.control import Settings
from shared.state.directory import Owner, Totals
from shared.state.documents import Document
from shared.state.notices import Sample
from shared.state.recordings import Recording
from shared.state.webhooks import Attempt, NewDelivery, delivery_id

ROOM, OTHER = "abcdefghjk", "abcdefghjm"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=3)
# What does nothing by itself.
HOOKS = {("RoomDirectory", "changed")}
_HOOK = "wh_0000000000000000"


def repositories() -> dict[str, type[Any]]:
    """All of them, by name."""
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(shared.state.__path__):
        loaded = importlib.import_module(f"shared.state.{module.name}")
        classes = {name: kind for name, kind in vars(loaded).items() if inspect.isclass(kind)}
        own = {name: kind for name, kind in classes.items() if kind.__module__ == loaded.__name__}
        found |= {name: kind for name, kind in own.items() if _takes_client(kind)}
    return found


def methods(kind: type[Any]) -> list[str]:
    """The public methods of a repository that ask the database."""
    public = [(name, value) for name, value in vars(kind).items() if not name.startswith("_")]
    return [name for name, value in public if inspect.iscoroutinefunction(value) and (kind.__name__, name) not in HOOKS]


def _takes_client(kind: type[Any]) -> bool:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return False
    return any("AsyncMongoClient" in str(parameter.annotation) for parameter in parameters)


Call = Callable[[Any], Awaitable[object]]


def _recording(**changes: Any) -> Recording:  # noqa: ANN401 - fields of any type
    known: dict[str, Any] = {
        "id": "w1-1", "room": ROOM, "host": "h", "started_at": NOW, "state": "ready", "media_type": "video/webm",
        "file": "f.webm", "codecs": ["vp8"], "revision": 1,
    }  # fmt: skip
    return Recording(**known | changes)


async def _rooms(directory: Any) -> None:  # noqa: ANN401 - a repository
    """Rooms in every state, so that what is asked finds something."""
    await directory.create("Late night", Owner("p1", "Ana"), category="Music", listed=True)
    room = await directory.create("To be live", Owner("p1", "Ana"), listed=True)
    await directory.note_stream(room.id, 1_764_000_000_000_000, "w1-a")


async def _of(directory: Any) -> str:  # noqa: ANN401 - a repository
    room = await directory.create("One more", Owner("p1", "Ana"), scheduled_at=LATER, listed=True)
    return str(room.id)


async def _delivery(deliveries: Any) -> Any:  # noqa: ANN401 - a repository
    await deliveries.add([NewDelivery(_HOOK, "e1", "ping", "{}"), NewDelivery(_HOOK, "e1", "ping", "{}")])
    return await deliveries.find(delivery_id(_HOOK, "e1"))


async def _chain(*steps: Awaitable[object]) -> None:
    for step in steps:
        await step


def _entries() -> list[tuple[int, bytes]]:
    offset = 1_764_000_000_000_000
    events: list[Event] = [
        ChatEvent("p1", "Ana", 1, "hello"),
        GiftEvent("p2", "Bo", 7, "rose", 2),
        Sanction("p2", 3, 0),
        SettingsChanged("t", "", 0, waiting_room=False),
        Deleted(offset),
    ]
    return [(offset + number, encode(event)) for number, event in enumerate(events)]


CALLS: dict[tuple[str, str], Call] = {
    ("RoomDirectory", "create"): _rooms,
    ("RoomDirectory", "find"): lambda it: it.find(ROOM),
    ("RoomDirectory", "search"): lambda it: _chain(
        it.search("live", limit=2),
        it.search("scheduled", limit=2),
        it.search("live", category="music", query="la ni", after="0", limit=2),
    ),
    ("RoomDirectory", "of_owner"): lambda it: _chain(it.of_owner("p1", limit=1), it.of_owner("p1", after="2", limit=1)),
    ("RoomDirectory", "update"): lambda it: _with_room(
        it, lambda room: it.update(room, listed=False, scheduled_at=None)
    ),
    ("RoomDirectory", "end"): lambda it: _with_room(it, it.end),
    ("RoomDirectory", "reopen"): lambda it: _with_room(it, it.reopen),
    ("RoomDirectory", "delete"): lambda it: _with_room(it, it.delete),
    ("RoomDirectory", "note_stream"): lambda it: _with_room(it, lambda room: it.note_stream(room, 5, "w1-b")),
    ("RoomDirectory", "note_settings"): lambda it: _with_room(
        it, lambda room: it.note_settings(room, Settings(title="New", offset=5))
    ),
    ("RoomDirectory", "note_audience"): lambda it: _with_room(
        it, lambda room: it.note_audience(room, 3, Totals(3, 4, 5, 6))
    ),
    ("RoomDirectory", "live_streams"): lambda it: it.live_streams(5),
    ("RoomDirectory", "to_sweep"): lambda it: it.to_sweep(5),
    ("RoomDirectory", "swept"): lambda it: _with_room(it, it.swept),
    ("RoomArchive", "write"): lambda it: _chain(it.write(ROOM, "e", _entries()), it.write(ROOM, "e", _entries())),
    ("RoomArchive", "page"): lambda it: _chain(it.page(ROOM, limit=2), it.page(ROOM, limit=2, newest=True)),
    ("RoomArchive", "restored"): lambda it: it.restored(ROOM),
    ("RoomArchive", "sweep"): lambda it: _chain(it.sweep(ROOM, 2), it.sweep(OTHER, 2)),
    ("RecordingCatalogue", "note"): lambda it: _chain(it.note(_recording()), it.note(_recording(revision=0))),
    ("RecordingCatalogue", "of_room"): lambda it: it.of_room(ROOM),
    ("RecordingCatalogue", "delete"): lambda it: it.delete(_recording()),
    ("AudienceHistory", "note"): lambda it: it.note([Sample(ROOM, 176_400_000, 3, 4, 5, 6, 7, 176_399_999, {720: 2})]),
    ("AudienceHistory", "read"): lambda it: it.read(ROOM, NOW - timedelta(days=1), NOW),
    ("AudienceHistory", "messages_before"): lambda it: it.messages_before(ROOM, NOW),
    ("AudienceHistory", "sweep"): lambda it: it.sweep(OTHER),
    ("GiftLedger", "page"): lambda it: it.page(ROOM, limit=2),
    ("GiftLedger", "totals"): lambda it: it.totals(ROOM),
    ("Webhooks", "create"): lambda it: it.create("p1", "https://example.com/", ["ping"]),
    ("Webhooks", "find"): lambda it: it.find(_HOOK),
    ("Webhooks", "of_owner"): lambda it: _chain(it.of_owner("p1", limit=1), it.of_owner("p1", after="wh_1", limit=1)),
    ("Webhooks", "wanting"): lambda it: it.wanting("p1", ROOM),
    ("Webhooks", "update"): lambda it: it.update(_HOOK, version=1, active=True),
    ("Webhooks", "note_health"): lambda it: it.note_health(_HOOK, failing_since=NOW, active=False),
    ("Webhooks", "delete"): lambda it: it.delete(_HOOK),
    ("Deliveries", "add"): _delivery,
    ("Deliveries", "claim"): lambda it: it.claim(),
    ("Deliveries", "note"): lambda it: _with_delivery(
        it,
        lambda delivery: it.note(delivery, Attempt(at=NOW, status=200, error="", took_ms=1), "delivered", NOW),
    ),
    ("Deliveries", "again"): lambda it: _with_delivery(it, it.again),
    ("Deliveries", "find"): _delivery,
    ("Deliveries", "of_webhook"): lambda it: _chain(
        it.of_webhook(_HOOK, limit=1), it.of_webhook(_HOOK, after="9", limit=1)
    ),
    ("Deliveries", "forget"): lambda it: it.forget(_HOOK),
    ("UserDirectory", "create"): lambda it: _chain(_user(it), _user(it)),
    ("UserDirectory", "find"): lambda it: it.find("p1"),
    ("UserDirectory", "named"): lambda it: it.named("ana"),
    ("UserDirectory", "change"): lambda it: it.change("p1", about="Synths"),
    ("UserDirectory", "delete"): lambda it: it.delete("p2"),
    ("ApiKeys", "create"): lambda it: _chain(_key(it)),
    ("ApiKeys", "of"): lambda it: it.of("p1"),
    ("ApiKeys", "authenticate"): lambda it: _with_key(it, lambda _, text: it.authenticate(text)),
    ("ApiKeys", "revoke"): lambda it: _with_key(it, lambda key, _: it.revoke("p1", key)),
    ("ApiKeys", "revoke_all"): lambda it: it.revoke_all("p1"),
}


async def _user(users: Any) -> None:  # noqa: ANN401 - a repository
    await users.create("p1", "ana", "Ana", "$argon2id$")


async def _key(keys: Any) -> tuple[str, str]:  # noqa: ANN401 - a repository
    scopes = frozenset({Grant.CHAT})
    key, text = await keys.create(
        owner="p1", owner_name="Ana", tier=Tier.VIEWER, name="bot", scopes=scopes, expires_at=None
    )
    return str(key.id), str(text)


async def _with_key(keys: Any, step: Callable[[str, str], Awaitable[object]]) -> None:  # noqa: ANN401 - as above
    await step(*await _key(keys))


async def _with_room(directory: Any, step: Callable[[str], Awaitable[object]]) -> None:  # noqa: ANN401 - a repository
    await step(await _of(directory))


async def _with_delivery(deliveries: Any, step: Callable[[Any], Awaitable[object]]) -> None:  # noqa: ANN401 - as above
    await step(await _delivery(deliveries))


async def exercise(client: AsyncMongoClient[Document], database: str) -> None:
    """Call every method of every repository."""
    known = repositories()
    for (name, _), call in CALLS.items():
        await call(known[name](client, database))
