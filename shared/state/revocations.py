"""The revocation list in Redis: every process follows it, so a token that was ended is refused everywhere.

A sorted set of ids by the moment of their end, on the server's clock. It is short, since an id stays on it only for as
long as its longest token could live. A process that cannot reach Redis goes on with what it knows.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError
from structlog import get_logger

from shared.security.revocations import Revocations
from shared.security.tokens import CLOCK_SKEW_S, LONGEST_LIFETIME_S
from shared.state.scripts import load_script

INTERVAL_S: Final = 0.5
LASTS_S: Final = LONGEST_LIFETIME_S + CLOCK_SKEW_S
_KEY: Final = "{revoked}:sids"
# Read again each time: entries that were written at the same moment as the last one that was seen.
_OVERLAP_MS: Final = 2000

log = get_logger(__name__)


class RevocationList:
    """One per process. `revoke` raises `redis.exceptions.RedisError` when the server cannot be reached in time."""

    def __init__(
        self,
        redis: Redis | RedisCluster,
        known: Revocations,
        on_revoked: Callable[[frozenset[str]], None] | None = None,
    ) -> None:
        """`on_revoked` is called with ids that were ended since the last time, here or elsewhere."""
        self._redis = redis
        self._known = known
        self._on_revoked = on_revoked
        self._revoke = load_script(redis, "revoke")
        self._seen_ms = 0

    async def revoke(self, identifiers: Iterable[str]) -> None:
        """End sessions or API keys: their tokens are refused here at once, and elsewhere within `INTERVAL_S`."""
        ids = [identifier for identifier in identifiers if identifier]
        if ids:
            await self._revoke(keys=[_KEY], args=[LASTS_S * 1000, *ids])
            self._note(ids)

    async def follow(self) -> None:
        """Keep the process's list up to date, until cancelled."""
        while True:
            try:
                await self.catch_up()
            except (RedisError, OSError) as error:
                log.warning("revocations_unknown", error=type(error).__name__)
            self._known.forget_old()
            await asyncio.sleep(INTERVAL_S)

    async def catch_up(self) -> None:
        """Read what was added since the last time.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached in time.
        """
        since = self._seen_ms - _OVERLAP_MS
        entries: list[Any] = await self._redis.zrange(_KEY, max(since, 0), "+inf", byscore=True, withscores=True)
        if entries:
            self._seen_ms = max(self._seen_ms, *(int(score) for _, score in entries))
            self._note([identifier.decode() for identifier, _ in entries])

    def _note(self, ids: list[str]) -> None:
        new = frozenset(identifier for identifier in ids if self._known.add(identifier, lasts_s=LASTS_S))
        if new and self._on_revoked is not None:
            self._on_revoked(new)
