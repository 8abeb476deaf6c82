"""Probes tell whether there is room, cost a small share of what is sent, and stop where they are pointless."""

import pytest

from sfu_fleet.congestion.estimator import Estimate
from sfu_fleet.congestion.probing import (
    BURSTS,
    CALM_MAX_S,
    CALM_S,
    CREDIT_START,
    FUTILE_S,
    NEXT_S,
    RETRY_MAX_S,
    SHARE,
    Probe,
    ProbeController,
    ProbeState,
)
from sfu_fleet.congestion.trendline import Signal
from tests.sfu_fleet.congestion.link import PACKET, Flow, Link

MBIT = 1_000_000
LOOK_S = 0.2


class Prober:
    """A controller that probes on a flow, as a viewer's session does."""

    def __init__(self, flow: Flow, wanted: float) -> None:
        self.flow = flow
        self.wanted = wanted
        self.controller = ProbeController(flow.now)
        self.times: list[float] = []
        self.bytes = 0

    def run(self, seconds: float) -> None:
        until = self.flow.now + seconds
        while self.flow.now < until:
            self.flow.run(LOOK_S)
            probe = self.controller.look(self.flow.now, self.wanted, self.flow.congestion.estimate())
            if probe is not None:
                self.times.append(self.flow.now)
                self.measure(probe)

    def measure(self, probe: Probe) -> None:
        congestion = self.flow.congestion
        first = end = congestion.departures.next
        debt = 0.0
        for _ in range(BURSTS):
            debt += probe.burst_bytes
            while debt > 0:
                self.flow.send()
                debt -= PACKET
                self.bytes += PACKET
            end = congestion.departures.next
            self.flow.run(probe.interval_s)
        self.flow.run(0.3)
        found = congestion.probed(first, end, round(self.flow.now * 1e6))
        confirmed = self.controller.ended(
            self.flow.now, found, overusing=congestion.estimate().signal is Signal.OVERUSE
        )
        congestion.raise_to(confirmed)


def prober(capacity: float, *, sending: float, wanted: float) -> Prober:
    flow = Flow(Link(lambda _: capacity), target=sending)
    flow.run(10)
    return Prober(flow, wanted)


@pytest.mark.parametrize(("sending", "wanted"), [(500_000, 2_300_000), (150_000, 600_000), (2_000_000, 5_000_000)])
def test_where_there_is_room_probes_find_it_within_seconds(sending: int, wanted: int) -> None:
    found = prober(20 * MBIT, sending=sending, wanted=wanted)
    found.run(5)
    assert found.flow.bitrate >= wanted
    assert found.controller.state is ProbeState.IDLE
    before = len(found.times)
    found.run(30)
    assert len(found.times) == before


@pytest.mark.parametrize("capacity", [0.6 * MBIT, 1 * MBIT, 1.8 * MBIT])
def test_where_there_is_none_they_do_not_and_become_rare(capacity: float) -> None:
    found = prober(capacity, sending=500_000, wanted=2_300_000)
    found.run(120)
    assert found.flow.bitrate < 2_300_000
    assert max(after - at for at, after in zip(found.times, found.times[1:], strict=False)) > RETRY_MAX_S / 2
    sent = 500_000 / 8 * 120
    assert found.bytes < SHARE * sent + CREDIT_START + BURSTS * PACKET
    # What was sent all the time has come through.
    assert found.flow.congestion.estimate().loss < 0.02


def test_a_way_that_becomes_wider_is_found_out() -> None:
    flow = Flow(Link(lambda at: 700_000 if at < 60 else 5 * MBIT), target=500_000)
    flow.run(10)
    found = Prober(flow, 2_300_000)
    found.run(40)
    assert flow.bitrate < 1 * MBIT
    found.run(RETRY_MAX_S + 20)
    assert flow.bitrate >= 2_300_000


def look(controller: ProbeController, now: float, *, decreases: int = 0, sent: int = 10**7) -> Probe | None:
    known = Estimate(800_000, 500_000, 0.0, Signal.NORMAL, 1, 0, decreases, sent)
    return controller.look(now, 2e6, known)


def test_there_is_no_probe_soon_after_congestion() -> None:
    controller = ProbeController(0.0)
    assert look(controller, NEXT_S + 0.1, decreases=1) is None
    assert look(controller, NEXT_S + CALM_S, decreases=1) is None
    assert look(controller, NEXT_S + CALM_S + 0.2, decreases=1) is not None


def test_signs_of_congestion_that_do_not_end_put_a_probe_off_and_do_not_prevent_it() -> None:
    controller = ProbeController(0.0)
    now = 0.0
    while look(controller, now, decreases=1 + int(now)) is None:
        now += 0.2
    assert CALM_S < now < CALM_MAX_S + 1


def test_a_probe_during_which_there_was_congestion_confirms_nothing() -> None:
    controller = ProbeController(0.0)
    assert look(controller, 1.0) is not None
    assert controller.ended(1.1, 2e6, overusing=True) == 0.0


def test_probes_that_cannot_be_measured_are_given_up_for_a_while() -> None:
    controller = ProbeController(0.0)
    now = 1.0
    while controller.conclusive:
        if look(controller, now, sent=int(now * 1e7)) is not None:
            controller.ended(now, 0.0, overusing=False)
        now += 0.2
    assert look(controller, now + FUTILE_S / 2, sent=10**9) is None
    assert look(controller, now + FUTILE_S, sent=10**9) is not None
    assert controller.conclusive


def test_without_credit_there_is_no_probe() -> None:
    controller = ProbeController(0.0)
    now, probes = 1.0, 0
    for _ in range(300):
        if look(controller, now, sent=0) is not None:
            probes += 1
            controller.ended(now, 1.9e6, overusing=False)
        now += 1.0
    assert 1 <= probes <= CREDIT_START / (BURSTS * PACKET)
