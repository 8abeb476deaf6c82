"""Attempts at a password: whoever fails is made to wait, each time for twice as long.

Three things are counted: failures at a name from one address, which hits who guesses and hardly anybody else; failures
at a name from anywhere, which bounds a guess from many addresses and is forgiven sooner, so that a stranger cannot lock
somebody out for long; and failures from an address at any names.
"""

import hashlib
from typing import Final

import msgspec
from redis.asyncio import Redis, RedisCluster

from shared.state.keys import address_keys
from shared.state.limits import BackOff
from shared.state.scripts import load_script

PAIR_BACK_OFF: Final = BackOff(per_second=1 / 300, borne=4, first_ms=1_000, longest_ms=900_000, peace_s=900)
NAME_BACK_OFF: Final = BackOff(per_second=1 / 30, borne=20, first_ms=1_000, longest_ms=60_000, peace_s=300)
ADDRESS_BACK_OFF: Final = BackOff(per_second=1 / 30, borne=50, first_ms=1_000, longest_ms=900_000, peace_s=900)


class Attempts:
    """Every method raises `redis.exceptions.RedisError` when the server cannot be reached in time."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._redis = redis
        self._offend = load_script(redis, "offend")
        self._standing = load_script(redis, "standing")

    async def wait_ms(self, name: str, address: str) -> int:
        """How long until an attempt may be made; 0: now. `address` is '' where it is not known."""
        waits = [int(await self._standing(keys=[key], args=[])) for key, _ in _counted(name, address)]
        return max(waits)

    async def failed(self, name: str, address: str) -> int:
        """Count a failure; how long to wait before the next attempt, in ms."""
        waits = [
            int(await self._offend(keys=[key], args=[*msgspec.structs.astuple(policy), 1]))
            for key, policy in _counted(name, address)
        ]
        return max(waits)

    async def succeeded(self, name: str, address: str) -> None:
        """Whoever knows the password may mistype it again tomorrow. What the address did at other names stands."""
        await self._redis.delete(_counted(name, address)[0][0])


def _counted(name: str, address: str) -> list[tuple[str, BackOff]]:
    # A hash, so that keys are of one length and no name stands in Redis.
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    counted = [
        (f"login:{{{digest}}}:{address or 'anywhere'}", PAIR_BACK_OFF),
        (f"login:{{{digest}}}:all", NAME_BACK_OFF),
    ]
    if address:
        counted.append((address_keys(address, "logins")[0], ADDRESS_BACK_OFF))
    return counted
