"""What a worker reads from its environment."""

import socket
from typing import Annotated, Literal

import msgspec

from sfu_fleet.ceilings import TierLimit
from shared.security.tokens import Tier
from shared.settings import EnvironmentSetting, setting
from shared.telemetry import tracing
from shared.telemetry.logs import LogFormat, LogLevel
from shared.version import VERSION

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
WILDCARDS = frozenset(_LOOPBACK)
# Close enough to tell an address from a name or a mistyped list; a candidate must not have a name.
_TIER_LIMIT = r"^(anonymous|viewer|premium)=([1-9]\d{1,4}p|[1-9]\d{4,8})$"
_IP_ADDRESS = r"^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's configuration; every field names its variable."""

    redis_url: Annotated[str, setting("REDIS_URL", "Redis that holds the fleet's registry and the room logs")]
    instance: Annotated[
        str, setting("HEADRACE_INSTANCE", "id of this worker, the start of its session ids", pattern="^[a-z0-9]{1,16}$")
    ]
    environment: EnvironmentSetting = "production"
    jwt_keys: Annotated[
        str,
        setting(
            "HEADRACE_JWT_KEYS",
            "JWK set whose keys sign control tokens; public parts do; required, or HEADRACE_JWT_KEYS_FILE or "
            "HEADRACE_JWKS_URL is",
        ),
    ] = ""
    jwt_keys_file: Annotated[
        str, setting("HEADRACE_JWT_KEYS_FILE", "file with such a set, read again when it changes, so that keys rotate")
    ] = ""
    jwks_url: Annotated[
        str,
        setting(
            "HEADRACE_JWKS_URL",
            "address of the functions' public keys, https://live.example/.well-known/jwks.json, read every 5 minutes",
            pattern="^https?://[^/]+/",
        ),
    ] = ""
    insecure_hs256: Annotated[
        bool,
        setting("HEADRACE_INSECURE_HS256", "whether HS256 keys are taken, with which whoever verifies can also sign"),
    ] = False
    zone: Annotated[
        str,
        setting("HEADRACE_ZONE", "where this process is, from the wide to the narrow, as eu-central-1/eu-central-1a"),
    ] = ""
    version: Annotated[str, setting("HEADRACE_VERSION", "version of this build, as the fleet's operators see it")] = (
        VERSION
    )
    log_format: Annotated[LogFormat, setting("HEADRACE_LOG_FORMAT", "json or console")] = "json"
    log_level: Annotated[LogLevel, setting("HEADRACE_LOG_LEVEL", "debug, info, warning or error")] = "info"
    metrics_host: Annotated[
        str, setting("HEADRACE_METRICS_HOST", "address of the metrics' port; whoever reaches it may read them")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int, setting("HEADRACE_METRICS_PORT", "port of the metrics, never a public one; 0: none", ge=0, le=65535)
    ] = 0
    otlp_url: Annotated[
        str, setting(tracing.VARIABLE, "where traces go (OTLP over HTTP), as http://127.0.0.1:4318; none: no traces")
    ] = ""
    control_host: Annotated[str, setting("HEADRACE_SFU_CONTROL_HOST", "listen address of the control API")] = (
        "127.0.0.1"
    )
    control_port: Annotated[int, setting("HEADRACE_SFU_CONTROL_PORT", "port of the control API", ge=1, le=65535)] = 7900
    control_url: Annotated[
        str, setting("HEADRACE_SFU_CONTROL_URL", "URL that functions use; default http://host:port")
    ] = ""
    media_host: Annotated[str, setting("HEADRACE_SFU_MEDIA_HOST", "address that the media socket is bound to")] = (
        "0.0.0.0"  # noqa: S104 - media comes from anywhere
    )
    media_ipv6_host: Annotated[
        str,
        setting(
            "HEADRACE_SFU_MEDIA_IPV6_HOST",
            "IPv6 address that a second socket is bound to, or none; default :: if the media host is 0.0.0.0 and there "
            "is IPv6",
        ),
    ] = ""
    media_port: Annotated[
        int, setting("HEADRACE_SFU_MEDIA_PORT", "port for UDP and TCP; 0 is any free one", ge=0, le=65535)
    ] = 0
    media_tcp: Annotated[
        bool, setting("HEADRACE_SFU_MEDIA_TCP", "whether media is also taken over TCP, for networks that block UDP")
    ] = True
    relay_address: Annotated[
        str,
        setting(
            "HEADRACE_SFU_RELAY_ADDRESS",
            "private IP address for media between workers; default the media host, else the control API's, else the "
            "default route's",
        ),
    ] = ""
    announced_addresses: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_IP_ADDRESS)], ...],
        setting(
            "HEADRACE_SFU_ANNOUNCED_ADDRESSES",
            "IP addresses put into candidates, such as the public ones of a 1:1 NAT; default the media hosts'",
        ),
    ] = ()
    capacity_pps: Annotated[
        int, setting("HEADRACE_SFU_CAPACITY_PPS", "packets per second that this worker may carry", ge=1)
    ] = 50_000
    joins_per_s: Annotated[
        int, setting("HEADRACE_SFU_JOINS_PER_S", "sessions that placement gives this worker in a second at most", ge=1)
    ] = 50
    uplink_bitrate: Annotated[
        int, setting("HEADRACE_SFU_UPLINK_BITRATE", "bit/s that publishers are told they may send", ge=100_000)
    ] = 4_000_000
    tier_limits: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_TIER_LIMIT)], ...],
        setting(
            "HEADRACE_SFU_TIER_LIMITS",
            "what viewers of a tier (anonymous, viewer, premium) get at most, by height or by bit/s, as "
            "`anonymous=480p,viewer=1500000`; a tier that is not named gets everything",
        ),
    ] = ()
    plane: Annotated[
        Literal["auto", "native", "python"],
        setting(
            "HEADRACE_SFU_PLANE",
            "what sends: native (C, on its own thread), python, or auto: native where it can be compiled. With either,"
            " AES-GCM is intel-ipsec-mb's where a C compiler finds it (x86-64, Debian's `libipsec-mb-dev`; in the image"
            " it is), and else libsrtp's; the line `srtp` of the worker's log says which",
        ),
    ] = "auto"
    feedback: Annotated[
        Literal["auto", "on", "off"],
        setting(
            "HEADRACE_SFU_FEEDBACK",
            "whether viewers are asked for transport-wide feedback, from which the worker estimates their bandwidth; "
            "auto: with the native plane, since in Python it costs as much as the media; without it viewers' own "
            "estimates (REMB) count",
        ),
    ] = "auto"
    recordings: Annotated[
        str,
        setting(
            "HEADRACE_SFU_RECORDINGS",
            "folder for recordings, made when the first one begins; workers of a host share it",
        ),
    ] = "recordings"
    upload_bitrate: Annotated[
        int,
        setting(
            "HEADRACE_SFU_UPLOAD_BITRATE",
            "bit/s of uploads on average, so that they leave the network to media; 0 is no limit",
            ge=0,
        ),
    ] = 100_000_000
    s3_bucket: Annotated[
        str,
        setting("HEADRACE_S3_BUCKET", "bucket that finished recordings are moved to; default they stay in the folder"),
    ] = ""
    s3_endpoint: Annotated[
        str,
        setting(
            "HEADRACE_S3_ENDPOINT", "URL of an S3-compatible store that is not Amazon's", pattern="^https?://[^/]+"
        ),
    ] = ""
    s3_region: Annotated[
        str, setting("HEADRACE_S3_REGION", "region of the bucket; default what the environment or profile says")
    ] = ""
    s3_prefix: Annotated[
        str, setting("HEADRACE_S3_PREFIX", "start of all keys in the bucket; the same on workers and functions")
    ] = "recordings"
    traces: Annotated[
        str,
        setting(
            "HEADRACE_SFU_TRACES",
            "folder for a file per viewer with all that layers were decided on, for `python -m sfu_fleet.replay`; none "
            "by default",
        ),
    ] = ""
    drain_deadline_s: Annotated[
        float,
        setting(
            "HEADRACE_SFU_DRAIN_DEADLINE_S",
            "seconds that a drain may take; sessions that have not gone elsewhere by then are ended",
            gt=0,
        ),
    ] = 30.0
    drain_moves_per_s: Annotated[
        float,
        setting("HEADRACE_SFU_DRAIN_MOVES_PER_S", "viewers who are told to go elsewhere in a second of a drain", gt=0),
    ] = 50.0

    def tiers(self) -> dict[Tier, TierLimit]:
        """The limits of the tiers that have any; a tier that is named for height and bit rate has both."""
        found: dict[Tier, TierLimit] = {}
        for text in self.tier_limits:
            name, _, value = text.partition("=")
            before = found.get(Tier(name), TierLimit())
            found[Tier(name)] = (
                TierLimit(int(value[:-1]), before.bitrate)
                if value.endswith("p")
                else TierLimit(before.height, int(value))
            )
        return found

    @property
    def url(self) -> str:
        """The URL under which functions reach the control API."""
        return self.control_url or f"http://{_bracketed(self.control_host)}:{self.control_port}"

    def relay(self) -> str:
        """The address on which other workers send us media, and from which we send it to them."""
        named = self.relay_address or next(
            (host for host in (self.media_host, self.control_host) if host not in WILDCARDS), ""
        )
        return named or _own_address(self.media_host) or _LOOPBACK[self.media_host]

    def announced(self) -> tuple[str, ...]:
        """The addresses for host candidates."""
        if self.announced_addresses:
            return self.announced_addresses
        hosts = [host for host in (self.media_host, self.second_host()) if host]
        found = [_own_address(host) if host in WILDCARDS else host for host in hosts]
        # A machine without a route of one family is reached over the other.
        return tuple(address for address in found if address) or (_LOOPBACK[self.media_host],)

    def private_media(self, port: int) -> str:
        """The address and port under which other workers reach the media socket, which listens on `port`."""
        hosts = (self.media_host, self.control_host, self.announced()[0])
        return f"{_bracketed(next(host for host in hosts if host not in WILDCARDS))}:{port}"

    def second_host(self) -> str:
        """The IPv6 address of the second socket; empty when there is none."""
        if self.media_ipv6_host:
            return "" if self.media_ipv6_host == "none" else self.media_ipv6_host
        return "::" if self.media_host == "0.0.0.0" and _has_ipv6() else ""  # noqa: S104 - recognised, not bound


def _own_address(wildcard: str) -> str:
    """The address of the default route, which a datagram socket tells without sending anything; empty without one."""
    family, probe = (socket.AF_INET6, "2001:db8::1") if wildcard == "::" else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((probe, 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def _has_ipv6() -> bool:
    """Whether the kernel has IPv6 switched on: it may know the family and still have no address of it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
