"""Settings of a function process."""

from typing import Annotated, Literal

import msgspec

from shared.settings import setting
from shared.telemetry import tracing
from shared.telemetry.logs import LogFormat, LogLevel

FunctionName = Literal["api", "archive", "signaling", "web"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a function process is told by its environment."""

    redis_url: Annotated[str, setting("REDIS_URL", "room log, presence and placement: redis://host:port/0")]
    mongodb_uri: Annotated[str, setting("MONGODB_URI", "rooms and people: mongodb://host:port/?replicaSet=name")]
    mongodb_database: Annotated[str, setting("MONGODB_DATABASE", "database name")] = "headrace"
    jwt_keys: Annotated[
        str, setting("HEADRACE_JWT_KEYS", "JWK set of Ed25519 keys with kid; the first private key signs")
    ]
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
