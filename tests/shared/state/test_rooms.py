import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from shared.protocol.messages import ChatEvent, StreamEnded, StreamStarted, decode_event
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.rooms import HISTORY_EVENTS, RECENT_EVENTS, ChatMessage, Outcome, RoomLog, log_key

ROOM = "abcdefghjk"


@pytest_asyncio.fixture
async def log(redis: Redis) -> RoomLog:
    return RoomLog(redis)


@pytest_asyncio.fixture
async def other_log(state: LocalStack) -> AsyncIterator[RoomLog]:
    client = connect_redis(state.redis_url)
    yield RoomLog(client)
    await client.aclose()


def _message(number: int, text: str = "hello", *, sender: str = "p1", per_second: int = 1_000_000) -> ChatMessage:
    return ChatMessage(sender, "Ana", number, text, per_second)


async def test_a_batch_is_appended_in_order_with_rising_offsets(log: RoomLog) -> None:
    results = await log.append_chat(ROOM, [_message(n, f"m{n}") for n in range(50)])
    offsets = [result.value for result in results]
    assert {result.outcome for result in results} == {Outcome.APPENDED}
    assert offsets == sorted(set(offsets))
    entries = (await log.resume(ROOM)).entries
    assert [offset for offset, _ in entries] == offsets
    assert [decode_event(event) for _, event in entries] == [ChatEvent("p1", "Ana", n, f"m{n}") for n in range(50)]


async def test_the_same_message_id_is_appended_once_and_answered_alike(log: RoomLog, other_log: RoomLog) -> None:
    (first,) = await log.append_chat(ROOM, [_message(7)])
    again, within = await other_log.append_chat(ROOM, [_message(7), _message(7)])
    assert again == within == (Outcome.DUPLICATE, first.value)
    assert len((await log.resume(ROOM)).entries) == 1


async def test_the_same_number_from_another_sender_is_another_message(log: RoomLog) -> None:
    results = await log.append_chat(ROOM, [_message(7, sender="p1"), _message(7, sender="p2")])
    assert [result.outcome for result in results] == [Outcome.APPENDED, Outcome.APPENDED]


async def test_the_rate_limit_holds_over_all_processes(log: RoomLog, other_log: RoomLog) -> None:
    results = await log.append_chat(ROOM, [_message(n, per_second=2) for n in range(3)])
    results += await other_log.append_chat(ROOM, [_message(n, per_second=2) for n in range(3, 6)])
    outcomes = [result.outcome for result in results]
    assert outcomes == [Outcome.APPENDED] * 4 + [Outcome.TOO_FAST] * 2
    assert 0 < results[-1].value <= 500
    (other,) = await other_log.append_chat(ROOM, [_message(9, sender="p2", per_second=2)])
    assert other.outcome is Outcome.APPENDED


async def test_whoever_waits_as_told_may_go_on(log: RoomLog) -> None:
    results = await log.append_chat(ROOM, [_message(n, per_second=20) for n in range(41)])
    assert results[-1].outcome is Outcome.TOO_FAST
    await asyncio.sleep(results[-1].value / 1000)
    (later,) = await log.append_chat(ROOM, [_message(41, per_second=20)])
    assert later.outcome is Outcome.APPENDED


async def test_a_resume_gets_exactly_what_came_after_the_offset(log: RoomLog) -> None:
    results = await log.append_chat(ROOM, [_message(n) for n in range(10)])
    start = await log.resume(ROOM)
    position = await log.resume(ROOM, start.epoch, results[3].value)
    assert position.gap == ""
    assert [offset for offset, _ in position.entries] == [result.value for result in results[4:]]
    assert (await log.resume(ROOM, start.epoch, results[-1].value)).entries == []


async def test_a_fresh_join_gets_the_recent_events_only(log: RoomLog) -> None:
    results = await log.append_chat(ROOM, [_message(n) for n in range(RECENT_EVENTS + 20)])
    position = await log.resume(ROOM)
    assert [offset for offset, _ in position.entries] == [result.value for result in results[20:]]


async def test_trimmed_history_is_an_announced_gap(log: RoomLog) -> None:
    (first,) = await log.append_chat(ROOM, [_message(0)])
    epoch = (await log.resume(ROOM)).epoch
    for batch in range(5):
        await log.append_chat(ROOM, [_message(1 + batch * 500 + n) for n in range(500)])
    position = await log.resume(ROOM, epoch, first.value)
    assert position.gap == "trimmed"
    assert HISTORY_EVENTS <= len(position.entries) < HISTORY_EVENTS + 500
    assert (await log.resume(ROOM, epoch, position.entries[0][0])).gap == ""


async def test_a_lost_log_has_a_new_epoch_and_says_so(log: RoomLog, redis: Redis) -> None:
    (old,) = await log.append_chat(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    await redis.flushall()
    (new,) = await log.append_chat(ROOM, [_message(2)])
    position = await log.resume(ROOM, epoch, old.value)
    assert position.gap == "epoch"
    assert position.epoch != epoch
    assert [offset for offset, _ in position.entries] == [new.value]


async def test_a_log_that_alone_was_lost_has_a_new_epoch_too(log: RoomLog, redis: Redis) -> None:
    await log.append_chat(ROOM, [_message(1)])
    epoch = (await log.resume(ROOM)).epoch
    await redis.delete(log_key(ROOM))
    assert (await log.resume(ROOM, epoch, 1)).gap == "epoch"


async def test_an_empty_room_keeps_its_epoch(log: RoomLog) -> None:
    before = await log.resume(ROOM)
    assert (await log.resume(ROOM, before.epoch, before.offset)).gap == ""


async def test_scripts_survive_a_script_flush(log: RoomLog, redis: Redis) -> None:
    await log.append_chat(ROOM, [_message(1)])
    await redis.script_flush()
    (result,) = await log.append_chat(ROOM, [_message(2)])
    assert result.outcome is Outcome.APPENDED


async def test_concurrent_appends_of_many_processes_lose_and_double_nothing(state: LocalStack, redis: Redis) -> None:
    clients = [connect_redis(state.redis_url) for _ in range(4)]

    async def append(client: Redis, sender: str) -> list[int]:
        room_log = RoomLog(client)
        found: list[int] = []
        for start in range(0, 200, 20):
            batch = [_message(n, sender=sender) for n in range(start, start + 20)]
            found += [result.value for result in await room_log.append_chat(ROOM, batch)]
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


async def test_viewers_are_summed_over_processes_and_expire_with_them(
    log: RoomLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.presence(ROOM, instance="f1", count=3)
    assert (await log.presence(ROOM, instance="f2", count=4)).viewers == 7
    assert (await log.presence(ROOM, instance="f1", count=1)).viewers == 5
    assert await log.viewers(ROOM) == 5
    assert (await log.presence(ROOM, instance="f2", count=0)).viewers == 1
    monkeypatch.setattr("shared.state.rooms.PRESENCE_LIFETIME_MS", 50)
    await log.presence(ROOM, instance="f1", count=9)
    await asyncio.sleep(0.1)
    assert await log.viewers(ROOM) == 0


async def test_all_keys_of_a_room_expire_and_share_a_slot(log: RoomLog, redis: Redis) -> None:
    await log.append_chat(ROOM, [_message(1)])
    await log.stream_started(ROOM, session="w1-a", worker="w1", name="Ana")
    await log.presence(ROOM, instance="f1", count=1)
    keys = await redis.keys("*")
    assert len(keys) == 6
    for key in keys:
        assert await redis.ttl(key) > 0
        assert b"{" + ROOM.encode() + b"}" in key
