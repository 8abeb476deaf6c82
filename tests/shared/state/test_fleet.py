import asyncio

import msgspec
import pytest
from redis.asyncio import Redis

from shared.state.fleet import Fleet, NoWorkerAvailable, Worker

IDLE = Worker(
    id="w1", url="http://127.0.0.1:1", capacity_pps=50_000, load_pps=0, publishers=0, subscribers=0, draining=False
)


def _worker(worker_id: str, **changes: object) -> Worker:
    return msgspec.structs.replace(IDLE, id=worker_id, **changes)


async def test_two_rooms_land_on_two_different_idle_workers(redis: Redis) -> None:
    fleet = Fleet(redis)
    for _ in range(20):
        await redis.flushall()
        for worker_id in ("w1", "w2"):
            await fleet.renew(_worker(worker_id))
        chosen = {(await fleet.place("room-a")).id, (await fleet.place("room-b")).id}
        assert chosen == {"w1", "w2"}


async def test_a_room_stays_with_its_worker(redis: Redis) -> None:
    fleet = Fleet(redis)
    for worker_id in ("w1", "w2", "w3"):
        await fleet.renew(_worker(worker_id))
    first = await fleet.place("room-a")
    assert {(await fleet.place("room-a")).id for _ in range(10)} == {first.id}


async def test_a_worker_that_was_reported_busy_is_passed_over(redis: Redis) -> None:
    fleet = Fleet(redis)
    await fleet.renew(_worker("w1", load_pps=40_000, publishers=3))
    await fleet.renew(_worker("w2"))
    for number in range(5):
        await fleet.renew(_worker("w2"))
        assert (await fleet.place(f"room-{number}")).id == "w2"


@pytest.mark.parametrize("change", [{"draining": True}, {"load_pps": 50_000}])
async def test_a_worker_that_drains_or_is_full_gets_no_room(redis: Redis, change: dict[str, object]) -> None:
    fleet = Fleet(redis)
    await fleet.renew(_worker("w1", **change))
    with pytest.raises(NoWorkerAvailable):
        await fleet.place("room-a")


async def test_a_burst_between_two_reports_is_spread(redis: Redis) -> None:
    fleet = Fleet(redis)
    for worker_id in ("w1", "w2"):
        await fleet.renew(_worker(worker_id))
    chosen = [(await fleet.place(f"room-{number}")).id for number in range(20)]
    assert chosen.count("w1") == chosen.count("w2") == 10


async def test_a_worker_disappears_when_its_lease_ends(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(redis)
    monkeypatch.setattr("shared.state.fleet.LEASE_MS", 50)
    await fleet.renew(_worker("w1"))
    first = await fleet.place("room-a")
    await asyncio.sleep(0.1)
    assert await fleet.workers() == []
    assert await fleet.find("w1") is None
    await fleet.renew(_worker("w2"))
    assert first.id == "w1"
    assert (await fleet.place("room-a")).id == "w2"


async def test_a_worker_that_withdraws_is_gone_at_once(redis: Redis) -> None:
    fleet = Fleet(redis)
    await fleet.renew(_worker("w1"))
    await fleet.withdraw("w1")
    assert await fleet.workers() == []
