import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.protocol.messages import ChatEvent
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.control import Change, RoomControl
from shared.state.presence import Attendance, Entered, Entrance, Person, Seat, viewers_of
from shared.state.rooms import RoomLog, Submission
from shared.state.waiting import Knock, Knocks, WaitingRoom

ROOM = "abcdefghjk"


@pytest.fixture
def one(redis: Redis) -> Attendance:
    return Attendance(redis, "f1:a")


@pytest_asyncio.fixture
async def other_redis(state: LocalStack) -> AsyncIterator[Redis]:
    client = connect_redis(state.redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def two(other_redis: Redis) -> Attendance:
    return Attendance(other_redis, "f2:b")


def _viewer(number: int, *, connection: str = "") -> Seat:
    return Seat(connection or f"c{number}", f"p{number}", f"Nr {number}", "viewer", watches=True)


HOST = Seat("host", "owner", "Ana", "streamer", watches=False, moderates=True)


async def test_viewers_are_counted_over_processes_and_hosts_are_not(one: Attendance, two: Attendance) -> None:
    for number in range(3):
        await one.enter(ROOM, _viewer(number))
    await two.enter(ROOM, HOST)
    assert await two.enter(ROOM, _viewer(3)) == Entered(Entrance.SEATED, 4)
    one.leave(ROOM, "c1")
    one.leave(ROOM, "c1")
    assert (await one.refresh(ROOM)).viewers == 3
    assert (await two.refresh(ROOM)).viewers == 3


async def test_connections_are_counted_over_processes_and_hosts_and_second_tabs_are(
    one: Attendance, two: Attendance
) -> None:
    await one.enter(ROOM, _viewer(1, connection="tab-1"))
    await two.enter(ROOM, _viewer(1, connection="tab-2"))
    await two.enter(ROOM, HOST)
    assert (await one.refresh(ROOM)).connections == 3
    two.leave(ROOM, "tab-2")
    assert (await two.refresh(ROOM)).connections == 2
    assert (await one.refresh(ROOM)).connections == 2


async def test_a_person_with_two_connections_is_one_viewer_until_both_are_gone(
    one: Attendance, two: Attendance
) -> None:
    await one.enter(ROOM, _viewer(1, connection="tab-1"))
    await two.enter(ROOM, _viewer(1, connection="tab-2"))
    one.leave(ROOM, "tab-1")
    assert (await one.refresh(ROOM)).viewers == 1
    two.leave(ROOM, "tab-2")
    assert (await two.refresh(ROOM)).viewers == 0
    assert one.rooms() == two.rooms() == []


async def test_a_process_that_dies_takes_its_viewers_along_and_nobody_elses(
    redis: Redis, one: Attendance, two: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.presence.LEASE_MS", 150)
    await one.enter(ROOM, _viewer(1))
    await one.enter(ROOM, _viewer(2, connection="old"))
    await two.enter(ROOM, _viewer(2, connection="new"))
    await two.enter(ROOM, _viewer(3))
    for _ in range(4):
        await asyncio.sleep(0.06)
        await two.refresh(ROOM)
    assert (await two.refresh(ROOM)).viewers == 2
    assert await viewers_of(redis, ROOM) == 2


async def test_a_process_that_reports_late_gets_its_viewers_back(
    one: Attendance, two: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.presence.LEASE_MS", 100)
    await one.enter(ROOM, _viewer(1))
    await one.enter(ROOM, HOST)
    await two.enter(ROOM, _viewer(2))
    await asyncio.sleep(0.15)
    assert (await two.refresh(ROOM)).viewers == 1
    assert (await one.refresh(ROOM)).viewers == 2
    assert (await one.people(ROOM)).total == 3


async def test_seats_that_redis_lost_are_taken_again(redis: Redis, one: Attendance) -> None:
    await one.enter(ROOM, _viewer(1))
    await one.enter(ROOM, _viewer(2))
    await redis.flushall()
    assert (await one.refresh(ROOM)).viewers == 2


async def test_an_answer_that_was_lost_leaves_no_ghost(redis: Redis, one: Attendance) -> None:
    await one.enter(ROOM, _viewer(1))
    # Another connection of the same process, of which only Redis heard.
    await Attendance(redis, "f1:a").enter(ROOM, _viewer(2))
    assert await viewers_of(redis, ROOM) == 2
    assert (await one.refresh(ROOM)).viewers == 1


async def test_a_full_room_says_so_and_the_last_place_is_given_once(redis: Redis, other_redis: Redis) -> None:
    processes = [Attendance(client, f"f{n}", capacity=50) for n, client in enumerate((redis, other_redis, redis))]
    outcomes = await asyncio.gather(*(processes[n % 3].enter(ROOM, _viewer(n)) for n in range(90)))
    assert [outcome.outcome for outcome in outcomes].count(Entrance.SEATED) == 50
    assert [outcome.outcome for outcome in outcomes].count(Entrance.FULL) == 40
    assert (await processes[0].refresh(ROOM)).viewers == 50
    # The host always finds a place, and so does somebody who comes back through another process.
    assert (await processes[0].enter(ROOM, HOST)).outcome is Entrance.SEATED
    seated = next(n for n, outcome in enumerate(outcomes) if outcome.outcome is Entrance.SEATED)
    again = await processes[(seated + 1) % 3].enter(ROOM, _viewer(seated, connection="again"))
    assert again == Entered(Entrance.SEATED, 50)
    processes[(seated + 1) % 3].leave(ROOM, "again")
    processes[seated % 3].leave(ROOM, f"c{seated}")
    for process in processes:
        await process.refresh(ROOM)
    late = next(n for n, outcome in enumerate(outcomes) if outcome.outcome is Entrance.FULL)
    assert (await processes[0].enter(ROOM, _viewer(late))).outcome is Entrance.SEATED


async def test_peak_visitors_and_messages_are_the_rooms_own(redis: Redis, one: Attendance) -> None:
    for number in range(20):
        await one.enter(ROOM, _viewer(number))
    for number in range(15):
        one.leave(ROOM, f"c{number}")
    await one.refresh(ROOM)
    await one.enter(ROOM, _viewer(3, connection="back"))
    (sent,) = await RoomLog(redis).append(ROOM, [Submission(ChatEvent("p3", "Bo", 1, "hi"), 5)])
    audience = await one.refresh(ROOM)
    assert (audience.viewers, audience.peak, audience.visitors, audience.messages) == (6, 20, 20, 1)
    assert (audience.epoch, audience.offset) == ((await RoomLog(redis).resume(ROOM)).epoch, sent.value)


async def test_the_sample_has_hosts_first_and_at_most_fifty(one: Attendance) -> None:
    await one.enter(ROOM, HOST)
    for number in range(60):
        await one.enter(ROOM, _viewer(number))
    people = await one.people(ROOM)
    assert people.total == 61
    assert people.sample[0] == Person("owner", "Ana", "streamer")
    assert len(people.sample) == len({person.participant for person in people.sample}) == 50
    assert {person.role for person in people.sample[1:]} == {"viewer"}


async def test_who_leaves_while_redis_is_away_is_handed_in_later(
    one: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.enter(ROOM, _viewer(1))
    await one.enter(ROOM, _viewer(2))
    one.leave(ROOM, "c1")

    async def away(**_: object) -> None:
        raise RedisError

    with monkeypatch.context() as broken:
        broken.setattr(one, "_refresh", away)
        with pytest.raises(RedisError):
            await one.refresh(ROOM)
    assert (await one.refresh(ROOM)).viewers == 1


async def test_the_banned_stay_outside_and_the_timed_out_do_not(redis: Redis, one: Attendance) -> None:
    control = RoomControl(redis)
    await control.ban(ROOM, "p1")
    await control.time_out(ROOM, "p2", 60)
    assert await one.enter(ROOM, _viewer(1)) == Entered(Entrance.BANNED, 0)
    assert (await one.enter(ROOM, _viewer(2))).outcome is Entrance.SEATED
    await control.lift(ROOM, "p1")
    assert (await one.enter(ROOM, _viewer(1))).outcome is Entrance.SEATED


async def test_whoever_waits_is_let_in_by_name_or_all_at_once(redis: Redis, one: Attendance, two: Attendance) -> None:
    await RoomControl(redis).configure(ROOM, Change(waiting_room=True))
    door = WaitingRoom(redis)
    assert (await one.enter(ROOM, HOST)).outcome is Entrance.SEATED
    assert await one.enter(ROOM, _viewer(1)) == Entered(Entrance.KNOCKED, 1)
    assert await two.enter(ROOM, _viewer(2)) == Entered(Entrance.KNOCKED, 2)
    assert await two.enter(ROOM, _viewer(3)) == Entered(Entrance.KNOCKED, 3)
    assert await two.enter(ROOM, _viewer(2)) == Entered(Entrance.WAITING, 2)
    assert await door.knocks(ROOM) == Knocks(3, [Knock(f"p{n}", f"Nr {n}") for n in (1, 2, 3)])
    audience = await one.refresh(ROOM)
    assert (audience.viewers, audience.waiting) == (0, 3)
    assert await door.admit(ROOM, "p2") == ["p2"]
    assert await door.admit(ROOM, "nobody") == []
    assert (await two.enter(ROOM, _viewer(2))).outcome is Entrance.SEATED
    assert await one.enter(ROOM, _viewer(1)) == Entered(Entrance.WAITING, 1)
    assert await door.admit(ROOM) == ["p1", "p3"]
    assert (await one.enter(ROOM, _viewer(1))).outcome is Entrance.SEATED
    two.leave(ROOM, "c2")
    await two.refresh(ROOM)
    # An approval is remembered.
    assert (await one.enter(ROOM, _viewer(2))).outcome is Entrance.SEATED


async def test_whoever_is_rejected_may_not_knock_again_at_once(
    redis: Redis, one: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.waiting.REJECTION_MS", 100)
    await RoomControl(redis).configure(ROOM, Change(waiting_room=True))
    await one.enter(ROOM, _viewer(1))
    assert await WaitingRoom(redis).reject(ROOM) == ["p1"]
    outcome, wait = await one.enter(ROOM, _viewer(1))
    assert outcome is Entrance.REJECTED
    assert 0 < wait <= 100
    await asyncio.sleep(wait / 1000)
    assert (await one.enter(ROOM, _viewer(1))).outcome is Entrance.KNOCKED


async def test_a_knock_ends_when_cancelled_and_when_nobody_renews_it(
    redis: Redis, one: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.presence.KNOCK_LAPSE_MS", 80)
    door = WaitingRoom(redis)
    await RoomControl(redis).configure(ROOM, Change(waiting_room=True))
    for number in (1, 2, 3):
        await one.enter(ROOM, _viewer(number))
    await door.cancel(ROOM, "p1")
    assert [knock.participant for knock in (await door.knocks(ROOM)).first] == ["p2", "p3"]
    await asyncio.sleep(0.05)
    await one.enter(ROOM, _viewer(3))
    await asyncio.sleep(0.05)
    assert (await one.refresh(ROOM)).waiting == 1
    assert (await door.knocks(ROOM)).first == [Knock("p3", "Nr 3")]


@pytest.mark.parametrize("change", [Change(auto_accept=True), Change(waiting_room=False)])
async def test_opening_the_door_lets_in_who_waits(redis: Redis, one: Attendance, change: Change) -> None:
    control = RoomControl(redis)
    await control.configure(ROOM, Change(waiting_room=True))
    await one.enter(ROOM, _viewer(1))
    await control.configure(ROOM, change)
    assert (await one.enter(ROOM, _viewer(1))).outcome is Entrance.SEATED
    assert (await WaitingRoom(redis).knocks(ROOM)).total == 0
