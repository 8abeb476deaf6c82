"""A MongoDB that refuses what Amazon DocumentDB 5.0 lacks: a proxy in front of mongod that reads every command.

It allows what the developer guide lists as supported ("Supported MongoDB APIs, operations, and data types" and
"Functional differences"), as far as anybody here has needed it, and answers everything else as DocumentDB does: error
303. So a new stage, operator or option fails here until somebody has looked it up and added it.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import bson

_COMMANDS = frozenset(
    [
        "hello",
        "ismaster",
        "isMaster",
        "ping",
        "buildInfo",
        "endSessions",
        "find",
        "getMore",
        "killCursors",
        "insert",
        "update",
        "delete",
        "aggregate",
        "findAndModify",
        "count",
        "distinct",
        "explain",
        "create",
        "collMod",
        "createIndexes",
        "dropIndexes",
        "listCollections",
        "listIndexes",
        "drop",
        "dropDatabase",
        "commitTransaction",
        "abortTransaction",
    ]
)
_STAGES = frozenset(
    [
        "$match",
        "$project",
        "$group",
        "$sort",
        "$limit",
        "$skip",
        "$unwind",
        "$lookup",
        "$count",
        "$addFields",
        "$replaceRoot",
        "$sample",
    ]
)
_QUERY = (
    *("$eq", "$gt", "$gte", "$in", "$lt", "$lte", "$ne", "$nin", "$and", "$or", "$nor", "$not", "$exists", "$type"),
    *("$regex", "$options", "$all", "$elemMatch", "$size", "$jsonSchema"),
)
_UPDATE = (
    *("$set", "$unset", "$inc", "$min", "$max", "$push", "$pull", "$addToSet", "$each", "$slice", "$setOnInsert"),
    "$currentDate",
)
_EXPRESSION = ("$sum", "$avg", "$first", "$last", "$cond", "$ifNull", "$add", "$subtract", "$multiply", "$divide")
_OPERATORS = frozenset((*_QUERY, *_UPDATE, *_EXPRESSION))
# DocumentDB ignores or lacks the rest; `collation`, `hint` by name and updates by pipeline among them.
_OPTIONS = frozenset(
    [
        "$db",
        "lsid",
        "$clusterTime",
        "$readPreference",
        "txnNumber",
        "startTransaction",
        "autocommit",
        "readConcern",
        "writeConcern",
        "maxTimeMS",
        "comment",
        "filter",
        "projection",
        "sort",
        "limit",
        "skip",
        "batchSize",
        "singleBatch",
        "documents",
        "updates",
        "deletes",
        "ordered",
        "pipeline",
        "cursor",
        "query",
        "update",
        "new",
        "fields",
        "upsert",
        "collection",
        "cursors",
        "indexes",
        "index",
        "key",
        "validator",
        "validationLevel",
        "validationAction",
        "helloOk",
        "client",
        "compression",
        "topologyVersion",
        "maxAwaitTimeMS",
        "nameOnly",
    ]
)
_SCHEMA_KEYWORDS = frozenset(
    [
        "bsonType",
        "type",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "enum",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "title",
        "description",
    ]
)
_INDEX_OPTIONS = frozenset(
    ["key", "name", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "background"]
)
_WRITE_OPTIONS_LACKING = frozenset(["collation", "hint", "arrayFilters"])
_UNSUPPORTED = 303
_OP_MSG = 2013
_CHECKSUM = 1


def refusal(command: dict[str, Any]) -> str | None:
    """Why DocumentDB would not carry out a command; None where it would."""
    name = next(iter(command))
    if name not in _COMMANDS:
        return f"command {name}"
    if "txnNumber" in command and not command.get("startTransaction") and "autocommit" not in command:
        return "retryable writes"
    # A driver says of itself what it likes.
    if name not in {"hello", "ismaster", "isMaster"} and (unknown := command.keys() - _OPTIONS - {name}):
        return f"option {sorted(unknown)}"
    if command.get("readConcern", {}).get("level", "majority") not in {"local", "majority"}:
        return f"read concern {command['readConcern']}"
    return next(_refusals(name, command), None)


def _refusals(name: str, command: dict[str, Any]) -> Iterator[str]:
    for stage in command.get("pipeline", ()):
        yield from (f"stage {key}" for key in stage if key not in _STAGES)
        yield from (f"operator {key}" for key in _dollars(list(stage.values())) if key not in _OPERATORS)
    writes = [*command.get("updates", ()), *command.get("deletes", ())]
    updates = [entry["u"] for entry in command.get("updates", ())]
    if name == "findAndModify" and "update" in command:
        updates.append(command["update"])
    yield from ("update by pipeline" for update in updates if isinstance(update, list))
    yield from ("an option of a write" for entry in writes if entry.keys() & _WRITE_OPTIONS_LACKING)
    schema = command.get("validator", {}).get("$jsonSchema")
    if schema is not None:
        yield from (f"schema keyword {key}" for key in _keywords(schema) if key not in _SCHEMA_KEYWORDS)
    for index in command.get("indexes", ()):
        yield from (f"index option {key}" for key in index if key not in _INDEX_OPTIONS)
    asked = [command.get("filter"), command.get("query"), updates, [entry["q"] for entry in writes]]
    yield from (f"operator {key}" for key in _dollars(asked) if key not in _OPERATORS)


def _dollars(value: Any) -> Iterator[str]:  # noqa: ANN401 - any BSON
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.startswith("$"):
                yield key
            yield from _dollars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dollars(inner)


def _keywords(schema: dict[str, Any]) -> Iterator[str]:
    yield from schema
    for inner in schema.get("properties", {}).values():
        yield from _keywords(inner)
    if isinstance(schema.get("items"), dict):
        yield from _keywords(schema["items"])


@asynccontextmanager
async def documentdb(mongod_port: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Such a proxy: its URI, with the options of a deployment, and what it has refused so far."""
    refused: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, answer = await asyncio.open_connection("127.0.0.1", mongod_port)
        back = asyncio.create_task(_copy(upstream, writer))
        try:
            while True:
                head = await reader.readexactly(16)
                length, request, _, opcode = struct.unpack("<iiii", head)
                body = await reader.readexactly(length - 16)
                reason = refusal(_command(body)) if opcode == _OP_MSG else None
                if reason is None:
                    answer.write(head + body)
                    await answer.drain()
                else:
                    refused.append(reason)
                    writer.write(_error(request, reason))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.cancel()
            answer.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false", refused
    finally:
        server.close()
        # Connections that a client left open end with their tasks.
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


def _command(body: bytes) -> dict[str, Any]:
    """The command of an OP_MSG: its document, and the sequences that come beside it (section kind 1)."""
    (flags,) = struct.unpack_from("<I", body)
    end = len(body) - (4 if flags & _CHECKSUM else 0)
    command: dict[str, Any] = {}
    sequences: dict[str, list[dict[str, Any]]] = {}
    at = 4
    while at < end:
        kind = body[at]
        (size,) = struct.unpack_from("<i", body, at + 1)
        section = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\0")
            sequences[name.decode()] = list(bson.decode_iter(documents))
        at += 1 + size
    return command | sequences


def _error(request: int, reason: str) -> bytes:
    code = {"code": _UNSUPPORTED, "codeName": "UnsupportedFeature"}
    document = bson.encode({"ok": 0.0, **code, "errmsg": f"Feature not supported: {reason}"})
    return struct.pack("<iiiiIB", 21 + len(document), 0, request, _OP_MSG, 0, 0) + document
