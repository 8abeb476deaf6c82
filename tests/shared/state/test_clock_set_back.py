"""The clock of Valkey is set back: what was kept by the time before must not hold anybody for as long as that was."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from shared.protocol.messages import ChatEvent
from shared.security.tokens import Tier
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.control import Change, RoomControl
from shared.state.limits import Admission, BackOff, Holder, Limits, Rate
from shared.state.rooms import Outcome, RoomLog, Submission
from tests.conftest import child_environ
from tests.support.clock import READ_AGAIN_S, Clock

ANA = Holder("ana", Tier.VIEWER)
HOUR = 3600


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    try:
        return Clock(tmp_path / "clock")
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest_asyncio.fixture
async def fast(clock: Clock, tmp_path: Path) -> AsyncIterator[Redis]:
    """Valkey, an hour fast."""
    clock.jump(HOUR)
    environ = child_environ() | clock.environ
    async with LocalStack(tmp_path / "state", mongod=False, environ=environ, report=lambda _: None) as stack:
        redis = connect_redis(stack.redis_url)
        yield redis
        await redis.aclose()


def _message(number: int) -> Submission:
    return Submission(ChatEvent("ana", "Ana", number, "hello"), 1)


async def set_right(clock: Clock, redis: Redis) -> None:
    before = (await redis.time())[0]
    clock.jump(0)
    async with asyncio.timeout(READ_AGAIN_S * 5):
        while (await redis.time())[0] > before - HOUR / 2:
            await asyncio.sleep(0.05)


async def test_a_budget_of_the_time_before_is_forgiven(
    clock: Clock, fast: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.limits.IDENTITY_JOINS", Rate(0.01, 1))
    limits = Limits(fast)
    assert (await limits.open(ANA, "c1", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(ANA, "c2", resumes=False)).outcome is Admission.TOO_FAST
    await set_right(clock, fast)
    assert (await limits.open(ANA, "c3", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(ANA, "c4", resumes=False)).outcome is Admission.TOO_FAST


async def test_a_speaker_is_heard_again_and_later_in_the_log_than_before(clock: Clock, fast: Redis) -> None:
    log = RoomLog(fast)
    before = await log.append("room", [_message(number) for number in range(3)])
    assert [one.outcome for one in before] == [Outcome.APPENDED] * 2 + [Outcome.TOO_FAST]
    await set_right(clock, fast)
    after = await log.append("room", [_message(number) for number in range(3, 6)])
    assert [one.outcome for one in after] == [Outcome.APPENDED] * 2 + [Outcome.TOO_FAST]
    assert after[0].value > before[1].value


async def test_slow_mode_does_not_wait_for_the_time_before(clock: Clock, fast: Redis) -> None:
    log = RoomLog(fast)
    await RoomControl(fast).configure("room", Change(slow_mode_s=30))
    before = await log.append("room", [_message(1), _message(2)])
    assert [one.outcome for one in before] == [Outcome.APPENDED, Outcome.SLOW_MODE]
    await set_right(clock, fast)
    (heard,) = await log.append("room", [_message(3)])
    assert heard.outcome is Outcome.APPENDED


async def test_a_back_off_of_the_time_before_is_forgiven(
    clock: Clock, fast: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = BackOff(borne=0, first_ms=60_000)
    monkeypatch.setattr("shared.state.limits.IDENTITY_BACK_OFF", strict)
    limits = Limits(fast)
    assert await limits.offended(identity="ana") == 60_000
    assert (await limits.open(ANA, "c1", resumes=False)).outcome is Admission.BACKED_OFF
    await set_right(clock, fast)
    assert (await limits.open(ANA, "c2", resumes=False)).outcome is Admission.OPEN


async def test_the_place_of_a_connection_that_died_lapses_after_as_long_as_ever(
    clock: Clock, fast: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.limits.CONNECTION_LIFETIME_MS", 3000)
    limits = Limits(fast)
    held = [(await limits.open(ANA, f"c{number}", resumes=False)).outcome for number in range(4)]
    assert held == [Admission.OPEN] * 3 + [Admission.TOO_MANY]
    await set_right(clock, fast)
    assert (await limits.open(ANA, "c4", resumes=False)).outcome is Admission.TOO_MANY
    await asyncio.sleep(3.1)
    assert (await limits.open(ANA, "c5", resumes=False)).outcome is Admission.OPEN
