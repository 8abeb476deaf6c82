"""What the repositories ask of MongoDB: with an index for each question, and nothing that DocumentDB lacks."""

import ast
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient, monitoring
from pymongo.errors import OperationFailure, WriteError

from shared.stack import paths
from shared.stack.stack import LocalStack
from shared.state.connect import connect_mongodb
from shared.state.directory import Owner, RoomDirectory, Totals
from shared.state.documents import Document
from shared.state.listing import position_of
from shared.state.migrate import migrate
from shared.state.schema import COLLECTIONS
from tests.support import mongodb as support
from tests.support.documentdb import documentdb, refusal
from tests.support.repositories import CALLS, exercise, methods, repositories

DATABASE = "queries"
# Commands that look for documents, and where what they look for is.
_LOOKING = {"find", "aggregate", "update", "delete", "findAndModify", "count", "distinct"}
_BY_INDEX = {"IXSCAN", "IDHACK", "EXPRESS_IXSCAN", "EXPRESS_CLUSTERED_IXSCAN", "COUNT_SCAN", "DISTINCT_SCAN", "EOF"}


class Commands(monitoring.CommandListener):
    """Keeps every command that a client sends."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in _LOOKING:
            # Session and time are of that one command; the rest can be explained.
            own = {"lsid", "$db", "$clusterTime", "txnNumber", "$readPreference"}
            self.seen.append({key: value for key, value in event.command.items() if key not in own})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to keep."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to keep."""


@pytest_asyncio.fixture
async def client(state: LocalStack) -> AsyncIterator[AsyncMongoClient[Document]]:
    async with support.connect(state.mongodb_uri) as client:
        await support.empty(client, state.mongodb_uri, DATABASE)
        yield client


def test_every_method_of_every_repository_is_exercised() -> None:
    wanted = {(name, method) for name, kind in repositories().items() for method in methods(kind)}
    assert wanted == set(CALLS)


def test_only_repositories_reach_for_collections() -> None:
    allowed = {"migrate.py"}
    for path in [*(paths.ROOT / "functions").rglob("*.py"), *(paths.ROOT / "shared" / "state").glob("*.py")]:
        if "node_modules" in path.parts or path.name in allowed:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = [node for kind in ast.walk(tree) if isinstance(kind, ast.ClassDef) for node in ast.walk(kind)]
        reaching = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in {"get_collection", "get_database"}
        ]
        for node in reaching:
            assert path.parent.name == "state", f"{path}: a collection outside of shared.state"
            assert node in inside, f"{path}: a collection outside of a repository"


async def test_every_query_has_an_index(state: LocalStack, client: AsyncMongoClient[Document]) -> None:
    commands = Commands()
    async with connect_mongodb(state.mongodb_uri, commands, app_name=support.APP_NAME) as watched:
        await exercise(watched, DATABASE)
    assert len(commands.seen) > len(CALLS)
    for command in commands.seen:
        for one in _apart(command):
            plan = await client[DATABASE].command("explain", one, verbosity="queryPlanner")
            stages = set(_stages(plan))
            assert stages & _BY_INDEX, f"{one}: {stages}"
            assert "COLLSCAN" not in stages, one
            # A sort of sums is of few; one of documents has to come out of the index.
            assert "SORT" not in stages or "aggregate" in one, one


async def test_totals_of_gifts_read_no_documents(client: AsyncMongoClient[Document]) -> None:
    pipeline = [
        {"$match": {"room": "abcdefghjk"}},
        {"$project": {"_id": 0, "sender": 1, "gift": 1, "quantity": 1, "name": 1}},
        {"$group": {"_id": "$gift", "quantity": {"$sum": "$quantity"}}},
    ]
    command = {"aggregate": "gifts", "pipeline": pipeline, "cursor": {}}
    plan = await client[DATABASE].command("explain", command, verbosity="queryPlanner")
    assert "FETCH" not in set(_stages(plan))


async def test_nothing_is_asked_that_documentdb_lacks(state: LocalStack) -> None:
    port = urlsplit(state.mongodb_uri.partition("?")[0]).port
    assert port is not None
    async with (
        documentdb(port) as (uri, refused),
        connect_mongodb(uri, app_name=support.APP_NAME) as client,
    ):
        await client.drop_database("documentdb")
        first = await migrate(client, "documentdb")
        assert len(first.collections) == len(COLLECTIONS)
        again = await migrate(client, "documentdb")
        assert (again.collections, again.validators, again.indexes, again.documents) == ([], [], [], 0)
        await exercise(client, "documentdb")
        assert refused == []
        with pytest.raises(OperationFailure, match=r"Feature not supported: stage \$facet"):
            await (await client["documentdb"]["rooms"].aggregate([{"$facet": {}}])).to_list()
        with pytest.raises(OperationFailure, match="update by pipeline"):
            await client["documentdb"]["rooms"].update_one({"_id": "x"}, [{"$set": {"a": 1}}])
        assert len(refused) == 2


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ({"insert": "rooms", "documents": [{}], "txnNumber": 1}, "retryable writes"),
        ({"find": "rooms", "filter": {"$where": "1"}}, "operator $where"),
        ({"find": "rooms", "filter": {}, "collation": {"locale": "en"}}, "option ['collation']"),
        ({"aggregate": "rooms", "pipeline": [{"$merge": "x"}]}, "stage $merge"),
        ({"create": "rooms", "timeseries": {}}, "option ['timeseries']"),
        ({"create": "rooms", "validator": {"$jsonSchema": {"dependencies": {}}}}, "schema keyword dependencies"),
        ({"createIndexes": "rooms", "indexes": [{"key": {"a": 1}, "hidden": True}]}, "index option hidden"),
        ({"find": "rooms", "filter": {"_id": 1}, "readConcern": {"level": "snapshot"}}, "read concern"),
    ],
)
def test_the_mode_refuses(command: dict[str, Any], why: str) -> None:
    assert why in str(refusal(command))


async def test_the_database_refuses_what_no_program_may_write(client: AsyncMongoClient[Document]) -> None:
    rooms = client[DATABASE]["rooms"]
    room = {"_id": "abcdefghjk", "title": "t", "owner": {"id": "p1", "name": "Ana"}, "created_at": datetime.now(UTC)}
    await rooms.insert_one(dict(room))
    for wrong in ({"_id": "short"}, {"state": "sleeping"}, {"title": 5}, {"owner": {"id": "p1"}}, {"viewers": -1}):
        with pytest.raises(WriteError, match="validation"):
            await rooms.insert_one(room | {"_id": "abcdefghjm"} | wrong)
    with pytest.raises(WriteError, match="validation"):
        await rooms.update_one({"_id": "abcdefghjk"}, {"$set": {"listed": "yes"}})


async def test_a_room_of_an_older_version_is_migrated_and_stays_unlisted(client: AsyncMongoClient[Document]) -> None:
    old = {"_id": "abcdefghjk", "title": "Old", "owner": {"id": "p1", "name": "Ana"}, "created_at": datetime.now(UTC)}
    await client[DATABASE]["rooms"].insert_one(old)
    assert (await migrate(client, DATABASE)).documents == 1
    assert (await migrate(client, DATABASE)).documents == 0
    directory = RoomDirectory(client, DATABASE)
    (room,) = (await directory.of_owner("p1", limit=5)).rooms
    assert (room.id, room.state, room.listed, room.version) == ("abcdefghjk", "open", False, 1)


async def test_an_index_whose_options_changed_is_made_anew(client: AsyncMongoClient[Document]) -> None:
    minutes = client[DATABASE]["room_minutes"]
    await minutes.drop_index("at_1")
    await minutes.create_index("at", expireAfterSeconds=5, name="at_1")
    assert (await migrate(client, DATABASE)).indexes == ["room_minutes.at_1"]
    assert (await minutes.index_information())["at_1"]["expireAfterSeconds"] > 5


@pytest.mark.parametrize("spec", COLLECTIONS, ids=lambda spec: spec.name)
def test_unique_indexes_can_hold_over_shards(spec: Any) -> None:  # noqa: ANN401 - a CollectionSpec
    key = list(spec.shard_key)
    for index in spec.indexes:
        assert not index.unique or [field for field, _ in index.keys][: len(key)] == key
    assert "hashed" not in spec.shard_key.values() or key == ["_id"]


async def test_rooms_are_found_by_the_beginnings_of_their_words_and_paged_by_viewers(
    client: AsyncMongoClient[Document],
) -> None:
    directory = RoomDirectory(client, DATABASE)
    made = [
        await directory.create(f"Synth night {number}", Owner("p1", "Ana"), category="Music", listed=True)
        for number in range(5)
    ]
    hidden = await directory.create("Synth secret", Owner("p1", "Ana"), category="Music")
    for viewers, room in enumerate([*made, hidden], start=1):
        await directory.note_stream(room.id, viewers, f"w-{viewers}")
        await directory.note_audience(room.id, viewers, Totals(viewers, viewers))
    seen: list[str] = []
    cursor = ""
    while True:
        page = await directory.search("live", category="music", query="SYN ni", after=cursor, limit=2)
        seen += [room.id for room in page.rooms]
        if page.next is None:
            break
        cursor = _position(page.next)
    assert seen == [room.id for room in reversed(made)]
    assert (await directory.search("live", query="synth dawn", limit=5)).rooms == []
    assert (await directory.search("live", category="Talk", limit=5)).rooms == []
    await directory.note_stream(made[4].id, 100, None)
    assert made[4].id not in [room.id for room in (await directory.search("live", limit=9)).rooms]


def _position(cursor: str) -> str:
    found = position_of(cursor)
    assert found is not None
    return found


def _apart(command: dict[str, Any]) -> list[dict[str, Any]]:
    """A command for each write of a bulk: explain takes one."""
    for name, plural in (("update", "updates"), ("delete", "deletes")):
        if plural in command:
            return [{name: command[name], plural: [entry]} for entry in command[plural]]
    return [command]


def _stages(plan: Any) -> list[str]:  # noqa: ANN401 - what explain answers
    """The stages of the winning plan, wherever it is in the answer."""
    if isinstance(plan, list):
        return [stage for part in plan for stage in _stages(part)]
    if not isinstance(plan, dict):
        return []
    found = [plan["stage"]] if "stage" in plan else []
    for key, inner in plan.items():
        if key not in {"rejectedPlans", "command", "parsedQuery", "serverParameters"}:
            found += _stages(inner)
    return found
