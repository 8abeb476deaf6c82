"""Metrics of the HTTP API: requests, tokens, calls to SFU workers, placement, and what people do with it."""

from shared.telemetry.catalogue.buckets import FAST_S
from shared.telemetry.metric import Label, Metric

_ROUTE = Label("route", "template of the path, as /v1/rooms/{room_id}; `unmatched` where there is none", at_most=40)

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
    labels=(Label("code", "of the refusal", ("token_refused", "token_expired")),),
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
    help="Streams for which a worker was looked for",
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

ALL = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_IN_FLIGHT,
    TOKENS_REFUSED,
    SFU_SECONDS,
    SFU_ERRORS,
    PLACEMENTS,
    ROOMS_CREATED,
    GUESTS_CREATED,
)
