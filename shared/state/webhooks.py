"""Webhooks in MongoDB: where owners want to be told of what happens in their rooms, and what is still to be told.

A delivery's id is made of the webhook's and the event's, so an event that is seen twice is told once. Whoever takes a
delivery has it for a while, and what came of the attempt is written down before it is due again.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from pymongo import ASCENDING, AsyncMongoClient, InsertOne, ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import BulkWriteError

from shared.state.documents import Document
from shared.state.listing import page_of

EventName: TypeAlias = Literal[
    "stream.started", "stream.ended", "room.full", "recording.ready", "recording.failed", "gift.received", "ping"
]
DeliveryState: TypeAlias = Literal["pending", "delivered", "failed"]

MAX_OF_OWNER = 20
LEASE = timedelta(seconds=60)
MAX_ATTEMPTS_KEPT = 16
_DUPLICATE_KEY = 11000


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where an owner wants to be told. `room` is empty for all of the owner's rooms; `secret` signs."""

    id: str
    owner: str
    url: str
    events: tuple[EventName, ...]
    secret: str
    created_at: datetime
    room: str = ""
    description: str = ""
    active: bool = True
    failing_since: datetime | None = None
    version: int = 1


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try. `status` is what was answered, 0 for nothing; `error` is why it did not succeed, or empty."""

    at: datetime
    status: int
    error: str
    took_ms: int


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook. `due` is when it is tried next, while it is pending."""

    id: str
    webhook: str
    event_id: str
    event: EventName
    body: str
    state: DeliveryState
    due: datetime
    created_at: datetime
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()


class NewDelivery(NamedTuple):
    """What is to be told to a webhook. `event_id` is the same whenever the same event is told."""

    webhook: str
    event_id: str
    event: EventName
    body: str


class Webhooks:
    """Collection `webhooks`: `find`, `of_owner` and `wanting` read, the others write.

    Every method raises `pymongo.errors.PyMongoError` when no primary (for reads: no member) can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._webhooks = client[database].get_collection(
            "webhooks", write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )

    async def create(
        self, owner: str, url: str, events: Sequence[EventName], *, room: str = "", description: str = ""
    ) -> Webhook:
        """A new one, with a secret of its own."""
        now = datetime.now(UTC)
        webhook = Webhook(
            id=f"wh_{secrets.token_hex(8)}",
            owner=owner,
            url=url,
            events=tuple(events),
            room=room,
            description=description,
            # Base64 of 24 random bytes and more are what Standard Webhooks asks for.
            secret=f"whsec_{secrets.token_urlsafe(32).replace('-', 'A').replace('_', 'B')}=",
            created_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
        )
        document = msgspec.to_builtins(webhook, builtin_types=(datetime,))
        del document["id"]
        await self._webhooks.insert_one({"_id": webhook.id, **document, "events": list(events)})
        return webhook

    async def find(self, webhook: str) -> Webhook | None:
        """The one of that id."""
        document = await self._webhooks.find_one({"_id": webhook})
        return None if document is None else _webhook(document)

    async def of_owner(self, owner: str, *, after: str = "", limit: int) -> tuple[list[Webhook], str | None]:
        """A page of an owner's, in the order of their ids, and the cursor of the next."""
        found = self._webhooks.find({"owner": owner, "_id": {"$gt": after}}, sort=[("_id", 1)], limit=limit + 1)
        page, cursor = page_of([document async for document in found], limit, "_id")
        return [_webhook(document) for document in page], cursor

    async def wanting(self, owner: str, room: str) -> list[Webhook]:
        """The active ones of an owner that are about a room."""
        found = self._webhooks.find({"owner": owner, "_id": {"$gt": ""}}, sort=[("_id", 1)], limit=MAX_OF_OWNER)
        webhooks = [_webhook(document) async for document in found]
        return [webhook for webhook in webhooks if webhook.active and webhook.room in {"", room}]

    async def update(
        self,
        webhook: str,
        *,
        version: int,
        url: str | None = None,
        events: Sequence[EventName] | None = None,
        active: bool | None = None,
        description: str | None = None,
    ) -> Webhook | None:
        """Change one, and forget that it was failing; None when it is not at that version any more."""
        wanted = {"url": url, "events": events and list(events), "active": active, "description": description}
        values = {name: value for name, value in wanted.items() if value is not None}
        document = await self._webhooks.find_one_and_update(
            {"_id": webhook, "version": version},
            {"$set": {**values, "failing_since": None}, "$inc": {"version": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _webhook(document)

    async def note_health(self, webhook: str, *, failing_since: datetime | None, active: bool) -> None:
        """Whether deliveries arrive, and since when they do not."""
        await self._webhooks.update_one(
            {"_id": webhook}, {"$set": {"failing_since": failing_since, "active": active}, "$inc": {"version": 1}}
        )

    async def delete(self, webhook: str) -> None:
        """Forget one."""
        await self._webhooks.delete_one({"_id": webhook})


class Deliveries:
    """Collection `webhook_deliveries`: `find` and `of_webhook` read, the others write.

    Every method raises `pymongo.errors.PyMongoError` when no primary (for reads: no member) can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._deliveries = client[database].get_collection(
            "webhook_deliveries", write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )

    async def add(self, deliveries: Sequence[NewDelivery]) -> None:
        """Have events told; those that are there already stay as they are."""
        now = datetime.now(UTC)
        documents: list[Document] = [
            {
                "_id": delivery_id(delivery.webhook, delivery.event_id),
                "webhook": delivery.webhook,
                "event_id": delivery.event_id,
                "event": delivery.event,
                "body": delivery.body,
                "state": "pending",
                "due": now,
                "order": f"{int(now.timestamp() * 1000):013d}:{delivery.event_id}",
                "created_at": now,
                "tries": 0,
                "attempts": [],
            }
            for delivery in deliveries
        ]
        if not documents:
            return
        try:
            await self._deliveries.bulk_write([InsertOne(document) for document in documents], ordered=False)
        except BulkWriteError as error:
            others = [failed for failed in error.details["writeErrors"] if failed["code"] != _DUPLICATE_KEY]
            if others or error.details.get("writeConcernErrors"):
                raise

    async def claim(self) -> Delivery | None:
        """The delivery that has been due for longest, for `LEASE`; None when none is due."""
        now = datetime.now(UTC)
        document = await self._deliveries.find_one_and_update(
            {"state": "pending", "due": {"$lte": now}},
            {"$set": {"due": now + LEASE}, "$inc": {"tries": 1}},
            sort=[("due", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _delivery(document)

    async def note(self, delivery: Delivery, attempt: Attempt, state: DeliveryState, due: datetime) -> None:
        """What came of an attempt. Of many, the latest are kept."""
        kept = {"$each": [msgspec.to_builtins(attempt, builtin_types=(datetime,))], "$slice": -MAX_ATTEMPTS_KEPT}
        await self._deliveries.update_one(
            {"_id": delivery.id}, {"$set": {"state": state, "due": due}, "$push": {"attempts": kept}}
        )

    async def again(self, delivery: Delivery) -> None:
        """Try it now, from the start, whatever came of it before."""
        await self._deliveries.update_one(
            {"_id": delivery.id}, {"$set": {"state": "pending", "due": datetime.now(UTC), "tries": 0}}
        )

    async def find(self, delivery: str) -> Delivery | None:
        """The one of that id."""
        document = await self._deliveries.find_one({"_id": delivery})
        return None if document is None else _delivery(document)

    async def of_webhook(self, webhook: str, *, after: str = "", limit: int) -> tuple[list[Delivery], str | None]:
        """A page of a webhook's, newest first, and the cursor of the next."""
        filters: Document = {"webhook": webhook}
        if after:
            filters["order"] = {"$lt": after}
        found = self._deliveries.find(filters, sort=[("order", -1)], limit=limit + 1)
        page, cursor = page_of([document async for document in found], limit, "order")
        return [_delivery(document) for document in page], cursor

    async def forget(self, webhook: str) -> None:
        """Delete all of a webhook's: nobody is there to be told."""
        await self._deliveries.delete_many({"webhook": webhook})


def delivery_id(webhook: str, event_id: str) -> str:
    """The id of the delivery of an event to a webhook."""
    return f"{webhook}:{event_id}"


def _webhook(document: Document) -> Webhook:
    return msgspec.convert({**document, "id": document["_id"]}, Webhook)


def _delivery(document: Document) -> Delivery:
    return msgspec.convert({**document, "id": document["_id"]}, Delivery)
