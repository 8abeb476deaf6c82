"""UDP addresses as Python's sockets give them, and as the kernel does."""

import ipaddress
import socket
import struct
from typing import Final

from sfu_fleet.ice_tcp import StreamAddress

# sockaddr_storage (RFC 3493, section 3.10).
SIZE: Final = 128
_IPV4: Final = struct.Struct("!H4s")
_IPV6: Final = struct.Struct("!HI16s")

UdpAddress = tuple[str, int] | tuple[str, int, int, int]


def sockaddr(address: UdpAddress | StreamAddress) -> bytes:
    """A UDP address as the kernel takes it (ip(7), ipv6(7))."""
    if len(address) == 4:
        host, port, flow, scope = address
        packed = ipaddress.IPv6Address(str(host).partition("%")[0]).packed
        return struct.pack("=H", socket.AF_INET6) + _IPV6.pack(port, flow, packed) + struct.pack("=I", scope)
    host, port = str(address[0]), int(address[1])
    return struct.pack("=H", socket.AF_INET) + _IPV4.pack(port, ipaddress.IPv4Address(host).packed) + bytes(8)


def address_of(storage: bytes | memoryview) -> UdpAddress | None:
    """The address in a sockaddr; None when it is of another family."""
    (family,) = struct.unpack_from("=H", storage)
    if family == socket.AF_INET:
        port, packed = _IPV4.unpack_from(storage, 2)
        return socket.inet_ntop(socket.AF_INET, packed), port
    if family == socket.AF_INET6:
        port, flow, packed = _IPV6.unpack_from(storage, 2)
        (scope,) = struct.unpack_from("=I", storage, 24)
        return socket.inet_ntop(socket.AF_INET6, packed), port, flow, scope
    return None
