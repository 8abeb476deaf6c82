"""STUN and TURN servers that clients are told of, with short-lived TURN credentials.

The credentials are those of the TURN REST API draft (draft-uberti-behave-turn-rest-00), which coturn checks by itself
with `use-auth-secret`: no user data base, and nothing to revoke.
"""

import base64
import hashlib
import hmac
import time

import msgspec

from functions.settings import Settings
from shared.settings import SettingsError

_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """In the form of the browsers' RTCIceServer; the credentials are of TURN servers alone."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


def check(settings: Settings) -> None:
    """Refuse settings that no client could use.

    Raises:
        SettingsError: a URL is none, or TURN has no secret.
    """
    for url in settings.ice_servers:
        if not url.startswith(_SCHEMES) or not url.partition(":")[2] or not url.isascii() or set(url) & set('<>" '):
            raise SettingsError("HEADRACE_ICE_SERVERS", f"{url!r} is not of the form stun:host or turn:host:port")
        if url.startswith("turn") and not settings.turn_secret:
            raise SettingsError("HEADRACE_TURN_SECRET", "is required with a turn: or turns: URL")


def for_person(settings: Settings, participant: str, *, now: float | None = None) -> tuple[IceServer, ...]:
    """What one client is told; `now` is seconds since 1970."""
    stun = tuple(url for url in settings.ice_servers if url.startswith("stun"))
    turn = tuple(url for url in settings.ice_servers if url.startswith("turn"))
    found = [IceServer(stun)] if stun else []
    if turn:
        expiry = int(time.time() if now is None else now) + settings.turn_lifetime_s
        username = f"{expiry}:{participant}"
        # SHA-1 is what coturn's use-auth-secret computes; as a message authentication code it is sound.
        digest = hmac.new(settings.turn_secret.encode(), username.encode(), hashlib.sha1).digest()
        found.append(IceServer(turn, username, base64.b64encode(digest).decode()))
    return tuple(found)


def links(servers: tuple[IceServer, ...]) -> list[str]:
    """Values of `Link` headers (RFC 9725, section 4.6), one for each URL."""
    found = []
    for server in servers:
        secret = (
            f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
            if server.username
            else ""
        )
        found += [f'<{url}>; rel="ice-server"{secret}' for url in server.urls]
    return found
