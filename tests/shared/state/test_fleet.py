import asyncio

import msgspec
import pytest
from redis.asyncio import Redis

from shared.placement.records import Reason
from shared.state.fleet import (
    LEASE_MS,
    SETUP_MS,
    Drain,
    Fleet,
    Lease,
    Move,
    NoOrigin,
    NoWorkerAvailable,
    Report,
    Superseded,
    Worker,
)

IDLE = Worker(
    id="w1",
    url="http://127.0.0.1:1",
    capacity_pps=50_000,
    load_pps=0,
    publishers=0,
    subscribers=0,
    draining=False,
    boot="first",
    relays=True,
)
SECOND = 1_000_000


class Clock:
    """Time that a test sets, in µs."""

    def __init__(self) -> None:
        self.now = 1_764_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        self.now += ms * 1000


def _worker(worker_id: str, **changes: object) -> Worker:
    return msgspec.structs.replace(IDLE, id=worker_id, **changes)


async def _register(fleet: Fleet, *worker_ids: str, **changes: object) -> None:
    for worker_id in worker_ids:
        await fleet.renew(_worker(worker_id, **changes))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(redis: Redis, clock: Clock) -> Fleet:
    return Fleet(redis, clock=clock)


async def test_two_rooms_land_on_two_different_idle_workers(redis: Redis) -> None:
    for _ in range(20):
        await redis.flushall()
        fleet = Fleet(redis)
        await _register(fleet, "w1", "w2")
        chosen = {(await fleet.acquire_origin(room)).worker.id for room in ("room-a", "room-b")}
        assert chosen == {"w1", "w2"}


async def test_a_room_stays_with_its_worker_under_one_token(fleet: Fleet) -> None:
    await _register(fleet, "w1", "w2", "w3")
    first = await fleet.acquire_origin("room-a")
    assert [await fleet.acquire_origin("room-a") for _ in range(10)] == [first] * 10
    assert await fleet.origin("room-a") == first


async def test_a_worker_that_was_reported_busy_is_passed_over(fleet: Fleet) -> None:
    await _register(fleet, "w1", load_pps=40_000, publishers=3)
    for number in range(5):
        await _register(fleet, "w2")
        assert (await fleet.acquire_origin(f"room-{number}")).worker.id == "w2"


@pytest.mark.parametrize("change", [{"draining": True}, {"load_pps": 50_000}, {"expected_pps": 50_000}])
async def test_a_worker_that_drains_or_is_full_gets_no_room(fleet: Fleet, change: dict[str, object]) -> None:
    await _register(fleet, "w1", **change)
    with pytest.raises(NoWorkerAvailable, match="no SFU worker has capacity left"):
        await fleet.acquire_origin("room-a")


async def test_a_burst_between_two_reports_is_spread(fleet: Fleet) -> None:
    await _register(fleet, "w1", "w2")
    chosen = [(await fleet.acquire_origin(f"room-{number}")).worker.id for number in range(20)]
    assert chosen.count("w1") == chosen.count("w2") == 10


async def test_a_worker_disappears_when_its_lease_ends_and_its_room_goes_to_another(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, "w1")
    first = await fleet.acquire_origin("room-a")
    clock.advance(LEASE_MS + 1)
    assert await fleet.workers() == []
    assert await fleet.find("w1") is None
    assert await fleet.origin("room-a") is None
    await _register(fleet, "w2")
    second = await fleet.acquire_origin("room-a")
    assert (first.worker.id, second.worker.id) == ("w1", "w2")
    assert second.token > first.token


async def test_the_server_s_clock_counts_where_no_other_is_given(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.state.fleet.LEASE_MS", 50)
    fleet = Fleet(redis)
    await _register(fleet, "w1")
    assert (await fleet.find("w1")) == _worker("w1")
    while await fleet.workers():
        await asyncio.sleep(0.01)
    assert await fleet.find("w1") is None


async def test_a_worker_that_withdraws_is_gone_at_once(fleet: Fleet) -> None:
    await _register(fleet, "w1")
    await fleet.withdraw("w1")
    assert await fleet.workers() == []
    with pytest.raises(NoWorkerAvailable):
        await fleet.acquire_origin("room-a")


async def test_an_origin_that_nobody_renews_lapses_while_its_worker_lives(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, "w1")
    first = await fleet.acquire_origin("room-a")
    for _ in range(SETUP_MS // LEASE_MS + 1):
        clock.advance(LEASE_MS - 1)
        await _register(fleet, "w1")
    assert await fleet.origin("room-a") is None
    assert (await fleet.acquire_origin("room-a")).token > first.token


async def test_an_origin_that_is_renewed_stays(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, "w1")
    lease = await fleet.acquire_origin("room-a")
    for _ in range(10):
        clock.advance(LEASE_MS - 1)
        orders = await fleet.renew(_worker("w1"), [Report("room-a", lease.token, viewers=3)])
        assert orders.superseded == {}
    room = await fleet.room("room-a")
    assert (room.worker, room.token, room.held, room.viewers) == ("w1", lease.token, True, 3)
    assert await fleet.rooms() == ["room-a"]


async def test_a_process_started_again_has_nothing_of_the_one_before(fleet: Fleet) -> None:
    await _register(fleet, "w1")
    lease = await fleet.acquire_origin("room-a")
    await _register(fleet, "w1", boot="second")
    assert await fleet.origin("room-a") is None
    assert (await fleet.acquire_origin("room-a")).token > lease.token


async def test_who_lost_the_origin_is_told_so_and_does_not_get_it_back(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, "w1")
    old = await fleet.acquire_origin("room-a")
    clock.advance(LEASE_MS + 1)
    await _register(fleet, "w2")
    new = await fleet.acquire_origin("room-a")
    orders = await fleet.renew(_worker("w1"), [Report("room-a", old.token, viewers=3)])
    assert orders.superseded == {"room-a": new.token}
    assert await fleet.origin("room-a") == new


async def test_an_origin_that_was_taken_away_is_not_renewed(fleet: Fleet) -> None:
    await _register(fleet, "w1")
    lease = await fleet.acquire_origin("room-a")
    assert await fleet.release_origin("room-a", lease.token)
    assert not await fleet.release_origin("room-a", lease.token)
    orders = await fleet.renew(_worker("w1"), [Report("room-a", lease.token, viewers=0)])
    assert orders.superseded["room-a"] > lease.token
    assert await fleet.origin("room-a") is None


async def test_who_holds_an_origin_says_so_again_when_redis_has_lost_it(fleet: Fleet, redis: Redis) -> None:
    await _register(fleet, "w1")
    lease = await fleet.acquire_origin("room-a")
    await redis.flushall()
    orders = await fleet.renew(_worker("w1"), [Report("room-a", lease.token, viewers=3)])
    assert orders.superseded == {}
    assert await fleet.origin("room-a") == lease


async def test_a_draining_holder_loses_the_origin_to_the_next_publisher(fleet: Fleet) -> None:
    await _register(fleet, "w1")
    first = await fleet.acquire_origin("room-a")
    await _register(fleet, "w2")
    await fleet.drain("w1", Drain("ana", "kernel update", 1.0))
    assert (await fleet.origin("room-a")) == first
    assert (await fleet.acquire_origin("room-a")).worker.id == "w2"


async def test_a_handed_over_origin_has_a_new_token_and_the_old_one_hands_over_nothing(fleet: Fleet) -> None:
    await _register(fleet, "w1", "w2", "w3")
    first = await fleet.acquire_origin("room-a")
    others = [worker for worker in await fleet.workers() if worker.id != first.worker.id]
    second = await fleet.hand_over_origin("room-a", first.token, others[0])
    assert second == Lease("room-a", second.token, others[0])
    assert second.token > first.token
    with pytest.raises(Superseded):
        await fleet.hand_over_origin("room-a", first.token, others[1])
    await fleet.drain(others[1].id, Drain("ana", "", 1.0))
    with pytest.raises(NoWorkerAvailable, match="draining"):
        await fleet.hand_over_origin("room-a", second.token, others[1])


async def test_two_elections_at_once_give_one_origin(redis: Redis) -> None:
    fleets = [Fleet(redis) for _ in range(8)]
    await _register(fleets[0], "w1", "w2", "w3", "w4")
    leases = await asyncio.gather(*(fleet.acquire_origin("room-a") for fleet in fleets))
    assert len(set(leases)) == 1


async def test_viewers_of_a_small_room_stay_at_its_origin(fleet: Fleet) -> None:
    await _register(fleet, "w1", "w2", "w3")
    lease = await fleet.acquire_origin("room-a")
    for number in range(20):
        placement = await fleet.place_viewer("room-a", viewer=f"v{number}")
        assert (placement.worker, placement.parent) == (lease.worker, None)
        assert placement.reason is Reason.SERVES_ROOM
        assert placement.origin == lease


async def test_viewers_beyond_an_origin_s_share_go_to_edges_that_pull_from_it(fleet: Fleet, clock: Clock) -> None:
    small = {"capacity_pps": 7000, "joins_per_s": 1000}
    await _register(fleet, "w1", "w2", "w3", **small)
    lease = await fleet.acquire_origin("room-a")
    reasons: list[Reason] = []
    for _ in range(30):
        placement = await fleet.place_viewer("room-a")
        reasons.append(placement.reason)
        assert placement.parent in ({None, lease.worker})
        assert (placement.parent is None) == (placement.worker == lease.worker)
        clock.advance(10)
    assert reasons.count(Reason.NEW_EDGE) == 2
    edges = (await fleet.room("room-a")).edges
    assert {edge.parent for edge in edges} == {lease.worker.id}
    assert {edge.worker for edge in edges} | {lease.worker.id} == {"w1", "w2", "w3"}


async def test_no_edge_is_opened_on_a_worker_that_cannot_relay(fleet: Fleet) -> None:
    await _register(fleet, "w1", "w2", capacity_pps=2000, relays=False)
    lease = await fleet.acquire_origin("room-a")
    placed = [await fleet.place_viewer("room-a") for _ in range(3)]
    assert {placement.worker for placement in placed} == {lease.worker}
    with pytest.raises(NoWorkerAvailable, match="1 full"):
        await fleet.place_viewer("room-a")


async def test_a_room_that_outgrows_its_origin_s_egress_has_edges_of_edges(fleet: Fleet) -> None:
    await _register(fleet, *(f"w{number}" for number in range(9)), capacity_pps=3000, joins_per_s=1000)
    lease = await fleet.acquire_origin("room-a")
    placed = []
    for _ in range(30):
        try:
            placed.append(await fleet.place_viewer("room-a"))
        except NoWorkerAvailable:
            break
    parents = {placement.worker.id: placement.parent for placement in placed}
    deep = {worker for worker, parent in parents.items() if parent and parent != lease.worker}
    assert deep
    assert all(edge.parent == lease.worker.id for edge in (await fleet.room("room-a")).edges if edge.worker not in deep)
    books = await fleet.books([f"w{number}" for number in range(9)])
    assert all(book.base_pps + book.reserved_pps <= book.capacity_pps for book in books.values())


async def test_an_edge_stays_known_while_it_reports_and_hears_of_a_new_origin(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, "w1", "w2")
    lease = await fleet.acquire_origin("room-a")
    edge = "w2" if lease.worker.id == "w1" else "w1"
    report = Report("room-a", lease.token, viewers=7, parent=lease.worker.id)
    orders = await fleet.renew(_worker(edge), [report])
    assert orders.superseded == {}
    (known,) = (await fleet.room("room-a")).edges
    assert (known.worker, known.parent, known.viewers) == (edge, lease.worker.id, 7)
    await fleet.release_origin("room-a", lease.token)
    await fleet.drain(lease.worker.id, Drain("ana", "", 1.0))
    new = await fleet.acquire_origin("room-a")
    assert new.worker.id == edge
    assert (await fleet.room("room-a")).edges == ()
    assert (await fleet.renew(_worker(edge), [report])).superseded == {"room-a": new.token}
    clock.advance(LEASE_MS + 1)
    assert (await fleet.room("room-a")).edges == ()


async def test_the_nearest_zone_comes_first_and_farther_ones_when_it_is_full(fleet: Fleet) -> None:
    await fleet.renew(_worker("near", zone="eu/eu-a", capacity_pps=1000))
    await fleet.renew(_worker("beside", zone="eu/eu-b", capacity_pps=1000))
    await fleet.renew(_worker("far", zone="us/us-a", capacity_pps=1000))
    chosen = [(await fleet.acquire_origin(f"room-{number}", "eu/eu-a")).worker.id for number in range(6)]
    assert chosen == ["near", "near", "beside", "beside", "far", "far"]


async def test_joins_of_a_second_are_bounded_and_the_next_second_takes_more(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, "w1", joins_per_s=3, relays=False)
    await fleet.acquire_origin("room-a")
    for _ in range(2):
        await fleet.place_viewer("room-a")
    with pytest.raises(NoWorkerAvailable, match="1 burst"):
        await fleet.place_viewer("room-a")
    clock.advance(1000)
    await fleet.place_viewer("room-a")


async def test_a_viewer_comes_back_to_where_they_were(fleet: Fleet, clock: Clock) -> None:
    await _register(fleet, *(f"w{number}" for number in range(6)), capacity_pps=4000, joins_per_s=1000)
    await fleet.acquire_origin("room-a")
    placed = {f"v{number}": (await fleet.place_viewer("room-a", viewer=f"v{number}")).worker for number in range(12)}
    assert len({worker.id for worker in placed.values()}) > 1
    clock.advance(6000)
    await _register(fleet, *(f"w{number}" for number in range(6)), capacity_pps=4000, joins_per_s=1000)
    for viewer, worker in placed.items():
        again = await fleet.place_viewer("room-a", viewer=viewer)
        assert (again.worker.id, again.reason) == (worker.id, Reason.STICKY)
        elsewhere = await fleet.place_viewer("room-a", viewer=viewer, avoid=frozenset({worker.id}))
        assert elsewhere.worker.id != worker.id


async def test_without_an_origin_there_is_nothing_to_watch(fleet: Fleet) -> None:
    await _register(fleet, "w1")
    with pytest.raises(NoOrigin):
        await fleet.place_viewer("room-a")


async def test_a_drained_worker_gets_nothing_and_hears_of_it_until_it_is_taken_back(fleet: Fleet) -> None:
    await _register(fleet, "w1")
    drain = Drain("ana", "kernel update", 1.0)
    await fleet.drain("w1", drain)
    with pytest.raises(NoWorkerAvailable):
        await fleet.acquire_origin("room-a")
    assert (await fleet.renew(_worker("w1"))).drain
    assert await fleet.drains() == {"w1": drain}
    assert await fleet.undrain("w1")
    assert not await fleet.undrain("w1")
    assert not (await fleet.renew(_worker("w1"))).drain
    assert (await fleet.acquire_origin("room-a")).worker.id == "w1"


async def test_an_order_to_move_is_heard_once(fleet: Fleet) -> None:
    moves = (Move("room-a", "w1-abc", "w2"), Move("room-b"))
    await fleet.order("w1", *moves)
    assert (await fleet.renew(_worker("w1"))).moves == moves
    assert (await fleet.renew(_worker("w1"))).moves == ()


async def test_an_edge_that_lost_its_parent_gets_the_origin_and_is_not_put_below_its_own_children(
    fleet: Fleet,
) -> None:
    names = [f"w{number}" for number in range(5)]
    await _register(fleet, *names, capacity_pps=3000, joins_per_s=1000)
    lease = await fleet.acquire_origin("room-a")
    first, second, third, _ = (name for name in names if name != lease.worker.id)
    for edge, parent in ((first, lease.worker.id), (second, lease.worker.id), (third, first)):
        await fleet.renew(_worker(edge, capacity_pps=3000), [Report("room-a", lease.token, viewers=1, parent=parent)])
    assert (await fleet.place_edge("room-a", first))[1] == lease.worker
    # The origin has no budget left for pulls.
    await fleet.renew(_worker(lease.worker.id, capacity_pps=3000, load_pps=2900), [Report("room-a", lease.token, 1)])
    assert (await fleet.place_edge("room-a", third))[1].id in {first, second}
    with pytest.raises(NoWorkerAvailable, match="another edge"):
        await fleet.place_edge("room-a", first)
    with pytest.raises(NoOrigin, match="itself"):
        await fleet.place_edge("room-a", lease.worker.id)


async def test_a_room_that_is_always_on_does_not_keep_all_the_edges_that_it_ever_had(
    fleet: Fleet, clock: Clock, redis: Redis
) -> None:
    await _register(fleet, "origin")
    lease = await fleet.acquire_origin("room-a")
    for number in range(40):
        report = Report("room-a", lease.token, viewers=1, parent="origin")
        await fleet.renew(_worker(f"w{number}"), [report])
    clock.advance(LEASE_MS + 1)
    await fleet.renew(_worker("new"), [Report("room-a", lease.token, viewers=1, parent="origin")])
    await fleet.renew(_worker("origin"), [Report("room-a", lease.token, viewers=0)])
    assert [edge.worker for edge in (await fleet.room("room-a")).edges] == ["new"]
    assert await redis.hlen("{fleet}:room:room-a") < 12


async def test_a_refusal_says_what_stands_against_how_many(fleet: Fleet) -> None:
    await fleet.renew(_worker("w1"))
    await fleet.acquire_origin("room-a")
    await fleet.renew(_worker("w1", load_pps=47_000))
    await fleet.renew(_worker("w2", load_pps=60_000))
    await fleet.renew(_worker("w3", draining=True))
    with pytest.raises(NoWorkerAvailable, match=r"\(1 draining, 2 full\)"):
        await fleet.place_viewer("room-a")
