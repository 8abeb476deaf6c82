"""Metrics of what functions keep elsewhere: the room log, the archive, Redis and MongoDB."""

from shared.telemetry.catalogue.buckets import COUNTS, FAST_S
from shared.telemetry.metric import Label, Metric

DEPENDENCIES = ("redis", "mongodb")
COMMANDS = ("find", "insert", "update", "delete", "aggregate", "getmore", "other")
"""Groups of MongoDB commands; the values of a label."""

_DEPENDENCY = Label("dependency", "which", DEPENDENCIES)

APPEND_SECONDS = Metric(
    name="headrace_log_append_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of one append call to the room log",
    question="How long does a sender wait for the log?",
    buckets=FAST_S,
)
APPEND_BATCH = Metric(
    name="headrace_log_append_batch",
    kind="histogram",
    help="Messages in one append call",
    question="How much does the tick save?",
    buckets=COUNTS,
)
APPENDED = Metric(
    name="headrace_log_appended_total",
    kind="counter",
    help="Messages and gifts by what became of them",
    question="Do messages get into the log?",
    labels=(
        Label(
            "outcome",
            "`unknown`: the log did not answer, and the client was told to try again",
            ("appended", "duplicate", "too_fast", "slow_mode", "banned", "blocked", "unknown"),
        ),
    ),
)
EVENTS_FANNED_OUT = Metric(
    name="headrace_log_events_fanned_out_total",
    kind="counter",
    help="Room log events read and fanned out",
    question="How many events does this process read?",
)
TAIL_SECONDS = Metric(
    name="headrace_log_tail_seconds",
    kind="histogram",
    unit="seconds",
    help="Age of the oldest event of a frame when the frame has been handed to the sockets",
    question="How long does a message take through the platform?",
    buckets=FAST_S,
)
TAIL_LATE = Metric(
    name="headrace_log_tail_late_total",
    kind="counter",
    help="Frames whose oldest event was more than 100 ms old",
    question="Is the objective for messages kept?",
)
TAIL_ERRORS = Metric(
    name="headrace_log_tail_errors_total",
    kind="counter",
    help="Reads of the room log that failed",
    question="Is the way to Redis interrupted?",
)
GAPS = Metric(
    name="headrace_log_gaps_total",
    kind="counter",
    help="Gaps that clients were told of",
    question="Were clients away for longer than the log reaches, or was the log lost?",
    labels=(Label("reason", "why", ("trimmed", "epoch")),),
)
LOST = Metric(
    name="headrace_log_events_lost_total",
    kind="counter",
    help="Events cut from room logs before they were in MongoDB, because more waited than a log may hold",
    question="Is history being lost?",
)
ARCHIVED = Metric(
    name="headrace_archive_events_total",
    kind="counter",
    help="Room log events written to MongoDB",
    question="Does the archive keep up?",
)
ARCHIVE_SECONDS = Metric(
    name="headrace_archive_seconds",
    kind="histogram",
    unit="seconds",
    help="Time to archive one batch",
    question="Is MongoDB slow to write?",
    buckets=FAST_S,
)
ARCHIVE_LAG = Metric(
    name="headrace_archive_lag_seconds",
    kind="gauge",
    unit="seconds",
    help="Age of the oldest event that this process has read and not got into MongoDB; 0 when there is none",
    question="How far behind is the history?",
)
ARCHIVE_ERRORS = Metric(
    name="headrace_archive_errors_total",
    kind="counter",
    help="Archive steps that will be tried again",
    question="Why does the archive not get on?",
    labels=(Label("dependency", "which failed", DEPENDENCIES),),
)
WEBHOOKS = Metric(
    name="headrace_webhook_attempts_total",
    kind="counter",
    help="Attempts to tell a webhook of an event",
    question="Do the servers of our users hear of what happens?",
    labels=(Label("outcome", "what came of it", ("delivered", "retried", "given_up")),),
)
WEBHOOK_SECONDS = Metric(
    name="headrace_webhook_attempt_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of one attempt to tell a webhook",
    question="Are the servers of our users slow?",
    buckets=FAST_S,
)
DEPENDENCY_UP = Metric(
    name="headrace_dependency_up",
    kind="gauge",
    help="1 when it answered the last question, asked every five seconds",
    question="Is what we stand on there?",
    labels=(_DEPENDENCY,),
)
DEPENDENCY_SECONDS = Metric(
    name="headrace_dependency_seconds",
    kind="gauge",
    unit="seconds",
    help="How long it took to answer that",
    question="Is it slow, or far away?",
    labels=(_DEPENDENCY,),
)
REDIS_POOL = Metric(
    name="headrace_redis_pool_connections",
    kind="gauge",
    help="Connections of the client's pool",
    question="Does each command need a connection of its own, as when Redis is slow?",
    labels=(Label("state", "of the connection", ("idle", "used")),),
)
MONGODB_POOL = Metric(
    name="headrace_mongodb_pool_connections",
    kind="gauge",
    help="Connections of the driver's pool",
    question="Is the pool used up?",
    labels=(Label("state", "of the connection", ("open", "used")),),
)
MONGODB_CHECKOUT_FAILURES = Metric(
    name="headrace_mongodb_checkout_failures_total",
    kind="counter",
    help="Waits for a connection of the pool that were in vain",
    question="Is the pool too small, or MongoDB gone?",
)
MONGODB_SECONDS = Metric(
    name="headrace_mongodb_command_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of MongoDB commands",
    question="Which kind of command is slow?",
    labels=(Label("command", "its group", COMMANDS),),
    buckets=FAST_S,
)
MONGODB_ERRORS = Metric(
    name="headrace_mongodb_command_errors_total",
    kind="counter",
    help="MongoDB commands that failed",
    question="Which kind of command fails?",
    labels=(Label("command", "its group", COMMANDS),),
)

ALL = (
    APPEND_SECONDS,
    APPEND_BATCH,
    APPENDED,
    EVENTS_FANNED_OUT,
    TAIL_SECONDS,
    TAIL_LATE,
    TAIL_ERRORS,
    GAPS,
    LOST,
    ARCHIVED,
    ARCHIVE_SECONDS,
    ARCHIVE_LAG,
    ARCHIVE_ERRORS,
    WEBHOOKS,
    WEBHOOK_SECONDS,
    DEPENDENCY_UP,
    DEPENDENCY_SECONDS,
    REDIS_POOL,
    MONGODB_POOL,
    MONGODB_CHECKOUT_FAILURES,
    MONGODB_SECONDS,
    MONGODB_ERRORS,
)
