from pathlib import Path

from prometheus_client import generate_latest

from sfu_fleet.host.metrics import HostMetrics
from sfu_fleet.host.workers import backoff_s
from shared.telemetry.catalogue import HOST

_NET = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 9999 9999 0 0 0 0 0 0 9999 9999 0 0 0 0 0 0
  eth0: 1000 10 0 0 0 0 0 0 5000 50 0 0 0 0 0 0
  eth1: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
"""


def _proc(folder: Path) -> Path:
    (folder / "net").mkdir()
    (folder / "stat").write_text("cpu  100 0 200 900 50 0 0 0 0 0\ncpu0 100 0 200 900 50 0 0 0 0 0\n")
    (folder / "meminfo").write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    (folder / "net/dev").write_text(_NET)
    (folder / "net/snmp").write_text(
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: 7 0 3 9 3 1\n"
    )
    return folder


def test_a_host_tells_what_its_kernel_counts(tmp_path: Path) -> None:
    lines = generate_latest(HostMetrics(4, _proc(tmp_path)).registry).decode().splitlines()
    for line in (
        "sfu_host_cores 4.0",
        "sfu_host_busy_seconds_total 3.0",
        "sfu_host_memory_available_bytes 1.024e+06",
        'sfu_host_packets_total{direction="in"} 12.0',
        'sfu_host_packets_total{direction="out"} 54.0',
        'sfu_host_bytes_total{direction="out"} 5003.0',
        'sfu_host_udp_errors_total{reason="receive_buffer"} 3.0',
        'sfu_host_udp_errors_total{reason="send_buffer"} 1.0',
        'sfu_host_worker_restarts_total{reason="ended"} 0.0',
    ):
        assert line in lines


def test_the_real_kernel_tells_it_all() -> None:
    text = generate_latest(HostMetrics(2).registry).decode()
    assert [metric.name for metric in HOST if f"\n{metric.name}" not in text] == []


def test_what_the_kernel_does_not_tell_is_left_out(tmp_path: Path) -> None:
    text = generate_latest(HostMetrics(2, tmp_path).registry).decode()
    assert "sfu_host_cores 2.0" in text
    assert "sfu_host_busy_seconds_total" not in text


def test_the_wait_before_a_start_grows_with_each_short_life_and_is_bounded() -> None:
    waits = [backoff_s(short) for short in range(12)]
    assert waits[:4] == [0.2, 0.2, 0.4, 0.8]
    assert waits == sorted(waits)
    assert waits[-1] == 10.0
