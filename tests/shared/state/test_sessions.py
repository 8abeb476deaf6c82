"""Sessions and attempts at passwords, on a real Valkey."""

import asyncio

import pytest
from redis.asyncio import Redis

from shared.security.revocations import Revocations
from shared.security.tokens import Tier
from shared.state.attempts import Attempts
from shared.state.limits import BackOff
from shared.state.revocations import RevocationList
from shared.state.sessions import Bearer, Refreshing, Sessions

ANA = Bearer(id="p1", name="Ana", tier=Tier.VIEWER, account=True)


@pytest.fixture
def sessions(redis: Redis) -> Sessions:
    return Sessions(redis, lifetime_s=600)


async def test_each_refresh_token_gives_the_next_one_and_who_it_is_for(sessions: Sessions) -> None:
    begun = await sessions.begin(ANA)
    token, seen = begun.refresh_token, {begun.refresh_token}
    for _ in range(5):
        refreshed = await sessions.refresh(token)
        assert (refreshed.outcome, refreshed.session, refreshed.bearer) == (Refreshing.REFRESHED, begun.session, ANA)
        token = refreshed.refresh_token
        assert token not in seen
        seen.add(token)


async def test_a_token_asked_for_twice_within_the_grace_gives_the_same_one(redis: Redis, sessions: Sessions) -> None:
    begun = await sessions.begin(ANA)
    elsewhere = Sessions(redis, lifetime_s=600)
    answers = await asyncio.gather(*((sessions, elsewhere)[n % 2].refresh(begun.refresh_token) for n in range(20)))
    assert len(set(answers)) == 1


async def test_a_token_used_after_the_grace_or_after_its_successor_ends_the_session(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await sessions.begin(ANA)).refresh_token
    second = (await sessions.refresh(first)).refresh_token
    third = (await sessions.refresh(second)).refresh_token
    assert (await sessions.refresh(first)).outcome is Refreshing.REUSED
    assert (await sessions.refresh(third)).outcome is Refreshing.UNKNOWN
    monkeypatch.setattr("shared.state.sessions.GRACE_MS", -1)
    first = (await sessions.begin(ANA)).refresh_token
    second = (await sessions.refresh(first)).refresh_token
    assert (await sessions.refresh(first)).outcome is Refreshing.REUSED
    assert (await sessions.refresh(second)).outcome is Refreshing.UNKNOWN
    assert await sessions.of(ANA.id) == []


async def test_a_session_that_nobody_uses_lapses(redis: Redis) -> None:
    sessions = Sessions(redis, lifetime_s=1)
    begun = await sessions.begin(ANA)
    async with asyncio.timeout(10):
        while await sessions.of(ANA.id):
            await asyncio.sleep(0.05)
    assert (await sessions.refresh(begun.refresh_token)).outcome is Refreshing.UNKNOWN


async def test_whoever_has_too_many_sessions_loses_the_oldest(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.sessions.MAX_SESSIONS", 3)
    begun = []
    for _ in range(4):
        begun.append(await sessions.begin(ANA))
        # The order of sessions is that of their ends, in milliseconds.
        await asyncio.sleep(0.003)
    assert begun[-1].ended == [begun[0].session]
    assert (await sessions.refresh(begun[0].refresh_token)).outcome is Refreshing.UNKNOWN
    assert {session.id for session in await sessions.of(ANA.id)} == {each.session for each in begun[1:]}


async def test_what_is_in_redis_lets_nobody_in(redis: Redis, sessions: Sessions) -> None:
    begun = await sessions.begin(ANA)
    secret = begun.refresh_token.rpartition(".")[2].encode()
    async for key in redis.scan_iter():
        kept = await redis.dump(key)
        assert kept is not None
        assert secret not in kept


async def test_a_changed_name_is_given_out_by_sessions_that_there_are_and_makes_none(sessions: Sessions) -> None:
    kept, ended = await sessions.begin(ANA), await sessions.begin(ANA)
    await sessions.end(ANA.id, ended.session)
    await sessions.describe(Bearer(id="p1", name="Ana L.", tier=Tier.PREMIUM, account=True))
    refreshed = await sessions.refresh(kept.refresh_token)
    assert refreshed.bearer is not None
    assert (refreshed.bearer.name, refreshed.bearer.tier) == ("Ana L.", Tier.PREMIUM)
    assert (await sessions.refresh(ended.refresh_token)).outcome is Refreshing.UNKNOWN


async def test_what_one_process_revokes_every_process_learns_also_one_that_comes_later(redis: Redis) -> None:
    told: list[frozenset[str]] = []
    one, two, late = Revocations(), Revocations(), Revocations()
    revoking, following = RevocationList(redis, one), RevocationList(redis, two, told.append)
    await following.catch_up()
    await revoking.revoke(["s1", "", "k1"])
    assert one.holds("s1")
    assert not two.holds("s1")
    await following.catch_up()
    await following.catch_up()
    assert told == [frozenset({"s1", "k1"})]
    await RevocationList(redis, late).catch_up()
    assert late.holds("k1")
    assert not late.holds("")


async def test_a_revocation_is_forgotten_when_its_last_token_is_over(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.revocations.LASTS_S", 0)
    known = Revocations()
    await RevocationList(redis, known).revoke(["s1"])
    known.forget_old()
    assert len(known) == 0
    async with asyncio.timeout(10):
        while await redis.exists("{revoked}:sids"):
            await asyncio.sleep(0.01)


async def test_failed_attempts_are_borne_then_waited_for_ever_longer(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = BackOff(per_second=1 / 300, borne=1, first_ms=10, longest_ms=40, peace_s=900)
    monkeypatch.setattr("shared.state.attempts.PAIR_BACK_OFF", policy)
    attempts = Attempts(redis)
    waits = []
    for _ in range(8):
        waits.append(await attempts.failed("ana", "192.0.2.1"))
        async with asyncio.timeout(10):
            while await attempts.wait_ms("ana", "192.0.2.1"):
                await asyncio.sleep(0.002)
    assert waits == [0, 10, 0, 20, 0, 40, 0, 40]
    assert await attempts.wait_ms("ana", "192.0.2.2") == 0


async def test_a_name_that_is_guessed_from_everywhere_is_slowed_down_for_all_and_not_for_long(redis: Redis) -> None:
    attempts = Attempts(redis)
    waits = [await attempts.failed("ana", f"192.0.2.{number}") for number in range(21)]
    assert waits[:20] == [0] * 20
    assert waits[20] == 1000
    assert 0 < await attempts.wait_ms("ana", "198.51.100.1") <= 1000
    assert await attempts.wait_ms("bo", "198.51.100.1") == 0


async def test_an_address_that_guesses_at_many_names_is_slowed_down_at_all_of_them(redis: Redis) -> None:
    attempts = Attempts(redis)
    for number in range(51):
        await attempts.failed(f"user{number}", "192.0.2.9")
    assert await attempts.wait_ms("another", "192.0.2.9") > 0
    assert await attempts.wait_ms("another", "192.0.2.8") == 0


async def test_whoever_knows_the_password_begins_anew(redis: Redis) -> None:
    attempts = Attempts(redis)
    for _ in range(3):
        for _ in range(4):
            assert await attempts.failed("ana", "192.0.2.1") == 0
        await attempts.succeeded("ana", "192.0.2.1")
