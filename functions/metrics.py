"""Metrics of a function process. One process per container, so the default registry is the process."""

from prometheus_client import Counter, Gauge, Histogram

_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

HTTP_REQUESTS = Counter("headrace_http_requests_total", "HTTP requests", ["route", "method", "status"])
HTTP_SECONDS = Histogram("headrace_http_request_seconds", "Time to answer", ["route"], buckets=_FAST)
CONNECTIONS = Gauge("headrace_signaling_connections", "Open sockets that have joined a room")
ROOMS = Gauge("headrace_signaling_rooms", "Rooms that this process serves")
JOINS = Counter("headrace_signaling_joins_total", "Joins", ["result"])
FRAMES_IN = Counter("headrace_signaling_frames_received_total", "Frames from clients", ["kind"])
ERRORS_OUT = Counter("headrace_signaling_errors_sent_total", "Error frames to clients", ["code"])
CLOSES = Counter("headrace_signaling_closes_total", "Sockets closed by this process", ["code"])
DELIVERIES = Counter("headrace_signaling_deliveries_total", "Frames put into a socket's outbox")
CONFLATED = Counter("headrace_signaling_conflated_total", "Ephemeral frames dropped because a newer one replaced them")
FAN_OUT_BATCH = Histogram("headrace_signaling_fan_out_batch", "Events in one frame", buckets=_COUNTS)
EVENTS_FANNED_OUT = Counter("headrace_log_events_fanned_out_total", "Room log events read and fanned out")
TAIL_SECONDS = Histogram("headrace_log_tail_seconds", "Age of an event when it is fanned out", buckets=_FAST)
TAIL_ERRORS = Counter("headrace_log_tail_errors_total", "Reads of the room log that failed")
BUS_ERRORS = Counter("headrace_bus_errors_total", "Failures of the pub/sub bus, silence included")
PRESENCE_ERRORS = Counter("headrace_presence_errors_total", "Reports of presence that failed")
APPEND_SECONDS = Histogram("headrace_log_append_seconds", "Time of one append call", buckets=_FAST)
APPEND_BATCH = Histogram("headrace_log_append_batch", "Messages in one append call", buckets=_COUNTS)
APPENDED = Counter("headrace_log_appended_total", "Chat messages by outcome", ["outcome"])
GAPS = Counter("headrace_log_gaps_total", "Gaps that clients were told of", ["reason"])
ARCHIVED = Counter("headrace_archive_events_total", "Room log events written to MongoDB")
ARCHIVE_SECONDS = Histogram("headrace_archive_seconds", "Time to archive one batch", buckets=_FAST)
ARCHIVE_LAG_SECONDS = Gauge("headrace_archive_lag_seconds", "Age of the newest event of the last batch archived")
ARCHIVE_ERRORS = Counter("headrace_archive_errors_total", "Archive steps that will be tried again", ["error"])
TOKENS_REFUSED = Counter("headrace_tokens_refused_total", "Tokens not accepted", ["code"])
PLAYBACK_BITRATE = Histogram(
    "headrace_playback_bitrate_bits_per_second",
    "What viewers say they receive",
    buckets=(100e3, 300e3, 600e3, 1e6, 1.5e6, 2.5e6, 4e6, 6e6, 10e6),
)
PLAYBACK_FREEZES = Counter("headrace_playback_freezes_total", "Freezes that viewers report")
SFU_SECONDS = Histogram("headrace_sfu_call_seconds", "Time of a call to an SFU worker", ["call"], buckets=_FAST)
SFU_ERRORS = Counter("headrace_sfu_call_errors_total", "Calls that an SFU worker refused or did not answer", ["code"])
LOOP_LAG_SECONDS = Gauge("headrace_event_loop_lag_seconds", "How late the event loop was, at the last look")
