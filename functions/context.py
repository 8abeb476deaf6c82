"""What the functions of one process share: connections to the managed state, and nothing that must outlive it."""

import secrets
from contextlib import suppress
from functools import partial
from typing import Protocol

import msgspec
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from redis.exceptions import RedisError

from functions import vitals
from functions.api import ice_servers
from functions.archive.recaller import Recaller
from functions.passwords import Passwords
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
from functions.signaling.sampling import Sampling
from functions.signaling.text import TextPolicy
from functions.webhooks.announcing import Announcer
from functions.webhooks.sending import Sender
from shared.cache.process import ProcessCache
from shared.cache.rooms import CachedDirectory
from shared.object_store import ObjectStore
from shared.security.key_source import KeySource, key_source
from shared.security.tokens import Tokens
from shared.settings import SettingsError
from shared.state.api_keys import ApiKeys
from shared.state.archive import RoomArchive
from shared.state.attempts import Attempts
from shared.state.audience import AudienceHistory
from shared.state.connect import connect_mongodb, connect_redis
from shared.state.control import RoomControl
from shared.state.documents import Document
from shared.state.fleet import Fleet
from shared.state.gifts import GiftLedger
from shared.state.limits import Holder, Limits
from shared.state.notices import Notices
from shared.state.recordings import RecordingCatalogue, RecordingReports
from shared.state.revocations import RevocationList
from shared.state.rooms import RoomLog
from shared.state.sessions import Sessions
from shared.state.users import UserDirectory
from shared.state.webhooks import Deliveries, Webhooks


class Member(Protocol):
    """A socket that is in a room."""

    id: str
    holder: Holder | None

    @property
    def sid(self) -> str:
        """The session or API key that its token came from."""

    def revoke(self) -> None:
        """Close: that has been ended."""

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
    cache: ProcessCache
    directory: CachedDirectory
    control: RoomControl
    gifts: GiftLedger
    audience: AudienceHistory
    webhooks: Webhooks
    deliveries: Deliveries
    announcer: Announcer
    sender: Sender
    notices: Notices
    sampling: Sampling
    log: RoomLog
    archive: RoomArchive
    fleet: Fleet
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
    text_policy: TextPolicy
    keys: KeySource
    sessions: Sessions
    revocations: RevocationList
    attempts: Attempts
    users: UserDirectory
    api_keys: ApiKeys
    passwords: Passwords
    sockets: set["Member"] = msgspec.field(default_factory=set)
    draining: bool = False

    async def close(self) -> None:
        """Close every connection."""
        await self.hub.stop()
        await self.recaller.stop()
        with suppress(RedisError, OSError):
            await self.desk.hand_in()
        await self.sfu.close()
        await self.sender.close()
        self.passwords.close()
        if self.store is not None:
            self.store.close()
        await self.cache.close()
        await self.redis.aclose()
        await self.mongodb.close()


def build_context(settings: Settings) -> Context:
    """Connect lazily: a dependency that is down at start makes the process unready, not dead.

    Raises:
        SettingsError: the key set cannot be read, or another setting cannot be used.
    """
    keys = key_source(settings.jwt_keys, settings.jwt_keys_file, insecure_hs256=settings.insecure_hs256)
    try:
        trusted_proxies = TrustedProxies(parse_networks(settings.trusted_proxies))
    except ValueError as error:
        raise SettingsError("HEADRACE_TRUSTED_PROXIES", str(error)) from None
    ice_servers.check(settings)
    redis = connect_redis(settings.redis_url)
    mongodb = connect_mongodb(settings.mongodb_uri, vitals.MongoCommands(), vitals.MongoPool())
    tokens = Tokens(keys.ring)
    sockets: set[Member] = set()
    log = RoomLog(redis)
    hub = Hub(settings.redis_url, redis, log)
    # New at each start: a restarted process must not be taken for the one before it, whose lease ends by itself.
    instance = f"{settings.instance}:{secrets.token_hex(4)}"
    desk = AttendanceDesk(redis, hub, instance)
    door = Door(redis)
    archive = RoomArchive(mongodb, settings.mongodb_database)
    cache = _cache(settings, instance)
    recaller = Recaller(redis, archive)
    hub.on_ban = door.on_ban
    desk.on_removed = door.clear
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
    sfu = SfuClient(fleet, log, tokens, settings.zone)
    notices = Notices(redis, instance)
    directory = CachedDirectory(cache, mongodb, settings.mongodb_database)
    webhooks = Webhooks(mongodb, settings.mongodb_database)
    deliveries = Deliveries(mongodb, settings.mongodb_database)
    reports = RecordingReports(redis)
    catalogue = RecordingCatalogue(mongodb, settings.mongodb_database)
    store = _object_store(settings)
    return Context(
        settings=settings,
        redis=redis,
        mongodb=mongodb,
        tokens=tokens,
        cache=cache,
        directory=directory,
        control=RoomControl(redis),
        gifts=GiftLedger(mongodb, settings.mongodb_database),
        audience=AudienceHistory(mongodb, settings.mongodb_database),
        webhooks=webhooks,
        deliveries=deliveries,
        announcer=Announcer(directory, webhooks, deliveries),
        sender=Sender(insecure=settings.insecure_webhooks),
        notices=notices,
        sampling=Sampling(redis, desk, qualities, notices, instance),
        log=log,
        archive=archive,
        fleet=fleet,
        sfu=sfu,
        hub=hub,
        desk=desk,
        door=door,
        reception=Reception(Limits(redis), desk, door, notices),
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
        text_policy=TextPolicy(links=settings.chat_links, blocked_terms=settings.blocked_terms),
        keys=keys,
        sessions=Sessions(redis, lifetime_s=settings.session_lifetime_s),
        revocations=RevocationList(redis, tokens.revocations, partial(_close_revoked, sockets)),
        attempts=Attempts(redis),
        users=UserDirectory(mongodb, settings.mongodb_database),
        api_keys=ApiKeys(mongodb, settings.mongodb_database),
        passwords=Passwords(),
        sockets=sockets,
    )


def _cache(settings: Settings, instance: str) -> ProcessCache:
    try:
        return ProcessCache(
            settings.cache_url,
            instance,
            max_entries=settings.cache_entries,
            max_bytes=settings.cache_bytes,
            loads_per_s=settings.cache_loads_per_s,
        )
    except ValueError as error:
        raise SettingsError("HEADRACE_CACHE_URL", str(error)) from None


def _close_revoked(sockets: set[Member], ended: frozenset[str]) -> None:
    for socket in tuple(sockets):
        if socket.sid in ended:
            socket.revoke()


def _object_store(settings: Settings) -> ObjectStore | None:
    if not settings.s3_bucket:
        return None
    return ObjectStore(
        settings.s3_bucket, endpoint=settings.s3_endpoint, region=settings.s3_region, prefix=settings.s3_prefix
    )
