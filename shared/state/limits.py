"""Limits per identity and per network address, exact over all processes: connections, joins, and back-off.

Each concern has its own budget: whoever talks too fast can still join, ping and negotiate, and joining costs nothing of
the right to talk. Chat is limited in the room's own script (`rooms.RoomLog.append`).
"""

from enum import IntEnum
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.security.tokens import Tier
from shared.state.keys import address_keys, identity_keys
from shared.state.scripts import load_script

MESSAGES_PER_SECOND = {Tier.ANONYMOUS: 2, Tier.VIEWER: 5, Tier.PREMIUM: 10, Tier.STREAMER: 50}
CONNECTIONS = {Tier.ANONYMOUS: 1, Tier.VIEWER: 3, Tier.PREMIUM: 10, Tier.STREAMER: 1}

# A connection is renewed well before it lapses; both may be long, since whoever resumes displaces their own old one.
CONNECTION_LIFETIME_MS = 75_000
HOLD_INTERVAL_S = 25.0


class Rate(NamedTuple):
    """So many a second, of which `burst` may come at once."""

    per_second: float
    burst: int


IDENTITY_JOINS = Rate(1, 20)
# Many people may be behind one address: a school, a company, a mobile operator.
ADDRESS_JOINS = Rate(50, 500)


class BackOff(msgspec.Struct, frozen=True):
    """How violations are punished: `borne` are forgiven at `per_second`, more of them lead to a back-off.

    The first takes `first_ms`, each further one twice as long, up to `longest_ms`; a step is taken back for every
    `peace_s` without a violation.
    """

    per_second: float = 0.5
    borne: float = 10
    first_ms: int = 1000
    longest_ms: int = 300_000
    peace_s: int = 60


IDENTITY_BACK_OFF = BackOff()
ADDRESS_BACK_OFF = BackOff(per_second=10, borne=200)


class Admission(IntEnum):
    """What became of a connection."""

    OPEN = 0
    TOO_MANY = 1
    TOO_FAST = 2
    BACKED_OFF = 3


class Admitted(NamedTuple):
    """`retry_after_ms` is 0 when open. `displaced` is a connection of the same identity that must be closed now, or ''.

    TOO_MANY has no time of its own: the client tries again with its own back-off.
    """

    outcome: Admission
    retry_after_ms: int = 0
    displaced: str = ""


class Holder(NamedTuple):
    """Whose connection it is. `kind` is what a streamer has one of each: "dashboard" or "encoder"."""

    identity: str
    tier: Tier
    kind: str = "dashboard"

    @property
    def counted(self) -> str:
        """What is counted apart: for a streamer the kind, for others all together."""
        return self.kind if self.tier is Tier.STREAMER else ""


class Limits:
    """The limits. Every method raises `redis.exceptions.RedisError` when the server cannot be reached in time."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._connect = load_script(redis, "connect", "budget")
        self._admit_address = load_script(redis, "admit_address", "budget")
        self._hold = load_script(redis, "hold")
        self._offend = load_script(redis, "offend")
        self._redis = redis

    async def admit_address(self, address: str, budget: str = "joins", rate: Rate | None = None) -> Admitted:
        """Whether one more connection may come from that address (`functions.signaling.limits.client_prefix`).

        To be asked before anything expensive is done for it, such as verifying a token. Other things that cost have
        a `budget` of their own; the back-off is one for all.
        """
        outcome, wait = await self._admit_address(
            keys=address_keys(address, budget, "standing"), args=list(rate or ADDRESS_JOINS)
        )
        return Admitted(Admission(outcome), int(wait))

    async def open(self, holder: Holder, connection: str, *, resumes: bool) -> Admitted:
        """Count a connection, or say why there may not be one more.

        One that `resumes` displaces the oldest of the same identity when there are too many: that is most likely its
        own, whose end no process has noticed yet. Send `commands.Displaced`; its process also learns it from `hold`.
        """
        outcome, value, displaced = await self._connect(
            keys=identity_keys(holder.identity, "sockets", "opened", "joins", "standing"),
            args=[
                holder.counted,
                connection,
                CONNECTIONS[holder.tier],
                CONNECTION_LIFETIME_MS,
                *IDENTITY_JOINS,
                int(resumes),
            ],
        )
        admission = Admission(outcome)
        return Admitted(admission, 0 if admission is Admission.OPEN else int(value), displaced.decode())

    async def hold(self, holder: Holder, connection: str) -> bool:
        """Renew a connection every `HOLD_INTERVAL_S`. False: it was displaced, close it."""
        held = await self._hold(
            keys=identity_keys(holder.identity, "sockets", "opened"),
            args=[holder.counted, connection, CONNECTION_LIFETIME_MS],
        )
        return bool(held)

    async def close(self, holder: Holder, connection: str) -> None:
        """Count a connection no more."""
        sockets, opened = identity_keys(holder.identity, "sockets", "opened")
        member = f"{holder.counted}|{connection}"
        await self._redis.zrem(sockets, member)
        await self._redis.hdel(opened, member)

    async def offended(self, *, identity: str = "", address: str = "", weight: float = 1) -> int:
        """Count a violation (a refused frame, a bad token) of an identity, an address or both; the back-off in ms.

        0: it was borne. Otherwise refuse with `backed_off` and close; `admit_address` and `open` refuse until then.
        """
        wait = 0
        for keys, policy in (
            (identity_keys(identity, "standing") if identity else [], IDENTITY_BACK_OFF),
            (address_keys(address, "standing") if address else [], ADDRESS_BACK_OFF),
        ):
            if keys:
                args = [*msgspec.structs.astuple(policy), weight]
                wait = max(wait, int(await self._offend(keys=keys, args=args)))
        return wait
