"""Metrics of the room sockets: who is connected, what they are refused, and the fan-out to them."""

from shared.protocol.errors import CloseCode, ErrorCode
from shared.protocol.messages import ClientMessage
from shared.telemetry.catalogue.buckets import BITRATES, COUNTS, FAST_S, LAG_S
from shared.telemetry.metric import Label, Metric

LIMITS = (
    "address_joins",
    "identity_joins",
    "connections",
    "backed_off",
    "room_full",
    "http",
    "messages",
    "slow_mode",
    "pings",
    "signals",
    "ephemera",
    "requests",
    "guests",
    "registrations",
    "sign_ins",
    "refreshes",
    "failed_sign_ins",
)
"""What can be had too much of; the values of a label."""

_ERRORS = tuple(code.name.lower() for code in ErrorCode)

CONNECTIONS = Metric(
    name="headrace_signaling_connections",
    kind="gauge",
    help="Open sockets that have joined a room",
    question="How many people does this process serve?",
)
ROOMS = Metric(
    name="headrace_signaling_rooms",
    kind="gauge",
    help="Rooms that this process serves",
    question="Is the load many small rooms or one large one?",
)
ROOM_CONNECTIONS_MAX = Metric(
    name="headrace_room_connections_max",
    kind="gauge",
    help="Connections of the fullest room that this process serves, those at other processes included",
    question="Is a room outgrowing what one room is made for?",
)
VIEWERS = Metric(
    name="headrace_viewers",
    kind="gauge",
    help="Connections of people who watch, at this process",
    question="How many people watch at this moment?",
)
JOINS = Metric(
    name="headrace_signaling_joins_total",
    kind="counter",
    help="Attempts to join a room",
    question="Do people get in, and do they come back after a cut?",
    labels=(Label("result", "fresh, resumed, timeout, or why not", ("fresh", "resumed", "timeout", *_ERRORS)),),
)
CLOSES = Metric(
    name="headrace_signaling_closes_total",
    kind="counter",
    help="Sockets closed by this process",
    question="Why do we send people away?",
    labels=(Label("code", "WebSocket close code", tuple(str(int(code)) for code in CloseCode)),),
)
FRAMES_IN = Metric(
    name="headrace_signaling_frames_received_total",
    kind="counter",
    help="Frames from clients",
    question="What do clients send?",
    labels=(Label("kind", "of message", tuple(kind.__name__.lower() for kind in ClientMessage.__args__)),),
)
ERRORS_OUT = Metric(
    name="headrace_signaling_errors_sent_total",
    kind="counter",
    help="Error frames to clients",
    question="What are clients refused?",
    labels=(Label("code", "of the error frame", _ERRORS),),
)
LIMITS_REFUSED = Metric(
    name="headrace_limits_refused_total",
    kind="counter",
    help="What was refused because there was too much of it",
    question="Which limit bites, and is that an attack or a limit that is too low?",
    labels=(Label("limit", "which", LIMITS),),
)
DELIVERIES = Metric(
    name="headrace_signaling_deliveries_total",
    kind="counter",
    help="Events handed to sockets: one event in a room of a thousand counts a thousand",
    question="How much does fan-out carry?",
)
FAN_OUT_BATCH = Metric(
    name="headrace_signaling_fan_out_batch",
    kind="histogram",
    help="Events in one frame",
    question="How much does the window save?",
    buckets=COUNTS,
)
FAN_OUT_SECONDS = Metric(
    name="headrace_signaling_fan_out_seconds",
    kind="histogram",
    unit="seconds",
    help="Time to hand one frame to all sockets of a room; everything else waits for so long",
    question="Is a room too large for its window?",
    buckets=FAST_S,
)
BACKLOG = Metric(
    name="headrace_signaling_backlog_frames",
    kind="gauge",
    help="Frames that wait for sockets which do not keep up",
    question="Are there slow readers?",
)
CONFLATED = Metric(
    name="headrace_signaling_conflated_total",
    kind="counter",
    help="Ephemeral frames dropped because a newer one replaced them",
    question="Do slow readers miss reactions and counts?",
)
DROPPED = Metric(
    name="headrace_signaling_dropped_frames_total",
    kind="counter",
    help="Frames that a socket did not get because it was closed; a client that resumes gets their events",
    question="How much is sent again to people who come back?",
)
PRESENCE_ERRORS = Metric(
    name="headrace_presence_errors_total",
    kind="counter",
    help="Reports of presence that failed",
    question="Are viewer counts stale?",
)
BUS_ERRORS = Metric(
    name="headrace_bus_errors_total",
    kind="counter",
    help="Failures of the pub/sub bus, silence included",
    question="Do reactions, typing and commands arrive?",
)
LOOP_LAG = Metric(
    name="headrace_event_loop_lag_seconds",
    kind="histogram",
    unit="seconds",
    help="How late the event loop runs a timer; looked at twice a second",
    question="Is something blocking the process?",
    buckets=LAG_S,
)
PLAYBACK_BITRATE = Metric(
    name="headrace_playback_bitrate_bits_per_second",
    kind="histogram",
    unit="bits per second",
    help="What viewers say they receive",
    question="What quality do people get?",
    buckets=BITRATES,
)
PLAYBACK_FREEZES = Metric(
    name="headrace_playback_freezes_total",
    kind="counter",
    help="Freezes that viewers report",
    question="Does video stand still for people?",
)
GIFTS = Metric(
    name="headrace_gifts_total",
    kind="counter",
    help="Gifts given, each as often as it was given at once",
    question="Do people give?",
)

ALL = (
    CONNECTIONS,
    ROOMS,
    ROOM_CONNECTIONS_MAX,
    VIEWERS,
    JOINS,
    CLOSES,
    FRAMES_IN,
    ERRORS_OUT,
    LIMITS_REFUSED,
    DELIVERIES,
    FAN_OUT_BATCH,
    FAN_OUT_SECONDS,
    BACKLOG,
    CONFLATED,
    DROPPED,
    PRESENCE_ERRORS,
    BUS_ERRORS,
    LOOP_LAG,
    PLAYBACK_BITRATE,
    PLAYBACK_FREEZES,
    GIFTS,
)
