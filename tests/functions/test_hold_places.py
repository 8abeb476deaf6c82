"""A place among an identity's connections is held for as long as its socket is open, and no longer."""

from types import SimpleNamespace
from typing import Any, cast

from redis.asyncio import Redis

from functions.context import Context
from functions.signaling.routes import _hold_place
from shared.security.tokens import Tier
from shared.state.limits import Admission, Holder, Limits

ONE = Holder("passer-by", Tier.ANONYMOUS)  # may have one connection


class Socket:
    """As much of a connection as is asked here."""

    def __init__(self) -> None:
        self.id = "c1"
        self.holder: Holder | None = ONE
        self.displaced = False

    def displace(self) -> None:
        self.displaced = True


def context(limits: Limits) -> Context:
    return cast("Context", SimpleNamespace(reception=SimpleNamespace(limits=limits)))


async def hold(limits: Limits, socket: Socket) -> None:
    await _hold_place(context(limits), cast("Any", socket))


async def admitted(limits: Limits, connection: str) -> bool:
    return (await limits.open(ONE, connection, resumes=False)).outcome is Admission.OPEN


async def test_an_open_socket_keeps_its_place_and_the_next_one_out(redis: Redis) -> None:
    limits, socket = Limits(redis), Socket()
    assert await admitted(limits, "c1")
    await hold(limits, socket)
    assert not await admitted(limits, "c2")
    assert not socket.displaced


async def test_the_place_of_a_socket_that_has_closed_is_not_held(redis: Redis) -> None:
    limits, socket = Limits(redis), Socket()
    assert await admitted(limits, "c1")
    socket.holder = None
    await limits.close(ONE, "c1")
    await hold(limits, socket)
    assert await admitted(limits, "c2")


async def test_a_socket_that_closes_while_its_place_is_renewed_leaves_it(redis: Redis) -> None:
    socket = Socket()

    class Closing(Limits):
        async def hold(self, holder: Holder, connection: str) -> bool:
            socket.holder = None
            await self.close(holder, connection)
            return await super().hold(holder, connection)

    limits = Closing(redis)
    assert await admitted(limits, "c1")
    await hold(limits, socket)
    assert await admitted(limits, "c2")
    assert not socket.displaced


async def test_a_socket_whose_place_was_taken_is_closed(redis: Redis) -> None:
    limits, socket = Limits(redis), Socket()
    assert await admitted(limits, "c1")
    assert (await limits.open(ONE, "c2", resumes=True)).displaced == "c1"
    await hold(limits, socket)
    assert socket.displaced
