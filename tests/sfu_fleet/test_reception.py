"""Receive statistics as RFC 3550 defines them."""

from sfu_fleet.reception import Reception
from sfu_fleet.rtcp import SenderReport


def test_sequence_numbers_are_extended_over_the_wrap() -> None:
    reception = Reception(1, 90_000)
    numbers = [reception.receive(sequence, 0, 0.0) for sequence in (65534, 65535, 0, 1, 65533)]
    first = numbers[0]
    assert first is not None
    assert numbers == [first, first + 1, first + 2, first + 3, first - 1]
    assert reception.report(0.0).highest_sequence == 0x10001


def test_loss_is_told_per_interval_and_in_total() -> None:
    reception = Reception(1, 90_000)
    for sequence in (1, 2, 5, 6):
        reception.receive(sequence, 0, 0.0)
    report = reception.report(0.0)
    assert (report.lost, report.fraction_lost) == (2, 2 * 256 // 6)
    reception.receive(7, 0, 0.0)
    report = reception.report(0.0)
    assert (report.lost, report.fraction_lost) == (2, 0)


def test_steady_packets_have_no_jitter_and_unsteady_ones_do() -> None:
    steady, unsteady = Reception(1, 90_000), Reception(1, 90_000)
    for index in range(50):
        steady.receive(index, index * 3_000, index / 30)
        unsteady.receive(index, index * 3_000, index / 30 + (0.01 if index % 2 else 0))
    assert steady.report(0.0).jitter == 0
    # 10 ms at 90 kHz are 900 units; the average approaches that.
    assert 800 < unsteady.report(0.0).jitter <= 900


def test_jitter_survives_the_wrap_of_timestamps() -> None:
    reception = Reception(1, 90_000)
    for index in range(50):
        reception.receive(index, (0xFFFFFFFF - 30_000 + index * 3_000) & 0xFFFFFFFF, index / 30)
    assert reception.report(0.0).jitter == 0


def test_the_delay_since_the_last_sender_report_is_told() -> None:
    reception = Reception(1, 90_000)
    reception.receive(1, 0, 0.0)
    assert reception.report(1.0).delay == 0
    reception.on_sender_report(SenderReport(1, 0x0123456789ABCDEF, 0, 0, 0), 1.0)
    report = reception.report(1.5)
    assert (report.last_report, report.delay) == (0x456789AB, 32768)


def test_a_packet_from_long_ago_is_refused_and_a_jump_is_not_loss() -> None:
    reception = Reception(1, 90_000)
    reception.receive(5_000, 0, 0.0)
    assert reception.receive(3_000, 0, 0.0) is None
    assert reception.receive(15_000, 0, 0.0) is not None
    assert reception.lost == 0
