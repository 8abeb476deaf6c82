"""terraform/capacity.json holds what the benchmarks measured: the very numbers of docs/results.md."""

import json
import re

import pytest

from shared.stack.paths import ROOT

CAPACITY = json.loads((ROOT / "terraform" / "capacity.json").read_text(encoding="utf-8"))
RESULTS = (ROOT / CAPACITY["source"]).read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, without thousands separators."""
    _, _, rest = RESULTS.partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    assert section, f"docs/results.md has no {heading}"
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace(",", "") for cell in line.strip("|").split("|")] for line in lines]


def test_a_packet_costs_what_forwarding_measured() -> None:
    forwarding = CAPACITY["forwarding"]
    (row,) = [row for row in rows("Forwarding on one core") if row[:2] == ["native", str(forwarding["viewers"])]]
    assert int(row[3]) == forwarding["packets_per_cpu_second"]


def test_a_viewer_is_the_benchmarks_viewer() -> None:
    forwarding = CAPACITY["forwarding"]
    text = " ".join(RESULTS.split())
    (found,) = re.findall(r"([\d.]+) Mbit/s: (\d+) packets/s and (\d+) of audio", text)
    assert [float(found[0]) * 1e6, int(found[1]), int(found[2])] == [
        forwarding["video_bitrate"],
        forwarding["video_packets_per_second"],
        forwarding["audio_packets_per_second"],
    ]


@pytest.mark.parametrize("point", CAPACITY["signaling"]["deliveries_per_cpu_second"])
def test_a_delivery_costs_what_signaling_measured(point: dict[str, int]) -> None:
    cell = ["Headrace", str(CAPACITY["signaling"]["sockets"]), str(point["published_per_second"])]
    (row,) = [row for row in rows("Room messaging on one core") if row[:3] == cell]
    assert int(row[4]) == point["value"]


def test_rates_rise_as_the_calculator_expects() -> None:
    rates = [point["published_per_second"] for point in CAPACITY["signaling"]["deliveries_per_cpu_second"]]
    assert rates == sorted(rates)
