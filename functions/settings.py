"""Settings of a function process."""

from typing import Annotated, Literal

import msgspec

from shared.security.tokens import LONGEST_LIFETIME_S
from shared.settings import EnvironmentSetting, setting
from shared.telemetry import tracing
from shared.telemetry.logs import LogFormat, LogLevel

FunctionName = Literal["api", "archive", "signaling", "web"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a function process is told by its environment."""

    redis_url: Annotated[str, setting("REDIS_URL", "room log, presence and placement: redis://host:port/0")]
    cache_url: Annotated[
        str,
        setting(
            "HEADRACE_CACHE_URL",
            "the cache's own Redis, which evicts (maxmemory-policy allkeys-lru): redis://host:port/0; none: things are "
            "cached in the process only, for a second",
        ),
    ] = ""
    cache_entries: Annotated[
        int, setting("HEADRACE_CACHE_ENTRIES", "entries that this process caches at most", ge=1)
    ] = 20_000
    cache_bytes: Annotated[int, setting("HEADRACE_CACHE_BYTES", "bytes that they may have together", ge=65_536)] = (
        33_554_432
    )
    cache_loads_per_s: Annotated[
        float,
        setting(
            "HEADRACE_CACHE_LOADS_PER_S",
            "reads of the databases behind the cache that this process does a second while the cache's Redis is away",
            gt=0,
        ),
    ] = 200.0
    mongodb_uri: Annotated[str, setting("MONGODB_URI", "rooms and people: mongodb://host:port/?replicaSet=name")]
    mongodb_database: Annotated[str, setting("MONGODB_DATABASE", "database name")] = "headrace"
    environment: EnvironmentSetting = "production"
    jwt_keys: Annotated[
        str,
        setting(
            "HEADRACE_JWT_KEYS",
            "JWK set of Ed25519 or P-256 keys with kid; the first private one whose time has come signs; required, or "
            "HEADRACE_JWT_KEYS_FILE is",
        ),
    ] = ""
    jwt_keys_file: Annotated[
        str, setting("HEADRACE_JWT_KEYS_FILE", "file with such a set, read again when it changes, so that keys rotate")
    ] = ""
    insecure_hs256: Annotated[
        bool,
        setting("HEADRACE_INSECURE_HS256", "whether HS256 keys are taken, with which whoever verifies can also sign"),
    ] = False
    insecure_cookies: Annotated[
        bool, setting("HEADRACE_INSECURE_COOKIES", "whether cookies are also sent over plain HTTP")
    ] = False
    identity_lifetime_s: Annotated[
        int,
        setting(
            "HEADRACE_IDENTITY_LIFETIME_S", "seconds that an identity token is good for", ge=60, le=LONGEST_LIFETIME_S
        ),
    ] = 900
    session_lifetime_s: Annotated[
        int,
        setting(
            "HEADRACE_SESSION_LIFETIME_S",
            "seconds for which somebody stays signed in, or remains the same guest, without being seen",
            ge=300,
        ),
    ] = 2_592_000
    chat_links: Annotated[
        Literal["everyone", "moderators", "nobody"],
        setting("HEADRACE_CHAT_LINKS", "whose chat messages may have links: everyone's, moderators' or nobody's"),
    ] = "everyone"
    blocked_terms: Annotated[
        tuple[str, ...],
        setting("HEADRACE_BLOCKED_TERMS", "words that no message, name or title may have, whatever a room says"),
    ] = ()
    functions: Annotated[
        tuple[FunctionName, ...],
        setting("HEADRACE_FUNCTIONS", "which of api, archive, signaling and web this process does"),
    ] = ("api", "archive", "signaling", "web")
    host: Annotated[str, setting("HEADRACE_HOST", "listen address")] = "127.0.0.1"
    port: Annotated[int, setting("HEADRACE_PORT", "listen port", ge=1, le=65535)] = 8000
    socket_port: Annotated[
        int,
        setting(
            "HEADRACE_SOCKET_PORT",
            "second port that takes the room sockets at half the cost; 0: they are served on HEADRACE_PORT only",
            ge=0,
            le=65535,
        ),
    ] = 0
    metrics_host: Annotated[
        str, setting("HEADRACE_METRICS_HOST", "address of the metrics' port; whoever reaches it may read them")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int, setting("HEADRACE_METRICS_PORT", "port of the metrics, never a public one; 0: none", ge=0, le=65535)
    ] = 0
    cpu_limit: Annotated[
        float,
        setting(
            "HEADRACE_CPU_LIMIT",
            "cores that this process may use, as its share is measured against; 0: its container's limit, one at most",
            ge=0,
        ),
    ] = 0.0
    otlp_url: Annotated[
        str, setting(tracing.VARIABLE, "where traces go (OTLP over HTTP), as http://127.0.0.1:4318; none: no traces")
    ] = ""
    instance: Annotated[
        str,
        setting(
            "HEADRACE_INSTANCE",
            "name of this process in logs and metrics; default the host's name",
            max_length=64,
        ),
    ] = ""
    zone: Annotated[
        str,
        setting(
            "HEADRACE_ZONE",
            "where this process is, from the wide to the narrow, as eu-central-1/eu-central-1a; who comes in here "
            "gets an SFU worker near it",
        ),
    ] = ""
    web_root: Annotated[
        str, setting("HEADRACE_WEB_ROOT", "folder of the built web client; by default the one in the checkout")
    ] = ""
    allowed_origins: Annotated[
        tuple[str, ...], setting("HEADRACE_ALLOWED_ORIGINS", "origins whose pages may call the API (CORS)")
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        setting(
            "HEADRACE_TRUSTED_PROXIES", "networks whose X-Forwarded-For is believed, as 10.0.0.0/8; none by default"
        ),
    ] = ()
    ice_servers: Annotated[
        tuple[str, ...],
        setting("HEADRACE_ICE_SERVERS", "stun:, turn: and turns: URLs that clients are told of; none are needed"),
    ] = ()
    turn_secret: Annotated[
        str, setting("HEADRACE_TURN_SECRET", "static-auth-secret that coturn has as well; TURN needs it")
    ] = ""
    turn_lifetime_s: Annotated[
        int, setting("HEADRACE_TURN_LIFETIME_S", "seconds that TURN credentials are good for", ge=60)
    ] = 43_200
    s3_bucket: Annotated[str, setting("HEADRACE_S3_BUCKET", "bucket that workers move finished recordings to")] = ""
    s3_endpoint: Annotated[
        str,
        setting(
            "HEADRACE_S3_ENDPOINT",
            "URL of an S3-compatible store that is not Amazon's, as browsers reach it",
            pattern="^https?://[^/]+",
        ),
    ] = ""
    s3_region: Annotated[
        str, setting("HEADRACE_S3_REGION", "region of the bucket; default what the environment or profile says")
    ] = ""
    s3_prefix: Annotated[
        str, setting("HEADRACE_S3_PREFIX", "start of all keys in the bucket; the same on workers and functions")
    ] = "recordings"
    recordings_max_count: Annotated[
        int, setting("HEADRACE_RECORDINGS_MAX_COUNT", "recordings that a room may have; 0 is no limit", ge=0)
    ] = 100
    recordings_max_bytes: Annotated[
        int, setting("HEADRACE_RECORDINGS_MAX_BYTES", "bytes that they may have together; 0 is no limit", ge=0)
    ] = 53_687_091_200
    recording_max_s: Annotated[
        float, setting("HEADRACE_RECORDING_MAX_S", "seconds after which a recording ends; 0 is no limit", ge=0)
    ] = 43_200.0
    recordings_prune: Annotated[
        bool,
        setting("HEADRACE_RECORDINGS_PRUNE", "whether a room that is full loses its oldest recordings when one begins"),
    ] = False
    insecure_webhooks: Annotated[
        bool,
        setting(
            "HEADRACE_INSECURE_WEBHOOKS",
            "whether webhooks may go to private addresses and without TLS; for a machine of one's own alone",
        ),
    ] = False
    keep_alive_s: Annotated[
        float,
        setting(
            "HEADRACE_KEEP_ALIVE_S",
            "seconds after which a silent HTTP connection is closed; more than the idle time-out of a load balancer in "
            "front, which would else send a request into a connection that is just being closed",
            gt=0,
            le=4_500,
        ),
    ] = 30.0
    drain_deadline_s: Annotated[
        float, setting("HEADRACE_DRAIN_DEADLINE_S", "seconds that clients get to move at SIGTERM", ge=0, le=120)
    ] = 8.0
    log_format: Annotated[LogFormat, setting("HEADRACE_LOG_FORMAT", "json or console")] = "json"
    log_level: Annotated[LogLevel, setting("HEADRACE_LOG_LEVEL", "debug, info, warning or error")] = "info"
