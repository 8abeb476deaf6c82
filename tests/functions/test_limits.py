"""Properties of what one process limits by itself."""

import ipaddress
import math

from hypothesis import given
from hypothesis import strategies as st

from functions.signaling.limits import Budget, client_address, client_prefix, parse_networks
from shared.state.limits import Rate

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])

rates = st.builds(Rate, st.floats(0.1, 1000), st.integers(1, 100))
pauses = st.lists(st.floats(0, 5), max_size=200)
IPV4, IPV6 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address), st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
clients = st.one_of(
    IPV4.filter(lambda ip: ip not in ipaddress.ip_network("10.0.0.0/8")),
    IPV6.filter(lambda ip: ip not in ipaddress.ip_network("2001:db8:ffff::/48") and ip.ipv4_mapped is None),
)
proxies = st.integers(0, 2**24 - 1).map(lambda n: ipaddress.IPv4Address(0x0A000000 + n))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(rates, pauses)
def test_no_window_holds_more_than_the_burst_and_what_time_brings(rate: Rate, pauses: list[float]) -> None:
    clock = Clock()
    budget = Budget(rate, clock)
    spent = []
    for pause in pauses:
        clock.now += pause
        if budget.spend() == 0:
            spent.append(clock.now)
    for first, start in enumerate(spent):
        for last in range(first, len(spent)):
            assert last - first + 1 <= rate.burst + (spent[last] - start) * rate.per_second + 1e-3


@given(rates, pauses)
def test_whoever_waits_as_told_may_go_on_and_was_not_told_too_much(rate: Rate, pauses: list[float]) -> None:
    clock = Clock()
    budget = Budget(rate, clock)
    for pause in [*pauses, *[0.0] * (rate.burst + 1)]:
        clock.now += pause
        wait = budget.spend()
        assert wait <= math.ceil(1000 / rate.per_second) + 1
        if wait:
            clock.now += wait / 1000
            assert budget.spend() == 0


@given(rates)
def test_a_budget_that_was_left_alone_gives_its_whole_burst(rate: Rate) -> None:
    clock = Clock()
    budget = Budget(rate, clock)
    for _ in range(2):
        assert [budget.spend() for _ in range(rate.burst)] == [0] * rate.burst
        assert budget.spend() > 0
        clock.now += rate.burst / rate.per_second + 0.001


@given(clients, st.lists(clients, max_size=5), st.lists(proxies, max_size=3), proxies)
def test_what_a_client_forges_left_of_the_proxies_own_entry_changes_nothing(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    forged: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
    hops: list[ipaddress.IPv4Address],
    peer: ipaddress.IPv4Address,
) -> None:
    header = ", ".join(map(str, [*forged, client, *hops]))
    assert client_address(str(peer), header, PROXIES) == client


@given(clients, st.lists(clients, max_size=5))
def test_a_peer_that_is_no_trusted_proxy_is_the_client_whatever_it_says(
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address,
    forged: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    assert client_address(str(peer), ", ".join(map(str, forged)), PROXIES) == peer


@given(st.text(max_size=100), st.text(max_size=200))
def test_nonsense_is_never_an_error(peer: str, header: str) -> None:
    client_prefix(peer, header, PROXIES)
    client_prefix("10.0.0.1", header, PROXIES)


@given(IPV6.filter(lambda ip: ip.ipv4_mapped is None), st.integers(0, 2**64 - 1))
def test_all_addresses_of_one_ipv6_customer_count_as_one(address: ipaddress.IPv6Address, host: int) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    assert client_prefix(str(address), "", ()) == client_prefix(str(neighbour), "", ())


def test_addresses_are_read_as_proxies_write_them() -> None:
    assert client_prefix("10.0.0.1", "192.0.2.7:4711", PROXIES) == "192.0.2.7"
    assert client_prefix("10.0.0.1", "[2001:db8::7]:443", PROXIES) == "2001:db8::/64"
    assert client_prefix("::ffff:192.0.2.7", "", ()) == "192.0.2.7"
    assert client_prefix("::ffff:10.0.0.1", "192.0.2.7", PROXIES) == "192.0.2.7"
    assert client_prefix("fe80::1%eth0", "", ()) == "fe80::/64"
    # A proxy that does not say whom it speaks for stands for many.
    assert not client_prefix("10.0.0.1", "192.0.2.7, unknown", PROXIES)
    assert not client_prefix("10.0.0.1", "", PROXIES)
    assert not client_prefix("/run/socket", "192.0.2.7", PROXIES)
