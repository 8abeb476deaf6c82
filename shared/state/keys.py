"""Names of keys in Redis. The braces (hash tags) keep all keys that one script works on on one shard of a cluster."""

import zlib

NEWS_SHARDS = 8


def log_key(room: str) -> str:
    """The key of a room's log."""
    return f"room:{{{room}}}:log"


def room_of(key: bytes) -> str:
    """The room that a key belongs to."""
    return key.decode().split("{", 1)[1].split("}", 1)[0]


def room_keys(room: str, *names: str) -> list[str]:
    """Keys of a room, all on one shard."""
    return [f"room:{{{room}}}:{name}" for name in names]


def identity_keys(identity: str, *names: str) -> list[str]:
    """Keys of a person over all rooms, all on one shard."""
    return [f"who:{{{identity}}}:{name}" for name in names]


def address_keys(address: str, *names: str) -> list[str]:
    """Keys of a network address or prefix, all on one shard."""
    return [f"from:{{{address}}}:{name}" for name in names]


def news_key(shard: int) -> str:
    """The set of rooms that have something to archive; there are `NEWS_SHARDS`, so that a cluster shares the load."""
    return f"news:{{{shard}}}"


def news_key_of(room: str) -> str:
    """The one of those sets that a room is in."""
    return news_key(zlib.crc32(room.encode()) % NEWS_SHARDS)
