"""The estimator in C against the one in Python: the same packets give the same estimates, to the last bit."""

import math
import random

import pytest

from sfu_fleet.congestion.estimator import Congestion, Estimate
from sfu_fleet.congestion.sent import Departures
from sfu_fleet.native import build
from sfu_fleet.native.congestion import NativeCongestion
from tests.sfu_fleet.congestion.link import PACKET, Flow, Link
from tests.sfu_fleet.sanitizers import abuse, compiled

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="the native estimator needs a C compiler")

MBIT = 1_000_000


class BothLogs:
    """Departures that are two."""

    def __init__(self, python: Departures, native: Departures) -> None:
        self.python, self.native = python, native

    @property
    def next(self) -> int:
        assert self.native.next == self.python.next
        return self.python.next

    @property
    def probe_end(self) -> int:
        assert self.native.probe_end == self.python.probe_end
        return self.python.probe_end

    def add(self, now_us: int, size: int) -> int:
        number = self.python.add(now_us, size)
        assert self.native.add(now_us, size) == number
        return number

    def probed(self) -> None:
        self.python.probed()
        self.native.probed()


class Both:
    """A controller that is two: what goes to one goes to the other, and they must agree."""

    def __init__(self, first: int) -> None:
        self.python, self.native = Congestion(first), NativeCongestion(first)
        self.departures: Departures = BothLogs(self.python.departures, self.native.departures)
        self.seen: list[Estimate] = []
        self.told = 0

    @property
    def highest(self) -> int:
        assert self.native.highest == self.python.highest
        return self.python.highest

    def probed(self, first: int, end: int, now_us: int) -> float:
        found = self.python.probed(first, end, now_us)
        assert self.native.probed(first, end, now_us).hex() == found.hex()
        return found

    def feed(self, packet: bytes, now_us: int) -> float:
        bitrate = self.python.feed(packet, now_us)
        assert self.native.feed(packet, now_us).hex() == bitrate.hex()
        self.estimate()
        self.due(now_us)
        return bitrate

    def attend(self, below: float, every_us: int) -> None:
        self.python.attend(below, every_us)
        self.native.attend(below, every_us)

    def due(self, now_us: int) -> bool:
        due = self.python.due(now_us)
        assert self.native.due(now_us) is due
        self.told += due
        return due

    def note_rtt(self, rtt: float) -> None:
        self.python.note_rtt(rtt)
        self.native.note_rtt(rtt)

    def raise_to(self, bitrate: float) -> None:
        self.python.raise_to(bitrate)
        self.native.raise_to(bitrate)

    def estimate(self) -> Estimate:
        estimate = self.python.estimate()
        assert self.native.estimate() == estimate
        assert (self.native._found.bitrate, self.native._found.loss) == (self.python._bitrate, self.python._loss.loss)
        self.seen.append(estimate)
        return estimate


@pytest.mark.parametrize("seed", range(12))
def test_both_make_the_same_estimates_of_the_same_link(seed: int) -> None:
    rng = random.Random(seed)
    steps = [rng.choice([0.2, 0.5, 1, 2, 5, 20]) * MBIT for _ in range(8)]
    link = Link(
        lambda at: steps[int(at / 5) % 8],
        loss=rng.choice([0, 0.02, 0.15]),
        jitter_s=rng.choice([0, 0.01, 0.05]),
        queue_s=rng.choice([0.05, 0.4]),
        cross=lambda at: steps[0] / 2 if at % 20 > 12 else 0,
        seed=seed,
    )
    both = Both(rng.choice([2_048, 65_000, 16_770_000]))
    flow = Flow(link, target=rng.choice([None, MBIT / 2]), congestion=both)
    for _ in range(20):
        both.note_rtt(rng.uniform(1, 300))
        both.attend(rng.choice([math.inf, MBIT]), rng.choice([200_000, 1_000_000]))
        first = both.departures.next
        for _ in range(rng.randrange(12)):
            flow.send(rng.randrange(60, 1_400))
            flow.run(0.005)
        end = both.departures.next
        flow.run(rng.uniform(0.1, 2))
        both.raise_to(both.probed(first, end, round(flow.now * 1e6)))
    assert len({estimate.bitrate for estimate in both.seen}) > 20
    assert both.seen[-1].feedbacks > 100
    assert 10 < both.told < both.seen[-1].feedbacks


@pytest.mark.parametrize("seed", range(6))
def test_both_take_and_refuse_the_same_packets(seed: int) -> None:
    """Feedback with bits turned over, cut, repeated, late, and about other packets."""
    rng = random.Random(seed)
    both = Both(65_000)
    flow = Flow(Link(lambda _: MBIT, loss=0.05), congestion=both)
    old: list[bytes] = []

    def disturb(packet: bytes, now_us: int) -> None:
        old.append(packet)
        for _ in range(20):
            broken = bytearray(rng.choice(old))
            for _ in range(rng.randrange(4)):
                broken[rng.randrange(4, len(broken))] = rng.randrange(256)
            if rng.random() < 0.2:
                del broken[rng.randrange(len(broken)) & ~3 :]
                if len(broken) >= 4:
                    broken[2:4] = (len(broken) // 4 - 1).to_bytes(2, "big")
            both.feed(bytes(broken), now_us)

    flow.watch = disturb
    flow.run(10)
    estimate = both.estimate()
    assert estimate.refused > 100
    assert estimate.feedbacks > 1_000


def test_bytes_at_random_are_no_feedback() -> None:
    rng = random.Random(7)
    both = Both(2_048)
    for _ in range(3_000):
        both.departures.add(1, PACKET)
    taken = 0
    for _ in range(20_000):
        body = rng.randbytes(4 * rng.randrange(12))
        head = bytes((rng.choice((0x8F, 0xAF)), 205)) + (len(body) // 4).to_bytes(2, "big")
        taken += both.feed(head + body, 2_000_000) > 0
    assert 0 < taken < 20_000


@pytest.mark.parametrize("seed", range(3))
def test_the_estimator_in_c_holds_under_the_sanitizers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = compiled("abuse_congestion", tmp_path_factory.getbasetemp(), "-lm")
    assert "200000 calls" in abuse(program, seed, 200_000)
