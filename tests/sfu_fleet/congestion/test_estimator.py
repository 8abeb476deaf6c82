"""The estimate against a link that exists on paper: near the capacity, quickly down, up again, not starved."""

import pytest

from sfu_fleet.congestion.estimator import Congestion
from sfu_fleet.congestion.sent import FIRST, SIZE, SentLog
from sfu_fleet.congestion.trendline import Signal
from sfu_fleet.transport_feedback import Arrivals
from tests.sfu_fleet.congestion.link import PACKET, Flow, Link

MBIT = 1_000_000


@pytest.mark.parametrize("capacity", [300_000, 1 * MBIT, 2 * MBIT, 4 * MBIT])
def test_it_settles_near_the_capacity_with_a_short_queue(capacity: int) -> None:
    flow = Flow(Link(lambda _: capacity))
    flow.run(40)
    flow.longest_queue_s = 0.0
    flow.run(20)
    assert 0.8 * capacity < flow.mean(20) < 1.05 * capacity
    assert flow.longest_queue_s < 0.15


def test_it_falls_within_a_second_when_the_way_becomes_narrow_and_comes_back() -> None:
    flow = Flow(Link(lambda at: MBIT / 2 if 40 < at < 50 else 2 * MBIT))
    flow.run(30)
    assert flow.bitrate > 1.5 * MBIT
    flow.run(1)
    assert flow.bitrate < 0.8 * MBIT
    flow.run(9)
    assert 0.35 * MBIT < flow.bitrate < 0.55 * MBIT
    flow.run(25)
    assert flow.mean(5) > 1.5 * MBIT


@pytest.mark.parametrize("seed", range(3))
def test_two_percent_of_loss_by_chance_does_not_starve_it(seed: int) -> None:
    flow = Flow(Link(lambda _: 2 * MBIT, loss=0.02, seed=seed))
    flow.run(40)
    assert flow.mean(20) > 1.5 * MBIT
    assert flow.congestion.estimate().loss < 0.1


def test_heavy_loss_takes_it_down_to_what_arrives_without_any_delay() -> None:
    flow = Flow(Link(lambda _: 10 * MBIT, loss=0.3), target=2 * MBIT)
    flow.run(5)
    assert flow.congestion.estimate().signal is Signal.NORMAL
    assert flow.bitrate < 1.4 * MBIT
    flow.link.loss = 0.0
    flow.run(40)
    assert flow.bitrate > 2 * MBIT


def test_a_way_that_lost_most_for_seconds_is_soon_known_again() -> None:
    flow = Flow(Link(lambda at: MBIT / 10 if 15 < at < 20 else MBIT), target=MBIT / 2)
    flow.run(10)
    assert flow.bitrate < 0.15 * MBIT
    assert flow.congestion.estimate().loss > 0.5
    flow.run(4)
    assert flow.congestion.estimate().acknowledged > 0.45 * MBIT


def test_jitter_is_not_taken_for_a_queue() -> None:
    flow = Flow(Link(lambda _: 2 * MBIT, jitter_s=0.02))
    flow.run(40)
    assert flow.mean(20) > 1.5 * MBIT


def test_it_makes_room_for_another_flow_and_takes_it_back() -> None:
    flow = Flow(Link(lambda _: 2 * MBIT, cross=lambda at: MBIT if 40 < at < 70 else 0))
    flow.run(60)
    assert 0.7 * MBIT < flow.mean(10) < 1.05 * MBIT
    flow.run(30)
    assert flow.mean(5) > 1.5 * MBIT


def test_it_ends_at_one_and_a_half_times_what_arrives() -> None:
    flow = Flow(Link(lambda _: 10 * MBIT), target=MBIT / 2)
    flow.run(20)
    assert 1.45 * MBIT / 2 < flow.bitrate < 1.65 * MBIT / 2


def test_the_same_link_gives_the_same_estimates() -> None:
    flows = [Flow(Link(lambda _: MBIT, loss=0.03, jitter_s=0.01, seed=5)) for _ in range(2)]
    for flow in flows:
        flow.run(10)
    assert flows[0].history == flows[1].history


def test_malformed_feedback_changes_nothing() -> None:
    flow, clean = Flow(Link(lambda _: MBIT)), Flow(Link(lambda _: MBIT))

    def break_it(packet: bytes, now_us: int) -> None:
        wrong_kind = packet[:1] + b"\xce" + packet[2:]
        for broken in (packet[:-4], packet + bytes(4), b"\x80" + packet[1:], wrong_kind, b""):
            assert not flow.congestion.feed(broken, now_us)

    flow.watch = break_it
    for one in (flow, clean):
        one.run(5)
    assert flow.history == clean.history
    assert flow.congestion.estimate().refused > 100


def test_feedback_about_packets_that_were_never_sent_is_nothing() -> None:
    congestion = Congestion()
    arrivals = Arrivals()
    for number in range(100):
        arrivals.arrived(number, 1.0 + number / 100)
    for packet in arrivals.take(1, 2):
        assert congestion.feed(packet, 2_000_000)
    estimate = congestion.estimate()
    assert (estimate.acknowledged_bytes, estimate.loss, estimate.bitrate) == (0, 0.0, 500_000)


def test_a_packet_counts_once_however_often_feedback_tells_of_it() -> None:
    congestion = Congestion()
    for _ in range(10):
        congestion.sent.add(1_000_000, PACKET)
    for _ in range(3):
        arrivals = Arrivals()
        for number in range(10):
            arrivals.arrived((FIRST + number) & 0xFFFF, 1.0)
        for packet in arrivals.take(1, 2):
            congestion.feed(packet, 2_000_000)
    assert congestion.estimate().acknowledged_bytes == 10 * PACKET


def test_the_log_knows_the_latest_packets_by_their_number_and_no_others() -> None:
    log = SentLog()
    assert log.find(0) is None
    for index in range(70_000):
        assert log.add(index, index % 1_500) == (FIRST + index) & 0xFFFF
    assert log.find(log.next - 1) == (69_999, 69_999 % 1_500)
    assert log.find(log.next - SIZE) is not None
    assert log.find(log.next - SIZE - 1) is None
    assert log.find(log.next) is None
    assert log.extended((log.next - 5) & 0xFFFF) == log.next - 5
    assert log.extended(log.next & 0xFFFF) == log.next - 0x10000
