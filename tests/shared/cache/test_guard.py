import asyncio
import time

import pytest

from shared.cache.errors import CacheOverloaded
from shared.cache.guard import AT_ONCE, PATIENCE_S, Guard


async def test_beyond_its_rate_the_guard_lets_wait_a_second_at_most_and_refuses_the_rest() -> None:
    guard, passed = Guard(40.0), 0

    async def load() -> None:
        nonlocal passed
        async with guard.passing(limited=True):
            passed += 1

    began = time.monotonic()
    outcomes = await asyncio.gather(*(load() for _ in range(500)), return_exceptions=True)
    took_s = time.monotonic() - began
    refused = [outcome for outcome in outcomes if isinstance(outcome, CacheOverloaded)]
    assert passed + len(refused) == 500
    assert 40 * PATIENCE_S <= passed <= 40 * (took_s + 0.2)
    assert all(outcome.retry_after_s > PATIENCE_S for outcome in refused)


async def test_without_a_limit_only_the_number_at_once_is_bounded() -> None:
    guard, inside, most = Guard(0.001), 0, 0

    async def load() -> None:
        nonlocal inside, most
        async with guard.passing(limited=False):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(load() for _ in range(10 * AT_ONCE)))
    assert most == AT_ONCE


async def test_who_is_refused_does_not_make_the_next_wait_longer() -> None:
    guard = Guard(2.0)
    for _ in range(3):
        async with guard.passing(limited=True):
            pass
    for _ in range(100):
        with pytest.raises(CacheOverloaded) as refused:
            await asyncio.gather(*(guard._wait() for _ in range(5)))
        assert refused.value.retry_after_s < 2 * PATIENCE_S
