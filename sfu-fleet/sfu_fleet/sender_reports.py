"""A publisher's sender reports on the timeline of somebody who is fed from it."""

from sfu_fleet.forwarder import DownTrack
from sfu_fleet.rtcp import SenderReport
from sfu_fleet.uplink import Layer


def translated(layer: Layer, down: DownTrack, now: float) -> SenderReport | None:
    """The layer's latest report: the same instant, on this viewer's timeline; None while there was none.

    It is carried forward to now, so that a viewer who joins between two reports can synchronise at once.
    """
    if layer.sender_report is None:
        return None
    report, received_at = layer.sender_report
    elapsed = now - received_at
    ntp = report.ntp + int(elapsed * 0x100000000) & 0xFFFFFFFFFFFFFFFF
    shift = layer.timeline.timestamp_shift + down.timestamp_offset
    timestamp = report.timestamp + shift + round(elapsed * layer.codec.clock_rate) & 0xFFFFFFFF
    return SenderReport(down.ssrc, ntp, timestamp, down.counters.packets, down.counters.octets)
