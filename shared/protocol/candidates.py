"""ICE candidates as browsers write them (RFC 8839, section 5.1) and as our frames carry them: SPEC.md, section 7.

Packed, in network byte order: head, component and TCP type, media line, priority, port, address, related address and
port, foundation, user name fragment. What a peer does not need (generation, network id and cost) is dropped.
"""

import ipaddress
import re
import struct
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from shared.protocol.errors import ErrorCode, ProtocolError

TRANSPORTS: Final = ("udp", "tcp")
TYPES: Final = ("host", "srflx", "prflx", "relay")
# RFC 6544, section 4.5; none with UDP.
TCP_TYPES: Final = ("", "active", "passive", "so")

_IPV4, _IPV6, _MDNS, _NAME = range(4)
_FIXED = struct.Struct(">BBBIH")
_PORT = struct.Struct(">H")
_ICE_CHARS = "[A-Za-z0-9+/]"
_FOUNDATION = re.compile(_ICE_CHARS + "{1,32}")
_UFRAG = re.compile(_ICE_CHARS + "{4,255}")
_MDNS_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local")
_HOST_NAME = re.compile("[A-Za-z0-9_.-]{1,255}")
# The last label of a host name is no number: what ends in one is an IPv4 address or a mistake.
_ENDS_IN_NUMBER = re.compile(r"(^|\.)[0-9]+\.?$")
_NUMBER = re.compile("[0-9]{1,10}")
_MAX_ATTRIBUTE_CHARACTERS = 2048


class IceCandidate(msgspec.Struct, frozen=True):
    """One candidate. `line` is the index of its media section (`sdpMLineIndex`)."""

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    type: str
    related_address: str | None = None
    related_port: int | None = None
    tcp_type: str = ""
    ufrag: str = ""
    line: int = 0


def parse(attribute: str, *, line: int = 0) -> IceCandidate:
    """The candidate of a candidate-attribute, such as `RTCIceCandidate.candidate`.

    Our own extension `mline`, which the JSON twin uses, goes before `line`.

    Raises:
        ProtocolError: MALFORMED: not of the RFC's grammar, or not to be packed.
    """
    if len(attribute) > _MAX_ATTRIBUTE_CHARACTERS:
        raise _malformed("too long")
    words = attribute.removeprefix("a=").split(" ")
    if not words[0].startswith("candidate:") or len(words) < 8 or len(words) % 2 or words[6] != "typ":
        raise _malformed("not a candidate-attribute")
    extensions = dict(zip(words[8::2], words[9::2], strict=True))
    related = extensions.get("raddr")
    candidate = IceCandidate(
        foundation=words[0].removeprefix("candidate:"),
        component=_number(words[1]),
        transport=words[2].lower(),
        priority=_number(words[3]),
        address=_canonical(words[4]),
        port=_number(words[5]),
        type=words[7],
        related_address=None if related is None else _canonical(related),
        related_port=None if related is None else _number(extensions.get("rport", "")),
        tcp_type=extensions.get("tcptype", ""),
        ufrag=extensions.get("ufrag", ""),
        line=_number(extensions["mline"]) if "mline" in extensions else line,
    )
    _check(candidate)
    return candidate


def attribute(candidate: IceCandidate, *, with_line: bool = False) -> str:
    """The candidate-attribute; `with_line` adds our extension `mline` where it is not zero."""
    words = [
        f"candidate:{candidate.foundation}",
        str(candidate.component),
        candidate.transport,
        str(candidate.priority),
        candidate.address,
        str(candidate.port),
        f"typ {candidate.type}",
    ]
    if candidate.related_address is not None:
        words.append(f"raddr {candidate.related_address} rport {candidate.related_port}")
    if candidate.tcp_type:
        words.append(f"tcptype {candidate.tcp_type}")
    if candidate.ufrag:
        words.append(f"ufrag {candidate.ufrag}")
    if with_line and candidate.line:
        words.append(f"mline {candidate.line}")
    return " ".join(words)


def pack(candidate: IceCandidate) -> bytes:
    """The candidate as a frame carries it.

    Raises:
        ProtocolError: MALFORMED: a field has no place there.
    """
    _check(candidate)
    kind, address = _address_bytes(candidate.address)
    head = TRANSPORTS.index(candidate.transport) << 5 | TYPES.index(candidate.type) << 3 | kind << 1
    related = b""
    if candidate.related_address is not None and candidate.related_port is not None:
        head |= 1
        related_kind, related_address = _address_bytes(candidate.related_address)
        related = bytes([related_kind]) + related_address + _PORT.pack(candidate.related_port)
    return b"".join(
        (
            _FIXED.pack(
                head,
                candidate.component << 4 | TCP_TYPES.index(candidate.tcp_type),
                candidate.line,
                candidate.priority,
                candidate.port,
            ),
            address,
            related,
            _counted(candidate.foundation),
            _counted(candidate.ufrag),
        )
    )


def unpack(data: bytes) -> IceCandidate:
    """The candidate that a frame carries.

    Raises:
        ProtocolError: MALFORMED: not what `pack` gives.
    """
    reader = _Reader(data)
    head, component, line, priority, port = _FIXED.unpack(reader.take(_FIXED.size))
    if head >> 6:
        raise _malformed("of a later version")
    if component & 15 >= len(TCP_TYPES):
        raise _malformed("TCP type out of range")
    address = reader.address(head >> 1 & 3)
    related_address: str | None = None
    related_port: int | None = None
    if head & 1:
        related_address = reader.address(reader.take(1)[0])
        (related_port,) = _PORT.unpack(reader.take(_PORT.size))
    candidate = IceCandidate(
        foundation=reader.counted(),
        component=component >> 4,
        transport=TRANSPORTS[head >> 5 & 1],
        priority=priority,
        address=address,
        port=port,
        type=TYPES[head >> 3 & 3],
        related_address=related_address,
        related_port=related_port,
        tcp_type=TCP_TYPES[component & 15],
        ufrag=reader.counted(),
        line=line,
    )
    reader.finish()
    _check(candidate)
    return candidate


class _Reader:
    """Takes a packed candidate apart; every shortage is MALFORMED."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        part = self._data[self._position : self._position + count]
        if len(part) < count:
            raise _malformed("incomplete")
        self._position += count
        return part

    def counted(self) -> str:
        """The next characters, behind their number."""
        # What is not ASCII becomes a character that no check allows.
        return self.take(self.take(1)[0]).decode("ascii", "replace")

    def address(self, kind: int) -> str:
        """The next address."""
        if kind == _IPV4:
            return str(ipaddress.IPv4Address(self.take(4)))
        if kind == _IPV6:
            return _ipv6_text(self.take(16))
        if kind == _MDNS:
            return f"{uuid.UUID(bytes=self.take(16))}.local"
        if kind != _NAME:
            raise _malformed("address of no known kind")
        name = self.counted()
        if _kind(name) != _NAME:
            raise _malformed("not a host name")
        return name

    def finish(self) -> None:
        """Nothing may follow."""
        if self._position < len(self._data):
            raise _malformed("bytes after its end")


def _check(candidate: IceCandidate) -> None:
    """Require what both forms can hold. The addresses have been read already, and are good."""
    if not _FOUNDATION.fullmatch(candidate.foundation):
        raise _malformed("foundation")
    if candidate.ufrag and not _UFRAG.fullmatch(candidate.ufrag):
        raise _malformed("ufrag")
    _in_range(candidate.component, 1, 15, "component")
    _in_range(candidate.priority, 0, 2**32 - 1, "priority")
    _in_range(candidate.port, 0, 65_535, "port")
    _in_range(candidate.related_port or 0, 0, 65_535, "related port")
    _in_range(candidate.line, 0, 255, "media line")
    _one_of(candidate.transport, TRANSPORTS, "transport")
    _one_of(candidate.type, TYPES, "type")
    _one_of(candidate.tcp_type, TCP_TYPES, "TCP type")
    if bool(candidate.tcp_type) != (candidate.transport == "tcp"):
        raise _malformed("TCP has a TCP type, and UDP none")


def _in_range(value: int, least: int, most: int, name: str) -> None:
    if not least <= value <= most:
        raise _malformed(f"{name} out of range")


def _one_of(value: str, allowed: Sequence[str], name: str) -> None:
    if value not in allowed:
        raise _malformed(f"{name} unknown")


def _kind(address: str) -> int | None:
    if _MDNS_NAME.fullmatch(address):
        return _MDNS
    # No zone: it means nothing to the other side.
    if "%" in address:
        return None
    try:
        return _IPV4 if isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address) else _IPV6
    except ValueError:
        is_name = _HOST_NAME.fullmatch(address) and not _ENDS_IN_NUMBER.search(address)
        return _NAME if is_name else None


def _canonical(address: str) -> str:
    kind = _kind(address)
    if kind is None:
        raise _malformed("not an address")
    return _ipv6_text(ipaddress.IPv6Address(address).packed) if kind == _IPV6 else address


def _address_bytes(address: str) -> tuple[int, bytes]:
    match _kind(address):
        case 0:
            return _IPV4, ipaddress.IPv4Address(address).packed
        case 1:
            return _IPV6, ipaddress.IPv6Address(address).packed
        case 2:
            return _MDNS, uuid.UUID(address.removesuffix(".local")).bytes
        case 3:
            return _NAME, _counted(address)
        case _:
            raise _malformed("not an address")


def _ipv6_text(packed: bytes) -> str:
    """RFC 5952, but without its dotted form, which Python writes in some versions and not in others."""
    groups = [f"{group:x}" for (group,) in struct.iter_unpack(">H", packed)]
    # The first of the longest runs of two zeros or more.
    run = max(re.finditer(r"(?:\b0(?::|$)){2,}", ":".join(groups)), key=lambda match: len(match[0]), default=None)
    if run is None:
        return ":".join(groups)
    whole = ":".join(groups)
    return f"{whole[: run.start()].rstrip(':')}::{whole[run.end() :]}"


def _counted(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("ascii")


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _malformed("a number is missing")
    return int(text)


def _malformed(problem: str) -> ProtocolError:
    return ProtocolError(ErrorCode.MALFORMED, f"ICE candidate: {problem}")
