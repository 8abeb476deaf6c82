"""Metrics of the HTTP API: requests, tokens, calls to SFU workers, placement, and what people do with it."""

from shared.telemetry.catalogue.buckets import FAST_S
from shared.telemetry.metric import Label, Metric

FUNCTION_NAMES = ("api", "archive", "signaling", "web")
"""What a function process may be told to do; the values of a label."""

SERVES = Metric(
    name="headrace_serves",
    kind="gauge",
    help="1 when this process does that function",
    question="Is there a process left for each function?",
    labels=(Label("function", "which", FUNCTION_NAMES),),
)

_ROUTE = Label("route", "template of the path, as /v1/rooms/{room_id}; `unmatched` where there is none", at_most=80)

HTTP_REQUESTS = Metric(
    name="headrace_http_requests_total",
    kind="counter",
    help="HTTP requests answered, those for health left out",
    question="How many requests come, and how many fail?",
    labels=(
        _ROUTE,
        Label("method", "GET, POST, …; `other` for one that no route has", at_most=9),
        Label("status", "of the answer", at_most=30),
    ),
)
HTTP_SECONDS = Metric(
    name="headrace_http_request_seconds",
    kind="histogram",
    unit="seconds",
    help="Time to answer an HTTP request",
    question="How long do requests take?",
    labels=(_ROUTE,),
    buckets=FAST_S,
)
HTTP_IN_FLIGHT = Metric(
    name="headrace_http_requests_in_flight",
    kind="gauge",
    help="HTTP requests that are being answered",
    question="Do requests pile up behind something that hangs?",
)
TOKENS_REFUSED = Metric(
    name="headrace_tokens_refused_total",
    kind="counter",
    help="Tokens not accepted",
    question="Does somebody try tokens, or have clocks or keys gone apart?",
    labels=(
        Label(
            "code",
            "of the refusal",
            ("token_refused", "token_expired", "token_revoked", "token_replayed", "key_refused"),
        ),
    ),
)
SFU_SECONDS = Metric(
    name="headrace_sfu_call_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of a call to an SFU worker",
    question="Do workers answer at once?",
    labels=(Label("call", "what was asked: publish, subscribe, answer, trickle, …", at_most=20),),
    buckets=FAST_S,
)
SFU_ERRORS = Metric(
    name="headrace_sfu_call_errors_total",
    kind="counter",
    help="Calls that an SFU worker refused or did not answer",
    question="Why do people get no video?",
    labels=(Label("code", "problem code of the worker, or `unreachable`", at_most=40),),
)
PLACEMENTS = Metric(
    name="headrace_placements_total",
    kind="counter",
    help="Publishers and viewers for whom a worker was looked for",
    question="Is there room in the fleet?",
    labels=(Label("result", "what was found", ("placed", "no_capacity")),),
)
ROOMS_CREATED = Metric(
    name="headrace_rooms_created_total",
    kind="counter",
    help="Rooms created",
    question="Do people begin to stream?",
)
GUESTS_CREATED = Metric(
    name="headrace_guests_created_total",
    kind="counter",
    help="People who gave a name and got an identity",
    question="Do new people come?",
)
USERS_CREATED = Metric(
    name="headrace_users_created_total",
    kind="counter",
    help="People who registered",
    question="Do people come to stay?",
)
SIGN_INS = Metric(
    name="headrace_sign_ins_total",
    kind="counter",
    help="Attempts to sign in with a password",
    question="Does somebody guess passwords?",
    labels=(Label("result", "of the attempt", ("signed_in", "refused", "backed_off", "busy")),),
)
SESSIONS_REFRESHED = Metric(
    name="headrace_sessions_refreshed_total",
    kind="counter",
    help="Refresh tokens presented",
    question="Are refresh tokens stolen, or sessions lost?",
    labels=(
        Label(
            "result",
            "refreshed, of a session that is unknown or over, or used before",
            ("refreshed", "unknown", "reused"),
        ),
    ),
)
PASSWORDS_WAITING = Metric(
    name="headrace_passwords_waiting",
    kind="gauge",
    help="Passwords that are being hashed or wait for it",
    question="Are there more sign-ins than a process can check?",
)
KEYS_KNOWN = Metric(
    name="headrace_signing_keys",
    kind="gauge",
    help="Keys that this process verifies with",
    question="Has every process heard of a rotation?",
)
REVOCATIONS = Metric(
    name="headrace_revocations",
    kind="gauge",
    help="Sessions and API keys on the revocation list",
    question="Is the list as short as it should be?",
)

ALL = (
    SERVES,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_IN_FLIGHT,
    TOKENS_REFUSED,
    SFU_SECONDS,
    SFU_ERRORS,
    PLACEMENTS,
    ROOMS_CREATED,
    GUESTS_CREATED,
    USERS_CREATED,
    SIGN_INS,
    SESSIONS_REFRESHED,
    PASSWORDS_WAITING,
    KEYS_KNOWN,
    REVOCATIONS,
)
