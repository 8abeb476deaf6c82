import time

import pytest
from redis.asyncio import Redis

from shared.protocol.messages import ChatEvent, Deleted, Sanction, SettingsChanged, StreamStarted, decode_event
from shared.state.control import BAN, LIFT, TIME_OUT, Change, RoomControl, Settings, SettingsRefused
from shared.state.rooms import Bounds, Outcome, RoomLog, Submission

ROOM = "abcdefghjk"


async def _events(redis: Redis) -> list[object]:
    return [decode_event(raw) for _, raw in (await RoomLog(redis).page(ROOM, limit=100)).entries]


async def _say(redis: Redis, number: int, sender: str = "p1") -> tuple[Outcome, int]:
    (result,) = await RoomLog(redis).append(ROOM, [Submission(ChatEvent(sender, "Ana", number, "hi"), 1000)])
    return result


async def test_sanctions_are_in_the_log_with_when_they_end(redis: Redis) -> None:
    control = RoomControl(redis)
    name = "p" * 64
    timed_out = await control.time_out(ROOM, name, 60)
    banned = await control.ban(ROOM, "p2")
    lifted = await control.lift(ROOM, name)
    assert abs(timed_out.until_ms - (time.time() + 60) * 1000) < 2000
    assert lifted is not None
    assert (banned.until_ms, lifted.until_ms) == (0, 0)
    assert timed_out.offset < banned.offset < lifted.offset
    assert await _events(redis) == [
        Sanction(name, TIME_OUT, timed_out.until_ms),
        Sanction("p2", BAN, 0),
        Sanction(name, LIFT, 0),
    ]
    assert await control.lift(ROOM, name) is None


async def test_a_message_is_deleted_once(redis: Redis) -> None:
    control = RoomControl(redis)
    _, offset = await _say(redis, 1)
    assert await control.delete(ROOM, offset) is not None
    assert await control.delete(ROOM, offset) is None
    assert await _events(redis) == [ChatEvent("p1", "Ana", 1, "hi"), Deleted(offset)]


async def test_only_what_somebody_said_can_be_deleted(redis: Redis) -> None:
    control, log = RoomControl(redis), RoomLog(redis)
    _, offset = await _say(redis, 1)
    started = await log.stream_started(ROOM, session="w1-a", worker="w1", name="Ana")
    assert started is not None
    for wrong in (started, offset - 1, offset + 1, started + 10**9, 0):
        assert await control.delete(ROOM, wrong) is None
    assert await _events(redis) == [ChatEvent("p1", "Ana", 1, "hi"), StreamStarted("w1-a", "Ana")]


async def test_a_message_that_only_the_archive_has_can_be_deleted(redis: Redis) -> None:
    bounds = Bounds(events=10, held=0)
    log = RoomLog(redis, bounds)
    submissions = [Submission(ChatEvent("p1", "Ana", n, "hi"), 1_000_000) for n in range(200)]
    first = (await log.append(ROOM, submissions))[0]
    assert (await log.page(ROOM, limit=1)).entries[0][0] > first.value
    assert await RoomControl(redis, bounds).delete(ROOM, first.value) is not None


async def test_settings_change_one_by_one_and_the_log_has_all_that_are_public(redis: Redis) -> None:
    control = RoomControl(redis)
    assert await control.settings(ROOM) == Settings()
    assert await control.configure(ROOM, Change(title="Späti", category="music")) is not None
    offset = await control.configure(ROOM, Change(slow_mode_s=5, waiting_room=True, blocked_terms=["B", "a", "b"]))
    assert await control.configure(ROOM, Change(slow_mode_s=5)) is None
    assert await control.configure(ROOM, Change()) is None
    assert await control.settings(ROOM) == Settings(
        title="Späti",
        category="music",
        slow_mode_s=5,
        waiting_room=True,
        blocked_terms=("a", "b"),
        offset=offset or 0,
    )
    assert await _events(redis) == [
        SettingsChanged("Späti", "music", 0, waiting_room=False),
        SettingsChanged("Späti", "music", 5, waiting_room=True),
    ]


@pytest.mark.parametrize(
    "change",
    [
        Change(slow_mode_s=601),
        Change(slow_mode_s=-1),
        Change(blocked_terms=[str(n) for n in range(101)]),
        Change(title="x", blocked_terms=["y" * 65]),
    ],
)
async def test_settings_out_of_bounds_change_nothing(redis: Redis, change: Change) -> None:
    with pytest.raises(SettingsRefused):
        await RoomControl(redis).configure(ROOM, change)
    assert await redis.keys("*") == []


async def test_what_mongodb_kept_comes_back_once_and_never_over_something_newer(redis: Redis) -> None:
    control = RoomControl(redis)
    await control.configure(ROOM, Change(title="Newer"))
    await control.lift(ROOM, "p9")
    kept = Settings(title="Older", category="talk", slow_mode_s=9, blocked_terms=("fish",))
    later = int(time.time() * 1000) + 60_000
    assert await control.restore(ROOM, kept, {"p1": 0, "p2": later})
    assert not await control.restore(ROOM, Settings(title="again"), {})
    settings = await control.settings(ROOM)
    assert (settings.title, settings.category, settings.slow_mode_s) == ("Newer", "talk", 9)
    assert settings.restored
    outcomes = [(await _say(redis, n, sender))[0] for n, sender in enumerate(["p1", "p2", "p3"])]
    assert outcomes == [Outcome.BANNED, Outcome.BANNED, Outcome.APPENDED]
    submission = Submission(ChatEvent("p4", "Bo", 1, "FISH"), 10)
    assert (await RoomLog(redis).append(ROOM, [submission]))[0].outcome is Outcome.BLOCKED
