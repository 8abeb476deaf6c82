"""Make a MongoDB database what this version expects: `python -m shared.state.migrate`.

To be run at each deploy, before the new functions start; they never make an index themselves. It may be run at any
time, by several at once, and again after it was interrupted: every step does nothing where it is done. It only adds, so
functions of the version before go on working beside it.
"""

import asyncio
import sys
from typing import Annotated, NamedTuple

import msgspec
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import CollectionInvalid, OperationFailure, PyMongoError

from shared.settings import SettingsError, load, setting
from shared.state.connect import connect_mongodb
from shared.state.documents import Document
from shared.state.listing import listed_fields
from shared.state.schema import COLLECTIONS, CollectionSpec, Index

APP_NAME = "headrace-migrate"
_NAMESPACE_EXISTS = 48
_INDEX_OPTIONS_CONFLICT = 85


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the migration is told by its environment: the same variables as functions."""

    mongodb_uri: Annotated[str, setting("MONGODB_URI", "rooms and people: mongodb://host:port/?replicaSet=name")]
    mongodb_database: Annotated[str, setting("MONGODB_DATABASE", "database name")] = "headrace"


class Outcome(NamedTuple):
    """What was done; all empty where there was nothing to do. `documents` were brought up to date."""

    collections: list[str]
    validators: list[str]
    indexes: list[str]
    documents: int


async def migrate(client: AsyncMongoClient[Document], database: str) -> Outcome:
    """Make collections, validators and indexes, and bring older documents up to date.

    Raises:
        pymongo.errors.PyMongoError: there is no primary, or it refused; what was done until then stays.
    """
    there = client.get_database(
        database, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
    )
    done = Outcome([], [], [], 0)
    known = {found["name"]: found async for found in await there.list_collections()}
    for spec in COLLECTIONS:
        if spec.name not in known and await _create(there, spec):
            done.collections.append(spec.name)
        elif known.get(spec.name, {}).get("options", {}).get("validator") != spec.validator():
            await there.command("collMod", spec.name, validator=spec.validator(), validationLevel="moderate")
            done.validators.append(spec.name)
        done.indexes.extend([f"{spec.name}.{name}" for name in await _index(there, spec)])
    return done._replace(documents=await _list_older_rooms(there))


async def _create(database: AsyncDatabase[Document], spec: CollectionSpec) -> bool:
    """Make a collection; whether it was this call that did."""
    try:
        # Moderate: documents from before the validator stay writable, as they are.
        await database.create_collection(spec.name, validator=spec.validator(), validationLevel="moderate")
    except CollectionInvalid:
        return False
    except OperationFailure as failure:
        if failure.code != _NAMESPACE_EXISTS:
            raise
        return False
    return True


async def _index(database: AsyncDatabase[Document], spec: CollectionSpec) -> list[str]:
    """Make the indexes that are missing; their names. One whose options have changed is made anew."""
    collection = database[spec.name]
    known = await collection.index_information()
    missing = [index for index in spec.indexes if not _same(index, known.get(index.name))]
    for index in missing:
        try:
            await collection.create_indexes([_model(index)])
        except OperationFailure as failure:
            if failure.code != _INDEX_OPTIONS_CONFLICT:
                raise
            await collection.drop_index(index.name)
            await collection.create_indexes([_model(index)])
    return [index.name for index in missing]


def _same(index: Index, known: Document | None) -> bool:
    return (
        known is not None
        and bool(known.get("unique")) == index.unique
        and bool(known.get("sparse")) == index.sparse
        and known.get("expireAfterSeconds") == index.expire_after_s
    )


def _model(index: Index) -> IndexModel:
    options: Document = {"name": index.name}
    if index.unique:
        options["unique"] = True
    if index.sparse:
        options["sparse"] = True
    if index.expire_after_s is not None:
        options["expireAfterSeconds"] = index.expire_after_s
    return IndexModel(list(index.keys), **options)


async def _list_older_rooms(database: AsyncDatabase[Document]) -> int:
    """Rooms of versions that had no lists become rooms that are not listed: they were given away by link alone."""
    rooms, count = database["rooms"], 0
    async for document in rooms.find({"version": {"$exists": False}}):
        room = {"version": 1, "state": "open", "listed": False, **document}
        fields = listed_fields(room)
        fields |= {name: room[name] for name in ("version", "state", "listed")}
        result = await rooms.update_one({"_id": document["_id"], "version": {"$exists": False}}, {"$set": fields})
        count += result.modified_count
    return count


async def _run(settings: Settings) -> Outcome:
    client = connect_mongodb(settings.mongodb_uri, app_name=APP_NAME)
    try:
        return await migrate(client, settings.mongodb_database)
    finally:
        await client.close()


def main() -> None:
    """Entry point; the exit code is 0 when the database is as it should be."""
    try:
        outcome = asyncio.run(_run(load(Settings)))
    except SettingsError as error:
        sys.exit(f"headrace migrate: {error}")
    except PyMongoError as error:
        sys.exit(f"headrace migrate: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
    said = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("collections", outcome.collections),
            ("validators", outcome.validators),
            ("indexes", outcome.indexes),
        )
        if names
    ]
    if outcome.documents:
        said.append(f"documents: {outcome.documents}")
    sys.stdout.write(f"headrace migrate: {'; '.join(said) or 'nothing to do'}\n")


if __name__ == "__main__":
    main()
