"""Where servers of tests listen, and whom their clients pretend to be."""

from urllib.parse import urlsplit


def port_of(url: str) -> int:
    """The port in a URL that has one."""
    port = urlsplit(url).port
    assert port is not None, url
    return port


def somebody(number: int) -> str:
    """An IPv4 address for one of many, as seen behind a load balancer: 198.18.0.0/15 is set aside for benchmarks.

    RFC 2544, section C.2.2. They repeat after 131,072.
    """
    return f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"
