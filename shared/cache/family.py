"""One kind of thing that is cached: how it is loaded, for how long it is good, and what it depends on."""

import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from shared.cache import metrics
from shared.cache.entry import Entry
from shared.telemetry.catalogue.cache import FAMILIES

if TYPE_CHECKING:
    from shared.cache.cache import Cache

T = TypeVar("T")
Load = Callable[[str], Awaitable[T | None]]

MAX_KEY_CHARACTERS = 200
_TIMED = 64

UNTRACEABLE = "?"
"""In the place of a version or a tag: something was read that no invalidation would reach."""

_dependencies: ContextVar[dict[str, str] | None] = ContextVar("cache_dependencies", default=None)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long entries are good. `jitter` is the share by which times are shortened at random, against waves."""

    fresh_s: float = 60.0
    stale_s: float = 300.0
    """After `fresh_s`: served while it is loaded anew, and where that fails."""
    negative_s: float = 5.0
    """For "there is no such thing"."""
    local_s: float = 30.0
    """In a process, before it looks into Valkey again."""
    jitter: float = 0.1


class Family(Generic[T]):
    """Reads things of one kind by their key; made by `Cache.family`.

    An entry has the tag `family:key`. It depends on what its load reads from families, and on the tags that `tags_of`
    tells of its value.
    """

    def __init__(
        self,
        cache: "Cache",
        name: str,
        kind: type[T],
        load: Load[T],
        *,
        tags_of: Callable[[T], Iterable[str]] | None = None,
        policy: Policy | None = None,
    ) -> None:
        if name not in FAMILIES:
            message = f"{name} is not in the catalogue of metrics"
            raise ValueError(message)
        self.name = name
        self.load = load
        self.tags_of = tags_of
        self.policy = policy or Policy()
        self.encoder = msgspec.msgpack.Encoder()
        self.decoder = msgspec.msgpack.Decoder(kind)
        # Releases that know the thing by different fields do not read each other's entries.
        self._shape = f"{zlib.crc32(msgspec.json.encode(msgspec.json.schema(kind))):08x}"
        self._cache = cache
        self._answered = metrics.READS.labels(name, "l1")
        self._timed = metrics.SECONDS.labels("l1")
        self._reads = 0

    def tag(self, key: str) -> str:
        """The tag of the entry of that key; also its name in this process."""
        return f"{self.name}:{key}"

    def stored_as(self, key: str) -> str:
        """The name of the entry in Valkey."""
        return f"{self.name}:{self._shape}:{key}"

    async def get(self, key: str) -> T | None:
        """The thing of that key, None where there is none.

        Raises:
            CacheOverloaded: the cache's Valkey is away and too much is asked for; or whatever the load raises.
        """
        began = time.monotonic()
        if len(key) > MAX_KEY_CHARACTERS:
            _note({UNTRACEABLE: ""})
            return await self.load(key)
        name = f"{self.name}:{key}"
        entry = self._cache.near(self, key, name, began)
        if entry is None:
            entry = await self._cache.fetch(self, key, name)
        else:
            self._answered.inc()
            self._reads += 1
            if self._reads % _TIMED == 0:
                self._timed.observe(time.monotonic() - began)
        _note(entry.versions)
        if entry.value is None:
            metrics.NEGATIVE.labels(self.name).inc()
        return entry.value

    async def loaded(self, key: str) -> tuple[T | None, dict[str, str]]:
        """Load the thing itself, and what it depends on: tags, with their versions where those are known."""
        token = _dependencies.set({})
        try:
            value = await self.load(key)
            found = _dependencies.get() or {}
        except BaseException:
            metrics.LOAD_ERRORS.labels(self.name).inc()
            raise
        finally:
            _dependencies.reset(token)
        told = self.tags_of(value) if self.tags_of and value is not None else ()
        return value, dict.fromkeys(told, "") | found

    def entry(
        self, value: T | None, versions: dict[str, str], loaded_at: float, *, share: float, size: int
    ) -> Entry[T]:
        """An entry of that value; its times are shortened to that share."""
        fresh_s = (self.policy.negative_s if value is None else self.policy.fresh_s) * share
        stale_s = 0.0 if value is None else self.policy.stale_s * share
        return Entry(value, versions, loaded_at, fresh_s, stale_s, size)


def _note(versions: Mapping[str, str]) -> None:
    """Something was read: whatever is being loaded here depends on it."""
    found = _dependencies.get()
    if found is None:
        return
    for tag, version in versions.items():
        # Read at two versions, one of them is old; and of what has none nobody would tell.
        found[tag] = version if version and found.get(tag, version) == version else UNTRACEABLE
