"""An archiver alone in a process, to be killed. Arguments: Redis, MongoDB, database."""

import asyncio
import sys

from shared.state.connect import connect_mongodb, connect_redis
from tests.support import mongodb


async def main(redis_url: str, mongodb_uri: str, database: str) -> None:
    await mongodb.archiver(connect_redis(redis_url), connect_mongodb(mongodb_uri), database, "archiver").run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
