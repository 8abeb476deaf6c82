"""What is kept: a value with the versions of all that it depends on, and how it is written in Valkey.

In Valkey an entry is one line of versions, which the script that keeps it writes, and then a MessagePack array.
"""

import time
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

ALL_TAG = "*"
"""The tag that every entry has: invalidating it empties the cache."""


class Entry(msgspec.Struct, Generic[T], frozen=True):
    """A value as it was at `loaded_at` (s since 1970); None is known not to exist.

    It is good for `fresh_s`, and for `stale_s` more while it is being loaded anew. `versions` has all its tags; where
    Valkey was away, or did not keep it, their versions are empty.
    """

    value: T | None
    versions: Mapping[str, str]
    loaded_at: float
    fresh_s: float
    stale_s: float
    size: int
    """Bytes of the encoded value."""

    def age_s(self) -> float:
        """Seconds since it was loaded; clocks of machines may differ a little."""
        return max(0.0, time.time() - self.loaded_at)

    @property
    def traceable(self) -> bool:
        """Whether an invalidation would reach what is built on it."""
        return all(self.versions.values())


class _Body(msgspec.Struct, frozen=True, array_like=True):
    tags: list[str]
    loaded_at: float
    fresh_s: float
    stale_s: float
    value: bytes | None


class Found(msgspec.Struct, frozen=True):
    """An entry as it was found in Valkey, not decoded: it may be invalid."""

    versions: dict[str, str]
    loaded_at: float
    fresh_s: float
    stale_s: float
    value: bytes | None

    def entry(self, decoder: "msgspec.msgpack.Decoder[T]") -> Entry[T]:
        """The entry.

        Raises:
            msgspec.DecodeError: written by another release.
        """
        value = None if self.value is None else decoder.decode(self.value)
        return Entry(value, self.versions, self.loaded_at, self.fresh_s, self.stale_s, len(self.value or b""))


_decoder = msgspec.msgpack.Decoder(_Body)


def body(tags: list[str], loaded_at: float, fresh_s: float, stale_s: float, value: bytes | None) -> bytes:
    """What the script writes behind the line of versions, which are in the order of `tags`."""
    return msgspec.msgpack.encode(_Body(tags, loaded_at, fresh_s, stale_s, value))


def parse(raw: Any) -> Found | None:  # noqa: ANN401 - whatever Valkey has there
    """An entry out of Valkey, None when it cannot be read."""
    if not isinstance(raw, bytes):
        return None
    header, _, rest = raw.partition(b"\n")
    versions = header.decode("ascii", "replace").split(" ")
    try:
        found = _decoder.decode(rest)
    except msgspec.DecodeError:
        return None
    if len(versions) != len(found.tags):
        return None
    return Found(
        dict(zip(found.tags, versions, strict=True)), found.loaded_at, found.fresh_s, found.stale_s, found.value
    )
