import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from redis.asyncio import Redis

from shared.protocol.messages import ChatEvent, GiftEvent, StreamEnded, StreamStarted, decode_event
from shared.stack.stack import LocalStack
from shared.state.archive_reader import ArchiveReader
from shared.state.connect import connect_redis
from shared.state.control import Change, RoomControl
from shared.state.rooms import HISTORY_EVENTS, RECENT_EVENTS, Appended, Bounds, Outcome, RoomLog, Submission, log_key

ROOM = "abcdefghjk"
UNARCHIVED = Bounds(held=0)


@pytest_asyncio.fixture
async def log(redis: Redis) -> RoomLog:
    return RoomLog(redis)


@pytest_asyncio.fixture
async def other_log(state: LocalStack) -> AsyncIterator[RoomLog]:
    client = connect_redis(state.redis_url)
    yield RoomLog(client)
    await client.aclose()


def _message(number: int, text: str = "hello", *, sender: str = "p1", per_second: int = 1_000_000) -> Submission:
    return Submission(ChatEvent(sender, "Ana", number, text), per_second)


def _gift(key: int, *, sender: str = "p1") -> Submission:
    return Submission(GiftEvent(sender, "Ana", key, "rose", 3), 1_000_000)


async def test_a_batch_is_appended_in_order_with_rising_offsets(log: RoomLog) -> None:
    results = await log.append(ROOM, [_message(n, f"m{n}") for n in range(50)])
    offsets = [result.value for result in results]
    assert {result.outcome for result in results} == {Outcome.APPENDED}
    assert offsets == sorted(set(offsets))
    entries = (await log.resume(ROOM)).entries
    assert [offset for offset, _ in entries] == offsets
    assert [decode_event(event) for _, event in entries] == [ChatEvent("p1", "Ana", n, f"m{n}") for n in range(50)]


async def test_the_same_message_id_is_appended_once_and_answered_alike(log: RoomLog, other_log: RoomLog) -> None:
    (first,) = await log.append(ROOM, [_message(7)])
    again, within = await other_log.append(ROOM, [_message(7), _message(7)])
    assert again == within == (Outcome.DUPLICATE, first.value)
    assert len((await log.resume(ROOM)).entries) == 1


async def test_the_same_number_from_another_sender_is_another_message(log: RoomLog) -> None:
    results = await log.append(ROOM, [_message(7, sender="p1"), _message(7, sender="p2")])
    assert [result.outcome for result in results] == [Outcome.APPENDED, Outcome.APPENDED]


async def test_the_rate_limit_holds_over_all_processes(log: RoomLog, other_log: RoomLog) -> None:
    results = await log.append(ROOM, [_message(n, per_second=2) for n in range(3)])
    results += await other_log.append(ROOM, [_message(n, per_second=2) for n in range(3, 6)])
    outcomes = [result.outcome for result in results]
    assert outcomes == [Outcome.APPENDED] * 4 + [Outcome.TOO_FAST] * 2
    assert 0 < results[-1].value <= 500
    (other,) = await other_log.append(ROOM, [_message(9, sender="p2", per_second=2)])
    assert other.outcome is Outcome.APPENDED


async def test_whoever_waits_as_told_may_go_on(log: RoomLog) -> None:
    results = await log.append(ROOM, [_message(n, per_second=20) for n in range(41)])
    assert results[-1].outcome is Outcome.TOO_FAST
    await asyncio.sleep(results[-1].value / 1000)
    (later,) = await log.append(ROOM, [_message(41, per_second=20)])
    assert later.outcome is Outcome.APPENDED


async def test_a_resume_gets_exactly_what_came_after_the_offset(log: RoomLog) -> None:
    results = await log.append(ROOM, [_message(n) for n in range(10)])
    start = await log.resume(ROOM)
    position = await log.resume(ROOM, start.epoch, results[3].value)
    assert position.gap == ""
    assert [offset for offset, _ in position.entries] == [result.value for result in results[4:]]
    assert (await log.resume(ROOM, start.epoch, results[-1].value)).entries == []


async def test_a_fresh_join_gets_the_recent_events_only(log: RoomLog) -> None:
    results = await log.append(ROOM, [_message(n) for n in range(RECENT_EVENTS + 20)])
    position = await log.resume(ROOM)
    assert [offset for offset, _ in position.entries] == [result.value for result in results[20:]]


async def test_trimmed_history_is_an_announced_gap(redis: Redis) -> None:
    log = RoomLog(redis, UNARCHIVED)
    (first,) = await log.append(ROOM, [_message(0)])
    epoch = (await log.resume(ROOM)).epoch
    for batch in range(5):
        await log.append(ROOM, [_message(1 + batch * 500 + n) for n in range(500)])
    position = await log.resume(ROOM, epoch, first.value)
    assert position.gap == "trimmed"
    assert HISTORY_EVENTS <= len(position.entries) <= HISTORY_EVENTS + 100
    assert (await log.resume(ROOM, epoch, position.entries[0][0])).gap == ""
    trimmed = int(await redis.hget(f"room:{{{ROOM}}}:info", "trimmed") or 0)
    assert (await log.resume(ROOM, epoch, trimmed)).gap == ""
    assert (await log.resume(ROOM, epoch, trimmed - 1)).gap == "trimmed"


async def test_history_is_bounded_by_age_too(redis: Redis) -> None:
    log = RoomLog(redis, Bounds(events=1000, age_s=0.2, held=0))
    (old,) = await log.append(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    await asyncio.sleep(0.25)
    (new,) = await log.append(ROOM, [_message(2)])
    position = await log.resume(ROOM, epoch, old.value - 1)
    assert position.gap == "trimmed"
    assert [offset for offset, _ in position.entries] == [new.value]
    await asyncio.sleep(0.25)
    assert (await log.resume(ROOM)).entries == []


async def test_what_is_not_archived_yet_is_not_cut_until_too_much_waits(redis: Redis) -> None:
    log = RoomLog(redis, Bounds(events=100, age_s=0, held=1000))
    results = [await log.append(ROOM, [_message(batch * 100 + n) for n in range(100)]) for batch in range(10)]
    assert await redis.xlen(log_key(ROOM)) == 1000
    assert results[0][0].value == (await log.page(ROOM, limit=1)).entries[0][0]
    for batch in range(10, 14):
        await log.append(ROOM, [_message(batch * 100 + n) for n in range(100)])
    assert 1000 <= await redis.xlen(log_key(ROOM)) <= 1100
    assert int(await redis.hget(f"room:{{{ROOM}}}:info", "lost") or 0) >= 300


async def test_what_was_cut_unarchived_is_told_once_whoever_asks(redis: Redis) -> None:
    log = RoomLog(redis, Bounds(events=10, age_s=0, held=100))
    one, two = ArchiveReader(redis, "one"), ArchiveReader(redis, "two")
    assert await one.lost(ROOM) == 0
    for batch in range(4):
        await log.append(ROOM, [_message(batch * 100 + n) for n in range(100)])
    lost = int(await redis.hget(f"room:{{{ROOM}}}:info", "lost") or 0)
    assert lost >= 200
    assert sorted(await asyncio.gather(one.lost(ROOM), two.lost(ROOM))) == [0, lost]
    await log.append(ROOM, [_message(n) for n in range(1000, 1201)])
    assert await two.lost(ROOM) > 0
    assert await one.lost(ROOM) == 0


async def test_a_client_ahead_of_the_log_is_told_of_a_gap(log: RoomLog) -> None:
    (last,) = await log.append(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    position = await log.resume(ROOM, epoch, last.value + 1)
    assert (position.gap, position.epoch) == ("epoch", epoch)


async def test_a_process_that_read_more_than_there_is_changes_the_epoch_for_everybody(log: RoomLog) -> None:
    (last,) = await log.append(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    assert await log.confirm(ROOM, epoch, last.value) == epoch
    changed = await log.confirm(ROOM, epoch, last.value + 1)
    assert changed != epoch
    assert (await log.resume(ROOM, epoch, last.value)).gap == "epoch"
    assert await log.confirm(ROOM, epoch, last.value + 1) == changed


async def test_a_gift_is_given_once_by_its_key_whoever_repeats_it(log: RoomLog, other_log: RoomLog) -> None:
    (first,) = await log.append(ROOM, [_gift(7)])
    again = await other_log.append(ROOM, [_gift(7), _message(7), _gift(7, sender="p2")])
    assert [result.outcome for result in again] == [Outcome.DUPLICATE, Outcome.APPENDED, Outcome.DUPLICATE]
    assert again[0].value == first.value
    events = [decode_event(raw) for _, raw in (await log.resume(ROOM)).entries]
    assert events == [GiftEvent("p1", "Ana", 7, "rose", 3), ChatEvent("p1", "Ana", 7, "hello")]


async def test_gifts_and_messages_share_one_budget(log: RoomLog) -> None:
    batch = [_message(n, per_second=2) for n in range(3)]
    batch += [Submission(GiftEvent("p1", "Ana", n, "rose", 1), 2) for n in range(3)]
    outcomes = [result.outcome for result in await log.append(ROOM, batch)]
    assert outcomes == [Outcome.APPENDED] * 4 + [Outcome.TOO_FAST] * 2


async def test_slow_mode_holds_back_everybody_but_moderators(log: RoomLog, other_log: RoomLog, redis: Redis) -> None:
    await RoomControl(redis).configure(ROOM, Change(slow_mode_s=1))
    results = await log.append(ROOM, [_message(1), _message(2), _gift(3)])
    results += await other_log.append(ROOM, [_message(4), _message(5, sender="p2"), _message(1)])
    assert [result.outcome for result in results] == [
        Outcome.APPENDED,
        Outcome.SLOW_MODE,
        Outcome.APPENDED,
        Outcome.SLOW_MODE,
        Outcome.APPENDED,
        Outcome.DUPLICATE,
    ]
    assert 0 < results[3].value <= 1000
    moderator = [Submission(ChatEvent("m", "Mo", n, "hi"), 50, moderates=True) for n in range(3)]
    assert {result.outcome for result in await log.append(ROOM, moderator)} == {Outcome.APPENDED}
    await asyncio.sleep(results[3].value / 1000)
    (later,) = await log.append(ROOM, [_message(6)])
    assert later.outcome is Outcome.APPENDED


async def test_the_banned_and_the_timed_out_append_nothing_until_it_is_over(log: RoomLog, redis: Redis) -> None:
    control = RoomControl(redis)
    (before,) = await log.append(ROOM, [_message(1)])
    await control.ban(ROOM, "p1")
    await control.time_out(ROOM, "p2", 1)
    results = await log.append(ROOM, [_message(1), _message(2), _gift(3), _message(4, sender="p2")])
    assert results[:3] == [before._replace(outcome=Outcome.DUPLICATE), (Outcome.BANNED, 0), (Outcome.BANNED, 0)]
    assert results[3].outcome is Outcome.BANNED
    assert 0 < results[3].value <= 1000
    await asyncio.sleep(results[3].value / 1000)
    await control.lift(ROOM, "p1")
    assert {result.outcome for result in await log.append(ROOM, [_message(5), _message(6, sender="p2")])} == {
        Outcome.APPENDED
    }


async def test_a_blocked_term_is_found_whatever_its_case_and_width(log: RoomLog, redis: Redis) -> None:
    await RoomControl(redis).configure(ROOM, Change(blocked_terms=["Stra\u00dfe", "bad  word", "\u99ac\u9e7f"]))
    texts = [
        "STRASSE",
        "a BAD\u3000\uff37\uff4f\uff52\uff44!",
        "\u4f60\u99ac\u9e7f\u4e86",
        "b\u200bad word",
        "badwords",
        "ok",
    ]
    results = await log.append(ROOM, [_message(n, text) for n, text in enumerate(texts)])
    assert [result.outcome for result in results] == [Outcome.BLOCKED] * 4 + [Outcome.APPENDED] * 2


async def test_terms_that_another_process_changed_hold_from_that_moment_on(log: RoomLog, redis: Redis) -> None:
    control = RoomControl(redis)

    async def outcome(number: int, text: str) -> Outcome:
        return (await log.append(ROOM, [_message(number, text)]))[0].outcome

    assert await outcome(1, "fish") is Outcome.APPENDED
    await control.configure(ROOM, Change(blocked_terms=["fish"]))
    assert await outcome(2, "fish") is Outcome.BLOCKED
    await control.configure(ROOM, Change(blocked_terms=["fowl"]))
    assert [await outcome(3, "fish"), await outcome(4, "fowl")] == [Outcome.APPENDED, Outcome.BLOCKED]
    await redis.flushall()
    assert await outcome(5, "fowl") is Outcome.APPENDED


async def test_appending_nothing_asks_nobody(log: RoomLog, redis: Redis) -> None:
    assert await log.append(ROOM, []) == []
    assert await redis.keys("*") == []


async def test_deleted_messages_are_left_out_of_a_resume(log: RoomLog, redis: Redis) -> None:
    results = await log.append(ROOM, [_message(n) for n in range(3)])
    epoch = (await log.resume(ROOM)).epoch
    assert await RoomControl(redis).delete(ROOM, results[1].value) is not None
    shown = [results[0].value, results[2].value]
    for position in (await log.resume(ROOM), await log.resume(ROOM, epoch, results[0].value - 1)):
        assert [offset for offset, _ in position.entries][:2] == shown


async def test_budgets_that_are_full_again_take_no_room(log: RoomLog, redis: Redis) -> None:
    await log.append(ROOM, [_message(n, sender=f"p{n}", per_second=50) for n in range(100)])
    await asyncio.sleep(0.05)
    await log.append(ROOM, [_message(0, sender="q", per_second=50)])
    assert await redis.zcard(f"room:{{{ROOM}}}:rates") == 1


async def test_a_lost_log_has_a_new_epoch_and_says_so(log: RoomLog, redis: Redis) -> None:
    (old,) = await log.append(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    await redis.flushall()
    (new,) = await log.append(ROOM, [_message(2)])
    position = await log.resume(ROOM, epoch, old.value)
    assert position.gap == "epoch"
    assert position.epoch != epoch
    assert [offset for offset, _ in position.entries] == [new.value]


async def test_a_log_that_alone_was_lost_has_a_new_epoch_too(log: RoomLog, redis: Redis) -> None:
    await log.append(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    await redis.delete(log_key(ROOM))
    assert (await log.resume(ROOM, epoch, 1)).gap == "epoch"


async def test_an_empty_room_keeps_its_epoch(log: RoomLog) -> None:
    before = await log.resume(ROOM)
    assert (await log.resume(ROOM, before.epoch, before.offset)).gap == ""


async def test_scripts_survive_a_script_flush(log: RoomLog, redis: Redis) -> None:
    await log.append(ROOM, [_message(1)])
    await redis.script_flush()
    (result,) = await log.append(ROOM, [_message(2)])
    assert result.outcome is Outcome.APPENDED


async def test_concurrent_appends_of_many_processes_lose_and_double_nothing(state: LocalStack, redis: Redis) -> None:
    clients = [connect_redis(state.redis_url) for _ in range(4)]

    async def append(client: Redis, sender: str) -> list[int]:
        room_log = RoomLog(client)
        found: list[int] = []
        for start in range(0, 200, 20):
            batch = [_message(n, sender=sender) for n in range(start, start + 20)]
            found += [result.value for result in await room_log.append(ROOM, batch)]
        return found

    offsets = await asyncio.gather(*(append(client, f"p{n}") for n, client in enumerate(clients)))
    await asyncio.gather(*(client.aclose() for client in clients))
    entries = (await RoomLog(redis).resume(ROOM, (await RoomLog(redis).resume(ROOM)).epoch, 0)).entries
    assert sorted(itertools.chain(*offsets)) == [offset for offset, _ in entries]
    assert len(entries) == 800


async def test_a_stream_is_live_from_started_to_ended(log: RoomLog) -> None:
    assert await log.live(ROOM) is None
    started = await log.stream_started(ROOM, session="w1-a", worker="w1", name="Ana")
    assert started is not None
    assert await log.stream_started(ROOM, session="w1-a", worker="w1", name="Ana") is None
    live = await log.live(ROOM)
    assert live is not None
    assert (live.session, live.worker, live.name) == ("w1-a", "w1", "Ana")
    assert (await log.resume(ROOM)).live_session == "w1-a"
    ended = await log.stream_ended(ROOM, session="w1-a", reason="left")
    assert ended is not None
    assert await log.live(ROOM) is None
    events = [decode_event(event) for _, event in (await log.resume(ROOM)).entries]
    assert events == [StreamStarted("w1-a", "Ana"), StreamEnded("w1-a", "left")]


async def test_the_end_of_a_replaced_stream_leaves_the_new_one_live(log: RoomLog) -> None:
    await log.stream_started(ROOM, session="w1-a", worker="w1", name="Ana")
    await log.stream_started(ROOM, session="w1-b", worker="w1", name="Ana")
    assert await log.stream_ended(ROOM, session="w1-a", reason="lost") is None
    live = await log.live(ROOM)
    assert live is not None
    assert live.session == "w1-b"


async def test_all_keys_of_a_room_expire_and_share_a_slot(log: RoomLog, redis: Redis) -> None:
    control = RoomControl(redis)
    await control.configure(ROOM, Change(slow_mode_s=1))
    appended: list[Appended] = await log.append(ROOM, [_message(1), _gift(2)])
    await control.ban(ROOM, "p3")
    await control.delete(ROOM, appended[0].value)
    await log.stream_started(ROOM, session="w1-a", worker="w1", name="Ana")
    found: list[Any] = await redis.keys("*")
    keys = [key for key in found if not key.startswith(b"news:")]
    names = {key.rsplit(b":", 1)[1].decode() for key in keys}
    assert names == {"log", "info", "settings", "bans", "seen", "gifts", "rates", "slow", "live", "deleted"}
    for key in keys:
        assert await redis.ttl(key) > 0
        assert b"{" + ROOM.encode() + b"}" in key
