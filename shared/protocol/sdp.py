"""Compressed session descriptions: SPEC.md, section 6.

One byte with the version of the dictionary, then raw DEFLATE (RFC 1951) with that dictionary preset, which zlib and
fflate both speak. The dictionaries lie beside this file; once shipped, one never changes.
"""

import zlib
from pathlib import Path

from shared.protocol.errors import ErrorCode, ProtocolError
from shared.protocol.fields import MAX_SDP_CHARACTERS

VERSION = 1
DICTIONARY_PATH = Path(__file__).with_name(f"sdp_dictionary_{VERSION}.txt")

_DICTIONARY = DICTIONARY_PATH.read_bytes()
_RAW = -zlib.MAX_WBITS
_MEMORY_LEVEL = 9
# What that many characters may take in UTF-8, and one byte that tells too many: nothing is inflated beyond.
_INFLATED_BYTES = 4 * MAX_SDP_CHARACTERS + 1


def compress(text: str) -> bytes:
    """`text` as `inflate` reads it."""
    compressor = zlib.compressobj(
        zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, _RAW, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY
    )
    return bytes([VERSION]) + compressor.compress(text.encode()) + compressor.flush()


def inflate(data: bytes, *, reference: int | None = None) -> str:
    """The text of compressed SDP; `reference` is named in the error.

    Raises:
        ProtocolError: SDP_REFUSED: another version, damaged, of no or too many characters, or followed by something.
    """

    def refused(problem: str) -> ProtocolError:
        return ProtocolError(ErrorCode.SDP_REFUSED, f"compressed SDP: {problem}", reference=reference)

    if data[:1] != bytes([VERSION]):
        raise refused(f"expected version {VERSION} of the dictionary")
    inflater = zlib.decompressobj(_RAW, _DICTIONARY)
    try:
        inflated = inflater.decompress(memoryview(data)[1:], _INFLATED_BYTES)
        if not inflater.eof:
            problem = "incomplete" if len(inflated) < _INFLATED_BYTES else f"more than {MAX_SDP_CHARACTERS} characters"
            raise refused(problem)
        text = inflated.decode()
    except zlib.error:
        raise refused("not DEFLATE") from None
    except UnicodeDecodeError:
        raise refused("not UTF-8") from None
    if inflater.unused_data:
        raise refused("bytes after its end")
    if not 0 < len(text) <= MAX_SDP_CHARACTERS:
        raise refused(f"expected 1 to {MAX_SDP_CHARACTERS} characters")
    return text


def plain(sdp: str | bytes, *, reference: int | None = None) -> str:
    """The text of a message's `sdp` field, whichever way it came.

    Raises:
        ProtocolError: as `inflate` does.
    """
    return sdp if isinstance(sdp, str) else inflate(sdp, reference=reference)
