"""Finishes a file whose worker ended first: cuts off what is incomplete, and writes the index and the duration."""

import struct
from typing import BinaryIO

import msgspec

from sfu_fleet.recording.matroska import (
    CLUSTER,
    INFO,
    SEGMENT,
    TRACKS,
    Ending,
    write_ending,
)

_TRACK_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _TIMESTAMP, _SIMPLE_BLOCK = 0xAE, 0xD7, 0x83, 0xE7, 0xA3
_VIDEO = 1
# What can be in front of an element: an id of four bytes and a size of eight.
_MAX_HEADER = 12
# A cluster is a second long: more than that is no file of ours.
_MAX_CLUSTER = 256 * 1024 * 1024


class _Element(msgspec.Struct, frozen=True):
    identifier: int
    start: int
    content: int
    end: int | None


def mend(file: BinaryIO) -> Ending:
    """Finish the file; what was written at its end. One that is finished already is written the same again.

    Raises:
        ValueError: there is nothing in it that could be played, or it is not one of ours.
    """
    ending = _scan(file)
    file.truncate(ending.size)
    write_ending(file, ending)
    return ending


def _scan(file: BinaryIO) -> Ending:
    size = file.seek(0, 2)
    head = _element(file, 0, size)
    segment = _element(file, head.end, size) if head is not None and head.end is not None else None
    if segment is None or segment.identifier != SEGMENT:
        raise ValueError("the file has no header")
    places: dict[int, _Element] = {}
    cues: list[tuple[int, int]] = []
    cue_track, duration_ms, position = 1, 0, segment.content
    while (found := _element(file, position, size)) is not None and found.end is not None:
        if found.identifier == TRACKS:
            cue_track = _video_track(_content(file, found))
        elif found.identifier == CLUSTER:
            if found.end - found.content > _MAX_CLUSTER:
                raise ValueError("a cluster is too large to be one of ours")
            at, last, starts_picture = _cluster(_content(file, found), cue_track)
            duration_ms = max(duration_ms, last)
            if starts_picture:
                cues.append((at, found.start - segment.content))
        elif found.identifier not in places and position > segment.content and CLUSTER in places:
            break  # an index that was being written
        places.setdefault(found.identifier, found)
        position = found.end
    if CLUSTER not in places or INFO not in places or TRACKS not in places:
        raise ValueError("nothing was recorded")
    info = places[INFO]
    return Ending(
        segment_size_at=segment.content - 8,
        info_at=info.start - segment.content,
        info_size=(info.end or info.content) - info.start,
        cue_track=cue_track,
        cues=cues,
        duration_ms=duration_ms,
        size=position,
    )


def _element(file: BinaryIO, position: int, size: int) -> _Element | None:
    """The element at a position, if all of it is in the file; `end` is None where its size is unknown."""
    file.seek(position)
    head = file.read(_MAX_HEADER)
    try:
        identifier, length = _vint(head, 0, marked=True)
        count, after = _vint(head, length, marked=False)
    except (IndexError, ValueError):
        return None
    content = position + after
    if count == (1 << 7 * (after - length)) - 1:
        return _Element(identifier, position, content, None)
    if identifier == SEGMENT:
        # Its size is written last: what it says may not be true yet.
        return _Element(identifier, position, content, None)
    end = content + count
    return _Element(identifier, position, content, end) if end <= size else None


def _vint(data: bytes, position: int, *, marked: bool) -> tuple[int, int]:
    """A number whose length is told by its first bits (RFC 8794, section 4), and where it ends."""
    first = data[position]
    if not first:
        raise ValueError("a number is longer than eight bytes")
    length = 9 - first.bit_length()
    end = position + length
    if end > len(data):
        raise ValueError("a number is truncated")
    value = int.from_bytes(data[position:end], "big")
    return value if marked else value & (1 << 7 * length) - 1, end


def _content(file: BinaryIO, element: _Element) -> bytes:
    file.seek(element.content)
    return file.read((element.end or element.content) - element.content)


def _children(data: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        identifier, after = _vint(data, position, marked=True)
        size, content = _vint(data, after, marked=False)
        position = content + size
        found.append((identifier, data[content:position]))
    return found


def _video_track(tracks: bytes) -> int:
    for identifier, entry in _children(tracks):
        fields = dict(_children(entry)) if identifier == _TRACK_ENTRY else {}
        if int.from_bytes(fields.get(_TRACK_TYPE, b""), "big") == _VIDEO:
            return int.from_bytes(fields[_TRACK_NUMBER], "big")
    return 1


def _cluster(content: bytes, cue_track: int) -> tuple[int, int, bool]:
    """Time of a cluster, time of its last block, and whether decoding of the cue track can begin in it."""
    at = last = 0
    starts = False
    for identifier, data in _children(content):
        if identifier == _TIMESTAMP:
            at = last = int.from_bytes(data, "big")
        elif identifier == _SIMPLE_BLOCK:
            track, relative, flags = struct.unpack(">BhB", data[:4])
            last = max(last, at + relative)
            starts = starts or (track & 0x7F == cue_track and bool(flags & 0x80))
    return at, last, starts
