"""Packets that Chromium did not send when `capture.py` listened, written by us from their specifications.

Run with `python -m tests.sfu_fleet.packets.written`. They are put together here byte by byte and not with the worker's
own packers, so that a mistake there does not make its own proof.
"""

import struct
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
SENDER: Final = 0x11223344
MEDIA: Final = 0x55667788
# 17 bits of mantissa and an exponent of 4: 1,000,000 bit/s (draft-alvestrand-rmcat-remb-03, section 2.2).
_REMB_RATE: Final = 4 << 18 | 62_500

PACKETS: Final = {
    # RFC 4585, section 6.3.1.
    "rtcp-pli": struct.pack("!BBHII", 0x81, 206, 2, SENDER, MEDIA),
    # RFC 5104, section 4.3.1.1: the media is named in the entry, whose command is number 7.
    "rtcp-fir": struct.pack("!BBHIIIBxH", 0x84, 206, 4, SENDER, 0, MEDIA, 7, 0),
    "rtcp-remb": struct.pack("!BBHII4sII", 0x8F, 206, 5, SENDER, 0, b"REMB", 1 << 24 | _REMB_RATE, MEDIA),
    # RFC 3550, section 6.6, with a reason of four letters.
    "rtcp-bye": struct.pack("!BBHIB4s3x", 0x81, 203, 3, SENDER, 4, b"left"),
    # RFC 3550, section 6.7: ours to skip.
    "rtcp-application": struct.pack("!BBHI4sI", 0x80, 204, 3, SENDER, b"test", 0),
    # RFC 3611: an extended report with a receiver reference time, to be skipped.
    "rtcp-extended-report": struct.pack("!BBHIBBHQ", 0x80, 207, 4, SENDER, 4, 0, 2, 0),
    # RFC 3550, section 5.1: one contributing source and three bytes of padding.
    "rtp-padded": struct.pack("!BBHIII", 0xB1, 111, 9, 960, SENDER, MEDIA)
    + b"\xbe\xde\x00\x01\x10\x30\x00\x00sound\x00\x00\x03",
    # RFC 8285, section 4.3: header extensions with lengths of a byte each.
    "rtp-two-byte-extensions": struct.pack("!BBHII", 0x90, 111, 10, 1920, SENDER)
    + b"\x10\x00\x00\x02\x01\x01\x30\x00\x05\x02\x00\x09sound",
    # RFC 8489, section 5: a success of somebody else's; an indication; both to be dropped.
    "stun-binding-indication": struct.pack("!HHI12s", 0x0011, 0, 0x2112A442, b"transaction!"),
    "stun-binding-error": struct.pack("!HHI12s", 0x0111, 20, 0x2112A442, b"transaction!")
    + struct.pack("!HHHBB13s3x", 0x0009, 17, 0, 4, 87, b"Role Conflict"),
}


def main() -> int:
    """Write the files."""
    for name, data in PACKETS.items():
        (FOLDER / f"written-{name}.bin").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
