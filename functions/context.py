"""What the functions of one process share: connections to the managed state, and nothing that must outlive it."""

import secrets
from contextlib import suppress
from typing import Protocol

import msgspec
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from redis.exceptions import RedisError

from functions import vitals
from functions.api import ice_servers
from functions.archive.recaller import Recaller
from functions.recording_shelf import RecordingShelf
from functions.settings import Settings
from functions.sfu_client import SfuClient
from functions.signaling.admission import Reception
from functions.signaling.attendance import AttendanceDesk
from functions.signaling.bus import Bus
from functions.signaling.door import Door
from functions.signaling.ephemeral import Ephemeral
from functions.signaling.hub import Hub
from functions.signaling.limits import TrustedProxies, parse_networks
from functions.signaling.qualities import Qualities
from functions.signaling.room_control import RoomDesk
from shared.object_store import ObjectStore
from shared.security.keys import KeyRing
from shared.security.tokens import Tokens
from shared.settings import SettingsError
from shared.state.archive import RoomArchive
from shared.state.connect import connect_mongodb, connect_redis
from shared.state.directory import RoomDirectory
from shared.state.documents import Document
from shared.state.fleet import Fleet
from shared.state.limits import Holder, Limits
from shared.state.recordings import RecordingCatalogue, RecordingReports
from shared.state.rooms import RoomLog


class Member(Protocol):
    """A socket that is in a room."""

    id: str
    holder: Holder | None

    def displace(self) -> None:
        """Close: a newer connection of the same identity took this one's place."""

    def expire(self, now: float) -> None:
        """Give the peer up if it has been silent for too long; `now` is loop time."""


class Context(msgspec.Struct):
    """The process's parts, by what they are for."""

    settings: Settings
    redis: Redis
    mongodb: AsyncMongoClient[Document]
    tokens: Tokens
    directory: RoomDirectory
    log: RoomLog
    archive: RoomArchive
    sfu: SfuClient
    hub: Hub
    desk: AttendanceDesk
    door: Door
    reception: Reception
    room_desk: RoomDesk
    ephemeral: Ephemeral
    qualities: Qualities
    bus: Bus
    recaller: Recaller
    reports: RecordingReports
    catalogue: RecordingCatalogue
    store: ObjectStore | None
    shelf: RecordingShelf
    trusted_proxies: TrustedProxies
    sockets: set["Member"] = msgspec.field(default_factory=set)
    draining: bool = False

    async def close(self) -> None:
        """Close every connection."""
        await self.hub.stop()
        await self.recaller.stop()
        with suppress(RedisError, OSError):
            await self.desk.hand_in()
        await self.sfu.close()
        if self.store is not None:
            self.store.close()
        await self.redis.aclose()
        await self.mongodb.close()


def build_context(settings: Settings) -> Context:
    """Connect lazily: a dependency that is down at start makes the process unready, not dead.

    Raises:
        SettingsError: the key set cannot be read, or another setting cannot be used.
    """
    try:
        keys = KeyRing.from_jwks(settings.jwt_keys)
    except ValueError as error:
        raise SettingsError("HEADRACE_JWT_KEYS", str(error)) from None
    try:
        trusted_proxies = TrustedProxies(parse_networks(settings.trusted_proxies))
    except ValueError as error:
        raise SettingsError("HEADRACE_TRUSTED_PROXIES", str(error)) from None
    ice_servers.check(settings)
    redis = connect_redis(settings.redis_url)
    mongodb = connect_mongodb(settings.mongodb_uri, vitals.MongoCommands(), vitals.MongoPool())
    tokens = Tokens(keys)
    log = RoomLog(redis)
    hub = Hub(settings.redis_url, redis, log)
    # New at each start: a restarted process must not be taken for the one before it, whose lease ends by itself.
    instance = f"{settings.instance}:{secrets.token_hex(4)}"
    desk = AttendanceDesk(redis, hub, instance)
    door = Door(redis)
    archive = RoomArchive(mongodb, settings.mongodb_database)
    recaller = Recaller(redis, archive)
    hub.on_ban = door.on_ban
    hub.on_open = recaller.begin
    ephemeral = Ephemeral(redis, hub)
    qualities = Qualities()
    bus = Bus(
        redis,
        instance,
        rooms=lambda: {*hub.rooms(), *door.rooms()},
        on_command=door.on_command,
        on_ephemeral=ephemeral.on_ephemeral,
        on_qualities=qualities.on_qualities,
    )
    fleet = Fleet(redis)
    sfu = SfuClient(fleet, log, tokens)
    reports = RecordingReports(redis)
    catalogue = RecordingCatalogue(mongodb, settings.mongodb_database)
    store = _object_store(settings)
    return Context(
        settings=settings,
        redis=redis,
        mongodb=mongodb,
        tokens=tokens,
        directory=RoomDirectory(mongodb, settings.mongodb_database),
        log=log,
        archive=archive,
        sfu=sfu,
        hub=hub,
        desk=desk,
        door=door,
        reception=Reception(Limits(redis), desk, door),
        room_desk=RoomDesk(redis, door, desk),
        ephemeral=ephemeral,
        qualities=qualities,
        bus=bus,
        recaller=recaller,
        reports=reports,
        catalogue=catalogue,
        store=store,
        shelf=RecordingShelf(settings, catalogue, reports, fleet, sfu, tokens, store),
        trusted_proxies=trusted_proxies,
    )


def _object_store(settings: Settings) -> ObjectStore | None:
    if not settings.s3_bucket:
        return None
    return ObjectStore(
        settings.s3_bucket, endpoint=settings.s3_endpoint, region=settings.s3_region, prefix=settings.s3_prefix
    )
