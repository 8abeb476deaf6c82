"""The report passes what is good and complete, and nothing else: every figure that it needs is taken away once."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tests.bench.sla.__main__ import figures, write
from tests.bench.sla.evidence import (
    APPENDED,
    CACHE_READS,
    DELIVERIES,
    ERROR_FRAMES,
    HTTP_ERRORS,
    Burst,
    Crowd,
    Evidence,
    Histogram,
    Media,
    Moment,
    Quantiles,
)
from tests.bench.sla.objectives import OBJECTIVES, recovered_after_s, verdicts

FAST = Quantiles(p50=8.0, p90=15.0, p95=20.0, p99=40.0, p999=70.0, max=90.0, count=100_000)
COUNTERS = {
    APPENDED: 1000.0,
    DELIVERIES: 1_000_000.0,
    ERROR_FRAMES: 3.0,
    HTTP_ERRORS: 2.0,
    f"{CACHE_READS}l1": 900.0,
    f"{CACHE_READS}l2": 60.0,
    f"{CACHE_READS}l3": 40.0,
}
MOMENTS = [Moment(float(at), 1000.0 if at <= 20 or at >= 23 else 500.0, at * 100.0) for at in range(60)]


def crowd(shape: str, **changes: object) -> Crowd:
    found = Crowd(
        shape=shape,
        users=1000,
        seconds=60.0,
        sent=1000,
        delivered=990_000,
        operations=5_000,
        error_rate=0.001,
        lost=0,
        duplicated=0,
        misordered=0,
        cut_off=0,
        message=FAST,
        afterwards=FAST if shape != "sustained" else None,
        delivery=FAST,
        late_p99_ms=3.0,
        cores={"k6": {"mean": 0.6, "peak": 0.8}, "function": {"mean": 0.3, "peak": 0.5}},
        moments=MOMENTS,
        counters=COUNTERS,
        tail=Histogram([0.005, 0.02, 0.1], [500.0, 990.0, 1000.0, 1000.0]),
    )
    return msgspec.structs.replace(found, **changes)


def burst(sockets: int, rate: float, **changes: object) -> Burst:
    found = Burst(
        sockets=sockets,
        opened=sockets,
        published_per_s=rate,
        deliveries_per_s=sockets * rate,
        latency=FAST,
        missing=0,
        duplicated=0,
        misordered=0,
        server_cores=0.3,
        generator_saturated=False,
    )
    return msgspec.structs.replace(found, **changes)


MEDIA = Media(
    viewers=100,
    viewers_connected=100,
    seconds=20.0,
    offered_kbps=2500.0,
    received_kbps_mean=2490.0,
    loss_ratio=0.0,
    frames_missing_ratio=0.0,
    freezes=0,
    join_ms_p95=300.0,
    jitter_ms_p95=4.0,
    worker_cores_mean=0.5,
    swarm_cores_mean=0.7,
    saturated="none",
)


def evidence(**changes: object) -> Evidence:
    found = Evidence(
        profile="short",
        at="2026-11-27 08:00 UTC",
        commit="abc1234",
        machine="a machine <of two cores>",
        versions={"Python": "3.11"},
        crowds={
            "sustained": crowd("sustained"),
            "spike": crowd("spike"),
            "recovery": crowd("recovery", counters=None, tail=None, killed_at_s=20.4),
        },
        bursts=[burst(1000, 10.0), burst(1500, 10.0), burst(1000, 100.0)],
        media=MEDIA,
        commands=["python -m something"],
    )
    return msgspec.structs.replace(found, **changes)


def results(found: Evidence) -> dict[str, str]:
    return {one.objective: one.result for one in verdicts(found)}


def missed(found: Evidence) -> set[str]:
    return {name for name, result in results(found).items() if result == "miss"}


def of_crowd(shape: str, **changes: object) -> Evidence:
    good = evidence()
    return evidence(crowds=good.crowds | {shape: msgspec.structs.replace(good.crowds[shape], **changes)})


def of_burst(number: int, **changes: object) -> Evidence:
    bursts = list(evidence().bursts)
    bursts[number] = msgspec.structs.replace(bursts[number], **changes)
    return evidence(bursts=bursts)


def of_media(**changes: object) -> Evidence:
    return evidence(media=msgspec.structs.replace(MEDIA, **changes))


def test_good_and_complete_evidence_passes_all_but_what_takes_a_month() -> None:
    found = results(evidence())
    assert found.pop("availability") == "not measurable here"
    assert set(found.values()) == {"pass"}, verdicts(evidence())


@pytest.mark.parametrize(
    ("found", "objective"),
    [
        (of_crowd("spike", lost=1), "nothing_lost"),
        (of_crowd("spike", duplicated=1), "nothing_lost"),
        (of_crowd("spike", misordered=1), "nothing_lost"),
        (of_crowd("spike", cut_off=1), "nothing_lost"),
        (of_burst(0, missing=1), "nothing_lost"),
        (of_burst(0, missing=1), "rate_sustained"),
        (of_burst(0, deliveries_per_s=9_000.0), "rate_sustained"),
        (of_burst(0, opened=999), "sockets_1000"),
        (of_burst(1, opened=1499), "sockets_1500"),
        (of_burst(0, latency=msgspec.structs.replace(FAST, p95=100.0)), "latency_1000"),
        (of_burst(1, latency=msgspec.structs.replace(FAST, p99=250.0)), "latency_1500"),
        (of_crowd("sustained", message=msgspec.structs.replace(FAST, p95=101.0)), "latency_users"),
        (of_crowd("spike", afterwards=msgspec.structs.replace(FAST, p99=251.0)), "latency_afterwards"),
        (of_crowd("sustained", error_rate=0.01), "errors"),
        # Clients counted no error, and the servers refused a fiftieth of all that was asked.
        (of_crowd("sustained", error_rate=0.0, counters=COUNTERS | {ERROR_FRAMES: 100.0}), "errors"),
        (of_crowd("sustained", error_rate=0.0, counters=COUNTERS | {HTTP_ERRORS: 100.0}), "errors"),
        (of_crowd("sustained", counters=COUNTERS | {APPENDED: 1100.0}), "agreement"),
        (of_crowd("sustained", delivered=900_000), "agreement"),
        (of_crowd("sustained", tail=Histogram([0.05, 0.1], [0.0, 10.0, 10.0])), "agreement"),
        (of_crowd("sustained", counters=COUNTERS | {f"{CACHE_READS}l3": 900.0}), "cache"),
        (
            of_crowd(
                "recovery",
                moments=[Moment(one.at_s, min(one.sockets, 900.0), 0.0) if one.at_s > 20 else one for one in MOMENTS],
            ),
            "recovery",
        ),
        (of_media(loss_ratio=0.01), "media_whole"),
        (of_media(freezes=1), "media_whole"),
        (of_media(viewers_connected=99), "media_viewers"),
        (of_media(join_ms_p95=2500.0), "media_join"),
    ],
)
def test_what_is_not_as_promised_is_a_miss(found: Evidence, objective: str) -> None:
    assert objective in missed(found)


@pytest.mark.parametrize("shape", ["sustained", "spike", "recovery"])
@pytest.mark.parametrize(
    "field",
    [
        "sent",
        "delivered",
        "operations",
        "error_rate",
        "lost",
        "duplicated",
        "misordered",
        "cut_off",
        "message",
        "afterwards",
        "delivery",
        "counters",
        "tail",
        "killed_at_s",
        "moments",
    ],
)
def test_a_figure_of_a_crowd_that_is_not_there_is_a_miss(shape: str, field: str) -> None:
    good = evidence().crowds[shape]
    if getattr(good, field) is None:
        return
    # Who is not compared with the servers needs none of what that takes; who is not killed needs no moments.
    compared = {"sent", "delivery"}
    if (shape == "recovery") == (field in compared) and field in compared | {"moments"}:
        return
    if shape != "recovery" and field == "moments":
        return
    assert missed(of_crowd(shape, **{field: [] if field == "moments" else None})), field


@pytest.mark.parametrize(
    "field",
    [
        "opened",
        "deliveries_per_s",
        "latency",
        "missing",
        "duplicated",
        "misordered",
        "server_cores",
        "generator_saturated",
    ],
)
def test_a_figure_of_a_burst_that_is_not_there_is_a_miss(field: str) -> None:
    assert missed(of_burst(0, **{field: None}))


@pytest.mark.parametrize(
    "field",
    [
        "viewers_connected",
        "received_kbps_mean",
        "offered_kbps",
        "loss_ratio",
        "freezes",
        "frames_missing_ratio",
        "join_ms_p95",
    ],
)
def test_a_figure_of_the_media_that_is_not_there_is_a_miss(field: str) -> None:
    assert missed(of_media(**{field: None}))


@pytest.mark.parametrize("counter", [APPENDED, DELIVERIES, ERROR_FRAMES, HTTP_ERRORS])
def test_a_counter_that_no_server_has_is_a_miss(counter: str) -> None:
    assert missed(of_crowd("sustained", counters={name: n for name, n in COUNTERS.items() if name != counter}))


def test_a_part_that_is_left_out_is_a_miss() -> None:
    assert {"latency_users", "errors", "nothing_lost", "agreement", "cache", "recovery"} <= missed(evidence(crowds={}))
    assert {"sockets_1000", "rate_burst", "latency_1500", "rate_beyond"} <= missed(evidence(bursts=[]))
    assert {"media_viewers", "media_whole", "media_join"} <= missed(evidence(media=None))
    without = {shape: found for shape, found in evidence().crowds.items() if shape != "recovery"}
    assert "recovery" in missed(evidence(crowds=without))


def test_no_measurements_are_no_good_ones() -> None:
    empty = Quantiles(p95=0.0, p99=0.0, count=0)
    assert "latency_1000" in missed(of_burst(0, latency=empty))
    assert "latency_users" in missed(of_crowd("sustained", message=empty))
    assert "agreement" in missed(of_crowd("sustained", tail=Histogram([0.1], [0.0, 0.0])))
    assert "errors" in missed(of_crowd("sustained", operations=0))
    assert "nothing_lost" in missed(of_crowd("sustained", delivered=0))


def test_a_generator_at_its_limit_makes_no_verdict_and_never_a_good_one() -> None:
    slow = msgspec.structs.replace(FAST, p95=400.0)
    assert results(of_crowd("sustained", message=slow, late_p99_ms=80.0))["latency_users"] == "not measurable here"
    busy = {"k6": {"mean": 0.99, "peak": 1.0}}
    assert results(of_crowd("sustained", message=slow, cores=busy))["latency_users"] == "not measurable here"
    assert results(of_crowd("sustained", message=slow, cores=None))["latency_users"] == "miss"
    assert results(of_burst(0, generator_saturated=True))["rate_sustained"] == "not measurable here"
    assert results(of_media(loss_ratio=0.1, saturated="swarm"))["media_whole"] == "not measurable here"
    assert results(of_media(loss_ratio=0.1, saturated="worker"))["media_whole"] == "miss"
    assert results(of_media(loss_ratio=0.1, saturated=None))["media_whole"] == "miss"
    late: dict[str, object] = {"late_p99_ms": 80.0}
    for worse, objective in (
        ({"cut_off": 2}, "nothing_lost"),
        ({"delivered": 900_000}, "agreement"),
        ({"counters": COUNTERS | {ERROR_FRAMES: 100.0}}, "errors"),
    ):
        assert results(of_crowd("sustained", **worse))[objective] == "miss"
        assert results(of_crowd("sustained", **worse, **late))[objective] == "not measurable here"
    # What was lost is lost, however late who found it was.
    assert results(of_crowd("sustained", lost=1, **late))["nothing_lost"] == "miss"
    # One shape whose generator kept up is enough to tell.
    good = evidence().crowds
    both = good | {
        "sustained": msgspec.structs.replace(good["sustained"], message=slow, late_p99_ms=80.0),
        "spike": msgspec.structs.replace(good["spike"], message=slow),
    }
    assert results(evidence(crowds=both))["latency_users"] == "miss"


def test_the_recovery_is_over_when_the_sockets_are_back() -> None:
    assert recovered_after_s(MOMENTS, 20.4) == pytest.approx(2.6)
    # The first look after the kill still saw those that had gone.
    late = [Moment(one.at_s, 1000.0 if one.at_s == 21 else one.sockets, 0.0) for one in MOMENTS]
    assert recovered_after_s(late, 20.4) == pytest.approx(2.6)


class Text(HTMLParser):
    """The words of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "image", "use"}:
            self.fetched.append(tag)
        self.fetched += [str(value) for name, value in attrs if name in {"src", "href", "xlink:href"}]


@pytest.mark.parametrize("change", [lambda found: found, lambda _: evidence(crowds={}, bursts=[], media=None)])
def test_the_report_tells_every_verdict_and_fetches_nothing(
    tmp_path: Path, change: Callable[[Evidence], Evidence]
) -> None:
    found = change(evidence())
    judged = verdicts(found)
    write(found, judged, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Text()
    page.feed(html)
    text = " ".join(page.words)
    for one in judged:
        assert one.title in text
        assert one.measured in text
    assert page.fetched == []
    assert not re.search(r"url\(|@import", html)
    assert "<of two cores>" not in html
    document = json.loads((tmp_path / "report.json").read_bytes())
    assert [one["objective"] for one in document["verdicts"]] == [one.name for one in OBJECTIVES]
    assert msgspec.convert(document["evidence"], Evidence, strict=False) == found
    line = figures(found, judged)
    assert len(line["passed"]) + len(line["missed"]) + len(line["not_measurable_here"]) == len(OBJECTIVES)
