import asyncio
import time

import pytest
from redis.asyncio import Redis

from shared.security.tokens import Tier
from shared.state.limits import ADDRESS_BACK_OFF, CONNECTIONS, Admission, BackOff, Holder, Limits, Rate

ANA = Holder("ana", Tier.VIEWER)


@pytest.fixture
def limits(redis: Redis) -> Limits:
    return Limits(redis)


@pytest.mark.parametrize("tier", list(Tier))
async def test_a_tier_has_its_number_of_connections_over_all_processes(
    redis: Redis, limits: Limits, tier: Tier
) -> None:
    holder, others = Holder("ana", tier), Limits(redis)
    admitted = await asyncio.gather(
        *((limits, others)[n % 2].open(holder, f"c{n}", resumes=False) for n in range(CONNECTIONS[tier] + 3))
    )
    outcomes = [one.outcome for one in admitted]
    assert outcomes.count(Admission.OPEN) == CONNECTIONS[tier]
    assert outcomes.count(Admission.TOO_MANY) == 3
    opened = outcomes.index(Admission.OPEN)
    await others.close(holder, f"c{opened}")
    assert (await limits.open(holder, "late", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(Holder("bo", tier), "c", resumes=False)).outcome is Admission.OPEN


async def test_a_streamer_has_one_dashboard_and_one_encoder(limits: Limits) -> None:
    dashboard, encoder = (Holder("ana", Tier.STREAMER, kind) for kind in ("dashboard", "encoder"))
    assert (await limits.open(dashboard, "d1", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(encoder, "e1", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(dashboard, "d2", resumes=False)).outcome is Admission.TOO_MANY
    assert (await limits.open(encoder, "e2", resumes=False)).outcome is Admission.TOO_MANY


async def test_whoever_resumes_displaces_their_own_oldest_connection(limits: Limits) -> None:
    for number in range(3):
        await limits.open(ANA, f"c{number}", resumes=False)
    admitted = await limits.open(ANA, "c3", resumes=True)
    assert (admitted.outcome, admitted.displaced) == (Admission.OPEN, "c0")
    assert [await limits.hold(ANA, f"c{number}") for number in range(4)] == [False, True, True, True]


async def test_a_connection_that_nobody_renews_lapses(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.state.limits.CONNECTION_LIFETIME_MS", 100)
    for number in range(3):
        await limits.open(ANA, f"c{number}", resumes=False)
    await asyncio.sleep(0.06)
    assert await limits.hold(ANA, "c2")
    await asyncio.sleep(0.06)
    assert (await limits.open(ANA, "d1", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(ANA, "d2", resumes=False)).outcome is Admission.OPEN
    assert (await limits.open(ANA, "d3", resumes=False)).outcome is Admission.TOO_MANY


async def test_connections_that_redis_lost_are_held_again(redis: Redis, limits: Limits) -> None:
    await limits.open(ANA, "c1", resumes=False)
    await redis.flushall()
    assert await limits.hold(ANA, "c1")


async def test_joins_have_a_budget_and_say_how_long_to_wait(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.state.limits.IDENTITY_JOINS", Rate(20, 5))
    began = time.monotonic()
    admitted = []
    for number in range(20):
        admitted.append(await limits.open(ANA, f"c{number}", resumes=False))
        await limits.close(ANA, f"c{number}")
    seconds = time.monotonic() - began
    passed = [one for one in admitted if one.outcome is Admission.OPEN]
    assert 5 <= len(passed) <= 5 + 20 * seconds + 1
    refused = admitted[-1]
    assert refused.outcome is Admission.TOO_FAST
    assert 0 < refused.retry_after_ms <= 50
    await asyncio.sleep(refused.retry_after_ms / 1000)
    assert (await limits.open(ANA, "late", resumes=False)).outcome is Admission.OPEN


async def test_an_address_has_a_budget_of_its_own(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.state.limits.ADDRESS_JOINS", Rate(1, 3))
    outcomes = [(await limits.admit_address("192.0.2.1")).outcome for _ in range(4)]
    assert outcomes == [Admission.OPEN] * 3 + [Admission.TOO_FAST]
    assert (await limits.admit_address("192.0.2.2")).outcome is Admission.OPEN


async def test_violations_are_borne_then_back_off_doubles_then_peace_forgives(
    limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = BackOff(per_second=0.1, borne=3, first_ms=40, longest_ms=100, peace_s=1)
    monkeypatch.setattr("shared.state.limits.IDENTITY_BACK_OFF", policy)
    waits = []
    for _ in range(4):
        assert [await limits.offended(identity="ana") for _ in range(3)] == [0, 0, 0]
        wait = await limits.offended(identity="ana")
        waits.append(wait)
        admitted = await limits.open(ANA, "c1", resumes=False)
        assert admitted.outcome is Admission.BACKED_OFF
        assert 0 < admitted.retry_after_ms <= wait
        # A violation meanwhile does not make it longer.
        assert await limits.offended(identity="ana") <= wait
        await asyncio.sleep(wait / 1000 + 0.005)
        assert (await limits.open(ANA, "c1", resumes=False)).outcome is Admission.OPEN
        await limits.close(ANA, "c1")
    assert waits == [40, 80, 100, 100]
    assert await limits.offended(identity="bo") == 0


async def test_an_address_is_backed_off_apart_from_the_identity(
    limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.limits.ADDRESS_BACK_OFF", BackOff(borne=1, first_ms=200))
    assert await limits.offended(identity="ana", address="2001:db8::/64") == 0
    assert await limits.offended(identity="bo", address="2001:db8::/64") == 200
    assert (await limits.admit_address("2001:db8::/64")).outcome is Admission.BACKED_OFF
    assert (await limits.admit_address("2001:db8:0:1::/64")).outcome is Admission.OPEN
    assert (await limits.open(ANA, "c1", resumes=False)).outcome is Admission.OPEN


async def test_what_limits_keep_expires(redis: Redis, limits: Limits) -> None:
    await limits.open(ANA, "c1", resumes=False)
    await limits.admit_address("192.0.2.1")
    await limits.offended(identity="ana", address="192.0.2.1", weight=ADDRESS_BACK_OFF.borne + 1)
    keys = await redis.keys("*")
    assert len(keys) == 6
    for key in keys:
        assert await redis.pttl(key) > 0
