"""NACK for uplink loss: patient with reordering, persistent with loss, bounded in all."""

from sfu_fleet.loss import MAX_MISSING, MAX_TRIES, REORDER_TOLERANCE_S, RETRY_S, LossTracker


def test_reordered_packets_are_not_asked_for() -> None:
    losses = LossTracker()
    for sequence in (1, 3, 2, 4):
        losses.arrived(sequence, 0.0)
    assert not losses
    assert losses.due(10.0) == ([], False)


def test_a_missing_packet_is_asked_for_after_the_tolerance_and_again_until_it_comes() -> None:
    losses = LossTracker()
    losses.arrived(1, 0.0)
    losses.arrived(3, 0.0)
    assert losses.due(0.001) == ([], False)
    assert losses.due(REORDER_TOLERANCE_S) == ([2], False)
    assert losses.due(REORDER_TOLERANCE_S + 0.01) == ([], False)
    assert losses.due(REORDER_TOLERANCE_S + RETRY_S) == ([2], False)
    losses.arrived(2, 1.0)
    assert losses.due(2.0) == ([], False)


def test_packets_behind_the_gap_shorten_the_wait() -> None:
    losses = LossTracker()
    for sequence in (1, 3, 4, 5):
        losses.arrived(sequence, 0.0)
    assert losses.due(0.001) == ([2], False)


def test_after_the_last_try_it_is_given_up_and_said() -> None:
    losses = LossTracker()
    losses.arrived(1, 0.0)
    losses.arrived(3, 0.0)
    asked = [losses.due(1 + step * (RETRY_S + 0.001))[0] for step in range(MAX_TRIES)]
    assert asked == [[2]] * MAX_TRIES
    assert losses.due(100.0) == ([], True)
    assert not losses


def test_a_gap_too_wide_to_repair_is_given_up_at_once() -> None:
    losses = LossTracker()
    losses.arrived(1, 0.0)
    assert not losses.arrived(MAX_MISSING + 10, 0.0)
    assert not losses
