"""What a worker reads from its environment."""

import socket
from typing import Annotated, Literal

import msgspec

from shared.settings import setting
from shared.telemetry.logs import LogFormat, LogLevel

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's configuration; every field names its variable."""

    redis_url: Annotated[str, setting("REDIS_URL", "Redis that holds the fleet's registry and the room logs")]
    jwt_keys: Annotated[str, setting("HEADRACE_JWT_KEYS", "JWK set whose keys sign control tokens; public parts do")]
    instance: Annotated[
        str, setting("HEADRACE_INSTANCE", "id of this worker, the start of its session ids", pattern="^[a-z0-9]{1,16}$")
    ]
    log_format: Annotated[LogFormat, setting("HEADRACE_LOG_FORMAT", "json or console")] = "json"
    log_level: Annotated[LogLevel, setting("HEADRACE_LOG_LEVEL", "debug, info, warning or error")] = "info"
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
    media_port: Annotated[int, setting("HEADRACE_SFU_MEDIA_PORT", "UDP port; 0 is any free one", ge=0, le=65535)] = 0
    announced_addresses: Annotated[
        tuple[str, ...],
        setting("HEADRACE_SFU_ANNOUNCED_ADDRESSES", "IP addresses put into candidates; default the media host's"),
    ] = ()
    capacity_pps: Annotated[
        int, setting("HEADRACE_SFU_CAPACITY_PPS", "packets per second that this worker may carry", ge=1)
    ] = 50_000
    uplink_bitrate: Annotated[
        int, setting("HEADRACE_SFU_UPLINK_BITRATE", "bit/s that publishers are told they may send", ge=100_000)
    ] = 4_000_000
    plane: Annotated[
        Literal["auto", "native", "python"],
        setting(
            "HEADRACE_SFU_PLANE",
            "what encrypts and sends: native (C, on its own thread), python, or auto: native where it can be compiled",
        ),
    ] = "auto"
    recordings: Annotated[
        str, setting("HEADRACE_SFU_RECORDINGS", "folder for recordings, made when the first one begins")
    ] = "recordings"
    drain_deadline_s: Annotated[
        float, setting("HEADRACE_SFU_DRAIN_DEADLINE_S", "seconds that a drain may take", gt=0)
    ] = 5.0

    @property
    def url(self) -> str:
        """The URL under which functions reach the control API."""
        return self.control_url or f"http://{_bracketed(self.control_host)}:{self.control_port}"

    def announced(self) -> tuple[str, ...]:
        """The addresses for host candidates."""
        if self.announced_addresses:
            return self.announced_addresses
        if self.media_host not in WILDCARDS:
            return (self.media_host,)
        return _own_addresses(socket.AF_INET6 if self.media_host == "::" else socket.AF_INET)


def _own_addresses(family: socket.AddressFamily) -> tuple[str, ...]:
    """The address of the default route, which a datagram socket tells without sending anything; else loopback."""
    probe, loopback = ("2001:db8::1", "::1") if family == socket.AF_INET6 else ("192.0.2.1", "127.0.0.1")
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((probe, 9))
        except OSError:
            return (loopback,)
        return (str(sock.getsockname()[0]),)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
