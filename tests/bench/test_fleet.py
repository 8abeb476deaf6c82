"""The rehearsal of the fleet runs, in small: whatever goes wrong, everybody has a picture again and nothing is left."""

import pytest

from sfu_fleet.native import build
from tests.bench.test_sfu import run


def test_a_small_fleet_survives_and_leaves_no_orphans() -> None:
    figures = run("tests.bench.fleet", "--short", "--viewers", "5")
    assert [found["fault"] for found in figures["faults"]] == [
        "an edge is killed",
        "the origin is killed",
        "the origin drains",
    ]
    assert all(found["orphans"] == 0 for found in figures["faults"]), figures
    assert [found["origin_moved"] for found in figures["faults"]] == [False, True, True]
    # Each layer leaves once for each edge, however many watch there: the layer's own keyframes and repairs come on top.
    assert figures["uplink"]["edges"] >= 2
    assert figures["uplink"]["copies_of_the_layer_per_edge"] < 1.5
    assert figures["uplink"]["viewers_of_the_tree"] == 5


@pytest.mark.skipif(build.compiler() is None, reason="the benchmark needs a C compiler")
def test_the_overhead_of_an_edge_is_measured() -> None:
    figures = run("tests.bench.fleet.overhead", "--viewers", "4", "--seconds", "1")
    assert figures["edge_packets_per_cpu_s"] > 0
    assert figures["edge_to_direct_ratio"] > 0
