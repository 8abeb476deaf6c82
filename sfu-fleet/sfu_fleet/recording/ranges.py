"""Which bytes a Range header asks for (RFC 9110, section 14.1.2)."""

import re

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class UnsatisfiableRangeError(ValueError):
    """Nothing of the range is in the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Where to begin and how many; None for the whole file.

    A header that is malformed, or that asks for several parts, may be ignored, and is.

    Raises:
        UnsatisfiableRangeError: the range begins behind the end.
    """
    match = _ONE.fullmatch((header or "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first >= size or last < first:
        raise UnsatisfiableRangeError(f"the file has {size} bytes")
    return first, last - first + 1
