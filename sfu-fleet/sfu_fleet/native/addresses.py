"""Addresses of peers as the kernel takes them."""

import ipaddress
import socket
import struct

from sfu_fleet.ice import Address


def sockaddr(remote: Address) -> bytes:
    """A UDP address as the kernel takes it (ip(7), ipv6(7))."""
    if len(remote) == 4:
        host, port, flow, scope = remote
        packed = ipaddress.IPv6Address(str(host).partition("%")[0]).packed
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, flow) + packed + struct.pack("=I", scope)
    host, port = str(remote[0]), int(remote[1])
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + ipaddress.IPv4Address(host).packed + bytes(8)
