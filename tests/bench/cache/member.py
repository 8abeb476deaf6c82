"""A process with a cached directory that does what it is told on its standard input, a line of JSON each.

`stampede`: read a room so many times at once, at a moment of the monotonic clock that all processes share.
`watch`: read a room every millisecond until it has a title; when that was.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from shared.cache.process import ProcessCache
from shared.cache.rooms import CachedDirectory
from shared.state.connect import connect_mongodb
from tests.bench.cache.rooms import DATABASE

WATCH_S = 0.001


async def _stampede(directory: CachedDirectory, room: str, reads: int, at: float) -> dict[str, Any]:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    found = await asyncio.gather(*(directory.find(room) for _ in range(reads)))
    return {"found": sum(one is not None for one in found), "ended": time.monotonic()}


async def _watch(directory: CachedDirectory, room: str, title: str) -> dict[str, Any]:
    while (found := await directory.find(room)) is None or found.title != title:
        await asyncio.sleep(WATCH_S)
    return {"seen": time.monotonic()}


async def _main(cache_url: str, mongodb_uri: str, instance: str) -> None:
    client = connect_mongodb(mongodb_uri)
    process = ProcessCache(cache_url, instance, max_entries=20_000, max_bytes=2**25, loads_per_s=200)
    directory = CachedDirectory(process, client, DATABASE)
    running = asyncio.create_task(process.run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while not process.connected():
        await asyncio.sleep(0.01)
    # The first read opens connections, and the pool of the driver is filled by some at once.
    await asyncio.gather(*(directory.find(f"none{number}") for number in range(10)))
    print(json.dumps({"ready": True}), flush=True)
    while line := await reader.readline():
        asked = json.loads(line)
        do = {"stampede": _stampede, "watch": _watch}[asked.pop("do")]
        print(json.dumps(await do(directory, **asked)), flush=True)  # type: ignore[operator]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await process.close()
    await client.close()


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
