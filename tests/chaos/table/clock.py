"""What happens when the clock of a process jumps."""

import asyncio
import signal
from typing import Final

from shared.security.tokens import CLOCK_SKEW_S
from tests.chaos.table.ground import Ground, NotPossibleError
from tests.support.clock import READ_AGAIN_S, Clock

VALKEY_JUMP_S: Final = 3600
# A process whose clock is further off takes nobody's token, and should not.
FUNCTION_JUMP_S: Final = CLOCK_SKEW_S - 1


async def function_on_a_clock(ground: Ground) -> None:
    """Have a function process go by a clock of its own, and people at each process."""
    stack, clock = ground.stage.stack, _clock(ground, "function")
    await stack.kill("function-1", signal.SIGTERM, restart=False)
    await stack.start("function-1", clock.environ)
    await ground.whole()
    before = ground.connections
    ground.stage.clients.cut(1.0, ground.rng)
    await ground.everybody_back(before)


async def valkey_on_a_clock(ground: Ground) -> None:
    """Have Valkey go by a clock of its own."""
    state, clock = ground.stage.state, _clock(ground, "valkey")
    await state.kill("valkey", signal.SIGTERM, restart=False)
    await state.start("valkey", clock.environ)
    await ground.whole()
    await ground.known.set_up_valkey()


async def function_clock_jumps(ground: Ground) -> str:
    """The clock of a function process is set, as far as tokens bear it."""
    return await _jump(ground, "function", FUNCTION_JUMP_S)


async def valkey_clock_jumps(ground: Ground) -> str:
    """Valkey's clock is set an hour forward, and back again: all that lives for less has expired."""
    return await _jump(ground, "valkey", VALKEY_JUMP_S)


async def _jump(ground: Ground, name: str, by_s: int) -> str:
    clock = _clock(ground, name)
    for seconds in (by_s, 0, -by_s, 0):
        clock.jump(seconds)
        # Some come anew while the clock is wrong.
        ground.stage.clients.cut(0.5, ground.rng)
        await asyncio.sleep(READ_AGAIN_S + ground.pause_s / 2)
    return f"{by_s:,} s forward, right, as much back, right; half of the links cut at each"


def _clock(ground: Ground, name: str) -> Clock:
    try:
        return Clock(ground.folder / f"{name}.clock")
    except FileNotFoundError as error:
        raise NotPossibleError(str(error)) from None
