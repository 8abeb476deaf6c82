"""The directory of rooms, read through the cache: in the place of `RoomDirectory`, and as it is.

A further repository plugs in the same way: a family for what it reads by key, and an `invalidate` after each write.
"""

import msgspec
from pymongo import AsyncMongoClient

from shared.cache.family import Policy
from shared.cache.process import ProcessCache
from shared.state.directory import Room, RoomDirectory, RoomPage
from shared.state.documents import Document
from shared.state.listing import ListName

# Every change of a room takes the pages away; what is not told, how many watch, is in them for so long.
PAGES = Policy(fresh_s=2.0, stale_s=8.0, negative_s=2.0, local_s=2.0)
_PAGES_TAG = "rooms"


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    """A page that is asked for; as JSON it is the key of the page."""

    name: ListName
    category: str
    query: str
    after: str
    limit: int


class CachedDirectory(RoomDirectory):
    """One per process. What reads raise beside the directory's own errors is `CacheOverloaded`."""

    def __init__(self, cache: ProcessCache, client: AsyncMongoClient[Document], database: str) -> None:
        super().__init__(client, database)
        self._process = cache
        self._found = cache.cache.family("room", Room, self.read)
        self._pages = cache.cache.family(
            "room_page", RoomPage, self._search, tags_of=lambda _page: (_PAGES_TAG,), policy=PAGES
        )

    async def find(self, room_id: str) -> Room | None:
        """The room of that id, unless it was deleted. Its audience and totals may be a few minutes old."""
        return await self._found.get(room_id)

    async def read(self, room_id: str) -> Room | None:
        """The same as MongoDB has it at this moment."""
        return await super().find(room_id)

    async def search(
        self, name: ListName, *, category: str = "", query: str = "", after: str = "", limit: int
    ) -> RoomPage:
        """A page of listed rooms, as of some seconds ago."""
        asked = _Asked(name, category, query, after, limit)
        return await self._pages.get(msgspec.json.encode(asked).decode()) or RoomPage([], None)

    async def changed(self, room_id: str) -> None:
        """A room's document was written: it and all pages of rooms are read anew."""
        await self._process.cache.invalidate(self._found.tag(room_id), _PAGES_TAG)

    def about_to_go_live(self, room: str) -> None:
        """Its owner prepares to publish: viewers will come, at any process."""
        self._process.expect(self._found, room)

    async def _search(self, key: str) -> RoomPage:
        asked = msgspec.json.decode(key, type=_Asked)
        return await super().search(
            asked.name, category=asked.category, query=asked.query, after=asked.after, limit=asked.limit
        )
