"""An archiver alone in a process, to be killed. Arguments: Redis, MongoDB, database."""

import asyncio
import sys

from functions.archive.archiver import Archiver
from shared.state.archive import RoomArchive
from shared.state.connect import connect_mongodb, connect_redis


async def main(redis_url: str, mongodb_uri: str, database: str) -> None:
    archive = RoomArchive(connect_mongodb(mongodb_uri), database)
    await Archiver(connect_redis(redis_url), archive, "archiver").run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
