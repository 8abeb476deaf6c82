"""Our host candidates as lines of SDP (RFC 8839, section 5.1, and RFC 6544, section 4.5)."""

from collections.abc import Sequence

# RFC 8445, section 5.1.2.1: type preference 126 for host candidates. TCP comes after every UDP one (RFC 6544, 4.2).
_UDP_PREFERENCE, _TCP_PREFERENCE = 126, 90
# RFC 6544, section 4.2: the direction preference of passive host candidates, in the upper bits.
_PASSIVE = 4 << 13


def candidate_lines(udp: Sequence[tuple[str, int]], tcp: Sequence[tuple[str, int]] = ()) -> list[str]:
    """The attribute lines of all candidates, (address, port), and of their end.

    UDP first, and in the given order: some encoders take the first one that they understand.
    """
    lines = [
        f"a=candidate:{index} 1 udp {_priority(_UDP_PREFERENCE, 65535 - index)} {host} {port} typ host"
        for index, (host, port) in enumerate(udp, 1)
    ]
    lines += [
        f"a=candidate:{index} 1 tcp {_priority(_TCP_PREFERENCE, _PASSIVE + 8191 - index)} {host} {port} typ host"
        " tcptype passive"
        for index, (host, port) in enumerate(tcp, len(udp) + 1)
    ]
    return [*lines, "a=end-of-candidates"]


def _priority(preference: int, local: int) -> int:
    """Of component 1."""
    return preference << 24 | local << 8 | 255
