"""A database for a test: made by the migration, as a deploy makes it, and emptied for each test."""

from pymongo import AsyncMongoClient

from functions.archive.archiver import Archiver
from functions.webhooks.announcing import Announcer
from shared.state.archive import RoomArchive
from shared.state.connect import connect_mongodb
from shared.state.directory import RoomDirectory
from shared.state.documents import Document
from shared.state.migrate import migrate
from shared.state.schema import COLLECTIONS
from shared.state.webhooks import Deliveries, Webhooks

# Tests look into collections as they like: only what the platform asks has to have an index (tests/conftest.py).
APP_NAME = "headrace-tests"
_made: set[tuple[str, str]] = set()


def connect(uri: str, *listeners: object) -> AsyncMongoClient[Document]:
    """A client that says that it is a test's."""
    return connect_mongodb(uri, *listeners, app_name=APP_NAME)


async def empty(client: AsyncMongoClient[Document], uri: str, database: str) -> None:
    """Make the database, the first time, and leave nothing in it."""
    if (uri, database) not in _made:
        await migrate(client, database)
        _made.add((uri, database))
    for spec in COLLECTIONS:
        await client[database][spec.name].delete_many({})


def announcer(client: AsyncMongoClient[Document], database: str) -> Announcer:
    """What tells webhooks."""
    directory = RoomDirectory(client, database)
    return Announcer(directory, Webhooks(client, database), Deliveries(client, database))


def archiver(redis: object, client: AsyncMongoClient[Document], database: str, instance: str = "test") -> Archiver:
    """An archiver, with all that it needs."""
    archive, directory = RoomArchive(client, database), RoomDirectory(client, database)
    return Archiver(redis, archive, directory, announcer(client, database), instance)  # type: ignore[arg-type] # any client
