"""Metrics of an SFU worker: packets, sessions, what viewers get, and what the fleet knows of the worker."""

from shared.telemetry.catalogue.buckets import BITRATES, FINE_LAG_S, LAG_S
from shared.telemetry.metric import Label, Metric

KINDS = ("publish", "subscribe", "pull", "feed")
"""Of sessions: `pull` and `feed` are the two ends of a room's stream on its way from worker to worker."""
LAYERS = ("0", "1", "2", "none")
"""Places of layers, smallest first; `none`: no video, for the viewer wants none or it has not begun."""

_KIND = Label("kind", "of session", KINDS)

TRAFFIC = {
    "bytes_in": Metric(
        name="sfu_bytes_in_total",
        kind="counter",
        unit="bytes",
        help="Bytes of RTP received from publishers, decrypted",
        question="What do publishers send?",
    ),
    "bytes_out": Metric(
        name="sfu_bytes_out_total",
        kind="counter",
        unit="bytes",
        help="Bytes of SRTP sent to viewers",
        question="What does egress cost?",
    ),
    "feedbacks_in": Metric(
        name="sfu_feedbacks_in_total",
        kind="counter",
        help="Packets of transport-wide feedback received from viewers",
        question="Can estimates be made of it, or is REMB all that there is?",
    ),
    "keyframe_requests_in": Metric(
        name="sfu_keyframe_requests_in_total",
        kind="counter",
        help="PLI and FIR received from viewers",
        question="Do viewers lose the picture?",
    ),
    "keyframe_requests_out": Metric(
        name="sfu_keyframe_requests_out_total",
        kind="counter",
        help="PLI and FIR sent to publishers",
        question="Are publishers asked too often? Each keyframe costs quality.",
    ),
    "nacks_in": Metric(
        name="sfu_nacks_in_total",
        kind="counter",
        help="Sequence numbers that viewers reported missing",
        question="How much is lost on the way to viewers?",
    ),
    "nacks_out": Metric(
        name="sfu_nacks_out_total",
        kind="counter",
        help="Sequence numbers that we reported missing to publishers",
        question="How much is lost on the way from publishers?",
    ),
    "packets_in": Metric(
        name="sfu_packets_in_total",
        kind="counter",
        help="RTP packets received from publishers",
        question="Does media arrive?",
    ),
    "packets_out": Metric(
        name="sfu_packets_out_total",
        kind="counter",
        help="RTP packets sent to viewers, without those sent again for any reason",
        question="Does media leave?",
    ),
    "packets_probed": Metric(
        name="sfu_packets_probed_total",
        kind="counter",
        help="RTP packets sent to a viewer again to see whether the way carries more",
        question="How much of the capacity goes into probes?",
    ),
    "packets_resent": Metric(
        name="sfu_packets_resent_total",
        kind="counter",
        help="RTP packets sent to a viewer again",
        question="How much of the capacity goes into repair?",
    ),
    "rtcp_skipped": Metric(
        name="sfu_rtcp_skipped_total",
        kind="counter",
        help="RTCP packets of a kind that we do not read, or malformed",
        question="Has a browser begun to say something new?",
    ),
    "send_failures": Metric(
        name="sfu_send_failures_total",
        kind="counter",
        help="Datagrams that the kernel did not take",
        question="Are the socket's buffers too small?",
    ),
    "stun_checks": Metric(
        name="sfu_stun_checks_total",
        kind="counter",
        help="Authenticated connectivity checks answered",
        question="Are peers alive?",
    ),
}
"""By attribute of the worker's plain counters."""

DROP_REASONS = (
    "address_taken",
    "dtls_queue",
    "internal_error",
    "late",
    "nack_budget",
    "nack_unknown",
    "not_webrtc",
    "payload_type",
    "plane_queue",
    "plane_refused",
    "recording_behind",
    "rtp_from_viewer",
    "rtp_malformed",
    "rtx_unneeded",
    "srtp_early",
    "srtp_protect",
    "srtp_unprotect",
    "stun_integrity",
    "stun_malformed",
    "stun_short",
    "stun_unexpected",
    "tcp_full",
    "tcp_stranger",
    "tcp_frame",
    "too_long",
    "too_many_sources",
    "unknown_address",
    "unknown_layer",
    "unknown_ufrag",
)

DROPS = Metric(
    name="sfu_drops_total",
    kind="counter",
    help="Datagrams and packets that went no further",
    question="What is thrown away, and why?",
    labels=(Label("reason", "why", DROP_REASONS),),
)
SESSIONS = Metric(
    name="sfu_sessions",
    kind="gauge",
    help="Sessions that exist",
    question="How many publish and watch at this worker?",
    labels=(_KIND,),
)
LIVE_ROOMS = Metric(
    name="sfu_live_rooms",
    kind="gauge",
    help="Streams that are live at this worker; a room has one at most",
    question="How many rooms are live?",
)
VIEWERS = Metric(
    name="sfu_viewers",
    kind="gauge",
    help="Connected viewers by the layer that they are sent",
    question="Who gets which quality?",
    labels=(Label("layer", "its place, smallest first", LAYERS),),
)
LAYERS_SENT = Metric(
    name="sfu_layers",
    kind="gauge",
    help="Layers of video that publishers send at present",
    question="Do publishers send all layers of their simulcast?",
)
WATCH_SECONDS = Metric(
    name="sfu_watch_seconds_total",
    kind="counter",
    unit="seconds",
    help="Time that viewers were connected, all of them together",
    question="How much is watched?",
)
RECORDINGS = Metric(
    name="sfu_recordings",
    kind="gauge",
    help="Streams that are being recorded",
    question="Does recording go on where it should?",
)
RECORDING_UPLOADS = Metric(
    name="sfu_recording_uploads_total",
    kind="counter",
    help="Attempts to upload a recording to the object store",
    question="Do recordings get to where they are kept?",
    labels=(Label("outcome", "what became of it", ("done", "failed", "abandoned")),),
)
UPLINK_LOST = Metric(
    name="sfu_uplink_packets_lost_total",
    kind="counter",
    help="Packets lost on the way from publishers and never repaired",
    question="Do viewers see damage that began at the publisher?",
)
DOWNLINK_LOST = Metric(
    name="sfu_downlink_packets_lost_total",
    kind="counter",
    help="Packets that viewers reported lost for good",
    question="Do viewers see damage that began on their way?",
)
ROUND_TRIP = Metric(
    name="sfu_round_trip_seconds",
    kind="histogram",
    unit="seconds",
    help="Round trips to viewers; each is looked at every five seconds",
    question="How far away are viewers, or how full are their links?",
    buckets=LAG_S,
)
ESTIMATE = Metric(
    name="sfu_estimate_bits_per_second",
    kind="histogram",
    unit="bits per second",
    help="What the way to each viewer is thought to carry; looked at every five seconds",
    question="What quality could people get?",
    buckets=BITRATES,
)
LOAD = Metric(
    name="sfu_load_packets_per_second",
    kind="gauge",
    unit="packets per second",
    help="Packets sent per second",
    question="How much of the worker's budget is used?",
)
CAPACITY = Metric(
    name="sfu_capacity_packets_per_second",
    kind="gauge",
    unit="packets per second",
    help="Packets per second that this worker may carry",
    question="How much more can the fleet take?",
)
REGISTRATION_AGE = Metric(
    name="sfu_registration_age_seconds",
    kind="gauge",
    unit="seconds",
    help="Time since the lease was last renewed; placement forgets the worker after five",
    question="Does placement know this worker?",
)
REGISTRATION_FAILURES = Metric(
    name="sfu_registration_failures_total",
    kind="counter",
    help="Lease renewals that failed",
    question="Is the way to Redis interrupted?",
)
LAYER_DECISIONS = Metric(
    name="sfu_layer_decisions_total",
    kind="counter",
    help="Changes of a viewer's layer",
    question="Why do viewers change quality, and how often?",
    labels=(Label("reason", "overuse, loss, queue, fits, trial, choice, …", at_most=20),),
)
REFUSED = Metric(
    name="sfu_refused_total",
    kind="counter",
    help="Sessions refused",
    question="Why do people get no session?",
    labels=(Label("code", "problem code", at_most=30),),
)
SESSIONS_ENDED = Metric(
    name="sfu_sessions_ended_total",
    kind="counter",
    help="Sessions ended",
    question="Do sessions end because people leave, or because they are lost?",
    labels=(_KIND, Label("reason", "why", ("left", "lost", "replaced", "drained", "moved", "failed"))),
)
LINKS = Metric(
    name="sfu_links_total",
    kind="counter",
    help="Ways from another worker that were opened for a room",
    question="How often do edges have to look for another parent?",
    labels=(Label("why", "the room's first way here, or another one", ("first", "again")),),
)
ORPHANS = Metric(
    name="sfu_orphans_reaped_total",
    kind="counter",
    help="Feeds to other workers that were ended since nothing came from there any more",
    question="Do edges die, or do they leave without a word?",
)
MOVES = Metric(
    name="sfu_moves_total",
    kind="counter",
    help="Sessions that were told to go to another worker",
    question="How far is a drain, and are people moved otherwise?",
    labels=(_KIND,),
)
HANDSHAKE_FAILURES = Metric(
    name="sfu_handshake_failures_total",
    kind="counter",
    help="DTLS handshakes that failed",
    question="Is there a client that cannot connect?",
    labels=(_KIND,),
)
CANDIDATES = Metric(
    name="sfu_trickled_candidates_total",
    kind="counter",
    help="Candidates received by trickle and not needed",
    question="Do clients still trickle?",
)
RESTARTS = Metric(
    name="sfu_ice_restarts_total",
    kind="counter",
    help="ICE sessions begun anew within a session",
    question="Do people change networks?",
)
EVENT_FAILURES = Metric(
    name="sfu_stream_event_failures_total",
    kind="counter",
    help="Failed attempts to append a stream event",
    question="Is the room log out of reach?",
)
EVENTS_LOST = Metric(
    name="sfu_stream_events_lost_total",
    kind="counter",
    help="Stream events given up",
    question="Do rooms show a stream that is over, or miss one?",
)
QUALITY_NOTICES_LOST = Metric(
    name="sfu_quality_notices_lost_total",
    kind="counter",
    help="Notices to viewers about their quality that could not be sent",
    question="Do players show what viewers get?",
)
LOOP_LAG = Metric(
    name="sfu_event_loop_lag_seconds",
    kind="histogram",
    unit="seconds",
    help="How late the event loop runs a timer",
    question="Is something blocking the worker's control plane?",
    buckets=FINE_LAG_S,
)
LOOP_ERRORS = Metric(
    name="sfu_loop_errors_total",
    kind="counter",
    help="Exceptions that reached the event loop's handler",
    question="Is there a fault that nobody caught?",
)

ALL = (
    *TRAFFIC.values(),
    DROPS,
    SESSIONS,
    LIVE_ROOMS,
    VIEWERS,
    LAYERS_SENT,
    WATCH_SECONDS,
    RECORDINGS,
    RECORDING_UPLOADS,
    UPLINK_LOST,
    DOWNLINK_LOST,
    ROUND_TRIP,
    ESTIMATE,
    LOAD,
    CAPACITY,
    REGISTRATION_AGE,
    REGISTRATION_FAILURES,
    LAYER_DECISIONS,
    REFUSED,
    SESSIONS_ENDED,
    LINKS,
    ORPHANS,
    MOVES,
    HANDSHAKE_FAILURES,
    CANDIDATES,
    RESTARTS,
    EVENT_FAILURES,
    EVENTS_LOST,
    QUALITY_NOTICES_LOST,
    LOOP_LAG,
    LOOP_ERRORS,
)
