"""Answers to connectivity checks (RFC 8489, RFC 8445, section 7.3): every viewer asks every few seconds.

aioice's messages say the same, byte for byte, by way of `ipaddress` and of each attribute three times: 50 µs in place
of 9, which with a thousand viewers is a few hundredths of a core.
"""

import hmac
import socket
import struct
from binascii import crc32
from typing import Final

_COOKIE: Final = 0x2112A442
_SUCCESS: Final = 0x0101
_INTEGRITY_SIZE: Final = 24
_FINGERPRINT_SIZE: Final = 8
_FINGERPRINT_XOR: Final = 0x5354554E
_HEADER: Final = struct.Struct("!HHI12s")
# An attribute's type and length; of an address nothing, the family, and the port follow.
_ADDRESS: Final = struct.Struct("!HHBBH")
_XOR_MAPPED_ADDRESS, _IPV4, _IPV6 = 0x0020, 1, 2
_MESSAGE_INTEGRITY: Final = b"\x00\x08\x00\x14"
_FINGERPRINT: Final = struct.Struct("!HHI")
_FINGERPRINT_TYPE: Final = 0x8028


def success(transaction: bytes, host: str, port: int, key: bytes) -> bytes:
    """That a check has come from this address (XOR-MAPPED-ADDRESS), with MESSAGE-INTEGRITY and FINGERPRINT.

    `transaction` are the 12 bytes of the request's id, `key` is our password.
    """
    if ":" in host:
        packed, family = socket.inet_pton(socket.AF_INET6, host.partition("%")[0]), _IPV6
    else:
        packed, family = socket.inet_aton(host), _IPV4
    size = len(packed)
    # RFC 8489, section 14.2: the port with half of the cookie, the address with the cookie and the transaction's id.
    mask = int.from_bytes((_COOKIE.to_bytes(4, "big") + transaction)[:size], "big")
    masked = (int.from_bytes(packed, "big") ^ mask).to_bytes(size, "big")
    attribute = _ADDRESS.pack(_XOR_MAPPED_ADDRESS, 4 + size, 0, family, port ^ _COOKIE >> 16) + masked
    # The length of what is signed includes the signature, and that of what the checksum is of includes the checksum.
    length = len(attribute) + _INTEGRITY_SIZE
    signed = _HEADER.pack(_SUCCESS, length, _COOKIE, transaction) + attribute
    signature = _MESSAGE_INTEGRITY + hmac.digest(key, signed, "sha1")
    length += _FINGERPRINT_SIZE
    body = _HEADER.pack(_SUCCESS, length, _COOKIE, transaction) + attribute + signature
    return body + _FINGERPRINT.pack(_FINGERPRINT_TYPE, 4, crc32(body) ^ _FINGERPRINT_XOR)
