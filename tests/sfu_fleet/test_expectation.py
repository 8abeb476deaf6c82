from dataclasses import dataclass

from sfu_fleet.expectation import ASSUMED_FOR_S, ASSUMED_VIEWER_PPS, Expectation, RoomRates


@dataclass
class Carrier:
    id: str
    kind: str
    created_at: float
    packets: int = 0
    room: str = "room-a"

    def packets_carried(self) -> int:
        return self.packets


OLD, NOW = 0.0, 100.0


def _watched(expectation: Expectation, *sessions: Carrier, rates: tuple[int, ...]) -> None:
    expectation.look(sessions, NOW - 1)
    for session, rate in zip(sessions, rates, strict=True):
        session.packets += rate
    expectation.look(sessions, NOW)


def test_nothing_is_expected_of_nobody() -> None:
    assert Expectation().pps([], NOW) == 0


def test_a_viewer_who_has_been_here_is_expected_to_get_what_they_got() -> None:
    expectation, viewer = Expectation(), Carrier("v", "subscribe", OLD)
    _watched(expectation, viewer, rates=(120,))
    assert expectation.pps([viewer], NOW) == 120


def test_who_has_just_come_is_taken_for_what_the_room_s_viewers_get() -> None:
    expectation = Expectation()
    old, young = Carrier("old", "subscribe", OLD), Carrier("young", "subscribe", NOW - 0.5)
    elsewhere = Carrier("elsewhere", "subscribe", NOW - 0.5, room="room-b")
    _watched(expectation, old, rates=(420,))
    assert expectation.pps([old, young], NOW) == 840
    assert expectation.pps([elsewhere], NOW) == ASSUMED_VIEWER_PPS


def test_a_young_viewer_s_traffic_is_not_counted_beside_what_is_assumed() -> None:
    expectation, young = Expectation(), Carrier("young", "subscribe", NOW - ASSUMED_FOR_S / 2)
    _watched(expectation, young, rates=(200,))
    assert expectation.pps([young], NOW) == ASSUMED_VIEWER_PPS


def test_a_room_s_rates_are_those_of_its_largest_viewer_and_its_publisher_without_who_catches_up() -> None:
    expectation = Expectation()
    sessions = (
        Carrier("p", "publish", OLD),
        Carrier("v1", "subscribe", OLD),
        Carrier("v2", "subscribe", OLD),
        Carrier("catching-up", "subscribe", NOW - 1.5),
    )
    _watched(expectation, *sessions, rates=(700, 50, 350, 2400))
    assert expectation.of_room("room-a") == RoomRates(viewer_pps=350, pull_pps=700)
    assert expectation.of_room("room-b") == RoomRates()
    assert expectation.pps(sessions[:1], NOW) == 0
