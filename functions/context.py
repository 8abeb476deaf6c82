"""What the functions of one process share: connections to the managed state, and nothing that must outlive it."""

import msgspec
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from functions.settings import Settings
from functions.sfu_client import SfuClient
from functions.signaling.hub import Hub
from shared.security.keys import KeyRing
from shared.security.tokens import Tokens
from shared.settings import SettingsError
from shared.state.connect import connect_mongodb, connect_redis
from shared.state.directory import RoomDirectory
from shared.state.documents import Document
from shared.state.fleet import Fleet
from shared.state.rooms import RoomLog


class Context(msgspec.Struct):
    """The process's parts, by what they are for."""

    settings: Settings
    redis: Redis
    mongodb: AsyncMongoClient[Document]
    tokens: Tokens
    directory: RoomDirectory
    log: RoomLog
    sfu: SfuClient
    hub: Hub
    draining: bool = False

    async def close(self) -> None:
        """Close every connection."""
        await self.hub.stop()
        await self.sfu.close()
        await self.redis.aclose()
        await self.mongodb.close()


def build_context(settings: Settings) -> Context:
    """Connect lazily: a dependency that is down at start makes the process unready, not dead.

    Raises:
        SettingsError: the key set cannot be read.
    """
    try:
        keys = KeyRing.from_jwks(settings.jwt_keys)
    except ValueError as error:
        raise SettingsError("HEADRACE_JWT_KEYS", str(error)) from None
    redis = connect_redis(settings.redis_url)
    mongodb = connect_mongodb(settings.mongodb_uri)
    tokens = Tokens(keys)
    log = RoomLog(redis)
    return Context(
        settings=settings,
        redis=redis,
        mongodb=mongodb,
        tokens=tokens,
        directory=RoomDirectory(mongodb, settings.mongodb_database),
        log=log,
        sfu=SfuClient(Fleet(redis), log, tokens),
        hub=Hub(settings.redis_url, redis, log, settings.instance),
    )
