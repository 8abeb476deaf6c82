"""Where webhooks may go: to public addresses, and to the very address that was looked at.

A URL of a stranger is a way into our network: it can name an address of ours, or a host whose name stands for a public
address when it is checked and for one of ours when it is connected to (DNS rebinding). So the name is resolved once,
every address is looked at, and one of exactly these is connected to; TLS still checks the certificate of the name.
Redirects are not followed.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpcore

Address: TypeAlias = IPv4Address | IPv6Address

MAX_URL_CHARACTERS = 2000
# An IPv4 address in IPv6's clothes goes where a gateway of this network takes it: NAT64 (RFC 6052, RFC 8215), 6to4,
# Teredo.
_TUNNELS = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
_LOWEST_PORT = 1024


class Forbidden(Exception):  # noqa: N818 - the state, as the field calls it
    """A webhook may not go there; the message says why, and is for its owner to read."""


def check_url(url: str, *, insecure: bool) -> None:
    """Refuse a URL that no webhook may have, as far as that can be seen without asking for its addresses.

    Raises:
        Forbidden: the message says what was expected.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("it is not a URL") from None
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}'):
        raise Forbidden("it has characters that a URL has not, or too many")
    if parts.scheme != "https" and not (insecure and parts.scheme == "http"):
        raise Forbidden("it must begin with https://")
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        raise Forbidden("it must have a host, and neither a user nor a fragment")
    if port is not None and port != 443 and port < _LOWEST_PORT and not insecure:
        raise Forbidden(f"its port must be 443, or {_LOWEST_PORT} or more")
    try:
        literal = ip_address(parts.hostname)
    except ValueError:
        return
    if not (insecure or is_public(literal)):
        raise Forbidden("its address is not a public one")


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet, and not one behind which another could hide."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.scope_id is not None or any(address in tunnel for tunnel in _TUNNELS):
            return False
    return address.is_global and not address.is_multicast


class Guard(httpcore.AsyncNetworkBackend):
    """Connects for an HTTP client, to public addresses alone."""

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, look, and connect to what was looked at.

        Raises:
            Forbidden: one of the addresses is not a public one.
            httpcore.ConnectError: the name is not known, or nobody answers.
        """
        addresses = await self._resolved(host, port)
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses[:4]:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never.

        Raises:
            Forbidden: always.
        """
        raise Forbidden(f"no sockets of this machine: {bool(path or timeout or socket_options)}")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _resolved(self, host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name cannot be resolved: {type(error).__name__}") from None
        addresses = [ip_address(sockaddr[0]) for *_, sockaddr in found]
        if not self._insecure and not all(map(is_public, addresses)):
            raise Forbidden("its address is not a public one")
        return list(dict.fromkeys(addresses))
