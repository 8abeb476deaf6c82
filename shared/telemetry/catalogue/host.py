"""Metrics of a host of the SFU fleet, by the agent that runs its workers."""

from shared.telemetry.metric import Label, Metric

_DIRECTION = Label("direction", "of all interfaces but loopback", ("in", "out"))

WORKERS = Metric(
    name="sfu_host_workers",
    kind="gauge",
    help="Workers of the host",
    question="Does each core of the host have its worker?",
    labels=(Label("state", "running: there is a process; waiting: before the next start", ("running", "waiting")),),
)
RESTARTS = Metric(
    name="sfu_host_worker_restarts_total",
    kind="counter",
    help="Workers started again",
    question="Do workers crash, or hang?",
    labels=(Label("reason", "why", ("ended", "unresponsive")),),
)
CORES = Metric(
    name="sfu_host_cores",
    kind="gauge",
    help="Cores of the host that workers may use",
    question="What can the host do at most?",
)
BUSY = Metric(
    name="sfu_host_busy_seconds_total",
    kind="counter",
    unit="seconds",
    help="Time that the host's cores have worked, all of them together",
    question="Is something besides the workers at work?",
)
MEMORY = Metric(
    name="sfu_host_memory_available_bytes",
    kind="gauge",
    unit="bytes",
    help="Memory that can still be had on the host",
    question="Will the kernel end a worker soon?",
)
PACKETS = Metric(
    name="sfu_host_packets_total",
    kind="counter",
    help="Packets of the host's network interfaces",
    question="How near is the host to what its network carries?",
    labels=(_DIRECTION,),
)
BYTES = Metric(
    name="sfu_host_bytes_total",
    kind="counter",
    unit="bytes",
    help="Bytes of the host's network interfaces",
    question="How near is the host to what its network carries?",
    labels=(_DIRECTION,),
)
UDP_ERRORS = Metric(
    name="sfu_host_udp_errors_total",
    kind="counter",
    help="Datagrams that the host's kernel threw away",
    question="Are socket buffers too small, or workers held up?",
    labels=(Label("reason", "which buffer was full", ("receive_buffer", "send_buffer")),),
)

ALL = (WORKERS, RESTARTS, CORES, BUSY, MEMORY, PACKETS, BYTES, UDP_ERRORS)
