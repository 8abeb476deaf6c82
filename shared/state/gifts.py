"""Reading the ledger of gifts that the archive keeps: page by page, and added up."""

from datetime import datetime

import msgspec
from pymongo import AsyncMongoClient, ReadPreference

from shared.state.documents import Document
from shared.state.listing import page_of
from shared.state.rooms import LARGEST_OFFSET

MAX_TIME_MS = 3000
TOP_GIVERS = 20


class Gift(msgspec.Struct, frozen=True):
    """A gift that somebody gave."""

    offset: int
    at: datetime
    sender: str
    name: str
    gift: str
    quantity: int


class GiftSum(msgspec.Struct, frozen=True):
    """What was given of one kind: how many in how many presents."""

    gift: str
    quantity: int
    presents: int


class GiverSum(msgspec.Struct, frozen=True):
    """What one participant gave; `name` is one that they gave under."""

    sender: str
    name: str
    quantity: int
    presents: int


class GiftTotals(msgspec.Struct, frozen=True):
    """A room's gifts added up, the most first; `givers` are those who gave most."""

    quantity: int
    presents: int
    gifts: list[GiftSum]
    givers: list[GiverSum]


class GiftLedger:
    """Reads only: gifts are written by `shared.state.archive`.

    Every method raises `pymongo.errors.PyMongoError` when no member can be reached in time.
    """

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._gifts = client[database].get_collection("gifts", read_preference=ReadPreference.PRIMARY_PREFERRED)

    async def page(self, room: str, *, before: int = LARGEST_OFFSET, limit: int) -> tuple[list[Gift], int | None]:
        """Gifts before an offset, newest first, and the offset that the next page is before; None: there is none."""
        found = self._gifts.find(
            {"room": room, "offset": {"$lt": before}}, {"_id": 0}, sort=[("offset", -1)], limit=limit + 1
        )
        documents = [document async for document in found]
        page, more = page_of(documents, limit, "sender")
        gifts = msgspec.convert(list(page), list[Gift])
        return gifts, gifts[-1].offset if more else None

    async def totals(self, room: str) -> GiftTotals:
        """All gifts of a room added up."""
        sums = {"quantity": {"$sum": "$quantity"}, "presents": {"$sum": 1}}
        ours: Document = {"$match": {"room": room}}
        needed: Document = {"$project": {"_id": 0, "sender": 1, "gift": 1, "quantity": 1, "name": 1}}
        first: Document = {"$sort": {"quantity": -1, "_id": 1}}
        by_gift = await self._gifts.aggregate(
            [ours, needed, {"$group": {"_id": "$gift", **sums}}, first], maxTimeMS=MAX_TIME_MS
        )
        gifts = [GiftSum(found["_id"], found["quantity"], found["presents"]) async for found in by_gift]
        by_giver = await self._gifts.aggregate(
            [
                ours,
                needed,
                {"$group": {"_id": "$sender", "name": {"$max": "$name"}, **sums}},
                first,
                {"$limit": TOP_GIVERS},
            ],
            maxTimeMS=MAX_TIME_MS,
        )
        givers = [
            GiverSum(found["_id"], found["name"], found["quantity"], found["presents"]) async for found in by_giver
        ]
        quantity, presents = sum(gift.quantity for gift in gifts), sum(gift.presents for gift in gifts)
        return GiftTotals(quantity, presents, gifts, givers)
