"""Limits that need no state outside of this process: the budgets of one connection, and whose connection it is.

What must hold over all processes is in `shared.state.limits`.
"""

import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

from functions import metrics
from shared.state.limits import Rate

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

BudgetName = Literal["pings", "signals", "ephemera", "requests"]
# Each of its own: pings and signaling go on however much somebody types.
BUDGETS: Final[dict[BudgetName, Rate]] = {
    "pings": Rate(1, 10),
    "signals": Rate(10, 100),
    "ephemera": Rate(10, 20),
    "requests": Rate(2, 10),
}

# What a provider gives one customer at least (RFC 6177): within it, addresses cost nothing.
IPV6_PREFIX: Final = 64
_MAX_HOPS: Final = 32


class Budget:
    """So many a second, with bursts: the generic cell rate algorithm, as in the scripts."""

    __slots__ = ("_clock", "_full_at", "_step", "_window")

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._step = 1 / rate.per_second
        self._window = self._step * rate.burst
        self._full_at = 0.0

    def spend(self) -> int:
        """Spend one; 0 when that was within the budget, else the ms to wait (and nothing was spent)."""
        now = self._clock()
        due = max(self._full_at, now) + self._step
        over = due - now - self._window
        # Floating point: a wait of less than a microsecond is none.
        if over > 1e-6:
            return int(over * 1000) + 1
        self._full_at = due
        return 0


class Budgets:
    """Those of one connection, by name."""

    __slots__ = ("_budgets",)

    def __init__(self) -> None:
        self._budgets = {name: Budget(rate) for name, rate in BUDGETS.items()}

    def spend(self, name: BudgetName) -> int:
        """See `Budget.spend`; what is refused is counted."""
        wait_ms = self._budgets[name].spend()
        if wait_ms:
            metrics.LIMITS_REFUSED.labels(name).inc()
        return wait_ms


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from settings.

    Raises:
        ValueError: one of them is not a network; the message names it.
    """
    return tuple(ip_network(text) for text in texts)


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> Address | None:
    """The address that a connection comes from, given its peer and its X-Forwarded-For header ('' when it has none).

    The header is believed only as far as trusted proxies wrote it: it is read from right to left, and the first hop
    that is not one of them is the client. None when the peer has no IP address (a Unix socket).
    """
    client = _parsed(peer)
    hops = forwarded.split(",")[-_MAX_HOPS:] if forwarded else []
    while client is not None and hops and _within(client, trusted):
        hop = _parsed(hops.pop())
        if hop is None:
            # A trusted proxy wrote what cannot be read: what is left of it is no better.
            break
        client = hop
    return client


def client_prefix(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """What limits of a client's address are counted by: the IPv4 address, or the /64 of the IPv6 one; '' if unknown."""
    address = client_address(peer, forwarded, trusted)
    if address is None or _within(address, trusted):
        # A proxy that says nothing of its clients stands for all of them: no limit may take it for one.
        return ""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> (128 - IPV6_PREFIX) << (128 - IPV6_PREFIX), IPV6_PREFIX)))
    return str(address)


class TrustedProxies:
    """The proxies in front of this process, by network."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def prefix(self, peer: str, forwarded: str) -> str:
        """See `client_prefix`."""
        return client_prefix(peer, forwarded, self._networks)


def _parsed(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # The zone of a link-local address is no part of it; an IPv4 address in IPv6's clothes is an IPv4 address.
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
