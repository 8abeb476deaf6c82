"""Answers to connectivity checks (RFC 8489, RFC 8445, section 7.3): every viewer asks every few seconds.

Signature and checksum are aioice's. Its messages say the same, byte for byte, by way of `ipaddress` and of each
attribute three times: 50 µs in place of 9, which with a thousand viewers is a few hundredths of a core.
"""

import socket
import struct
from typing import Final

from aioice import stun

_TYPE: Final = stun.Method.BINDING | stun.Class.RESPONSE
_HEADER: Final = struct.Struct("!HHI12s")
# An attribute's type and length; of an address nothing, the family, and the port follow.
_ADDRESS: Final = struct.Struct("!HHBBH")
_XOR_MAPPED_ADDRESS: Final = 0x0020
_MESSAGE_INTEGRITY: Final = b"\x00\x08\x00\x14"
_FINGERPRINT: Final = struct.Struct("!HHI")
_FINGERPRINT_TYPE: Final = 0x8028


def success(transaction: bytes, host: str, port: int, key: bytes) -> bytes:
    """That a check has come from this address (XOR-MAPPED-ADDRESS), with MESSAGE-INTEGRITY and FINGERPRINT.

    `transaction` are the 12 bytes of the request's id, `key` is our password.
    """
    if ":" in host:
        packed, family = socket.inet_pton(socket.AF_INET6, host.partition("%")[0]), stun.IPV6_PROTOCOL
    else:
        packed, family = socket.inet_aton(host), stun.IPV4_PROTOCOL
    size = len(packed)
    # RFC 8489, section 14.2: the port with half of the cookie, the address with the cookie and the transaction's id.
    mask = int.from_bytes((stun.COOKIE.to_bytes(4, "big") + transaction)[:size], "big")
    masked = (int.from_bytes(packed, "big") ^ mask).to_bytes(size, "big")
    # Whoever signs it writes its length.
    message = _HEADER.pack(_TYPE, 0, stun.COOKIE, transaction)
    message += _ADDRESS.pack(_XOR_MAPPED_ADDRESS, 4 + size, 0, family, port ^ stun.COOKIE >> 16) + masked
    message += _MESSAGE_INTEGRITY + stun.message_integrity(message, key)
    message += _FINGERPRINT.pack(_FINGERPRINT_TYPE, 4, stun.message_fingerprint(message))
    return stun.set_body_length(message, len(message) - stun.HEADER_LENGTH)
