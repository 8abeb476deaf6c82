"""What functions keep elsewhere."""

from dashboards.boards.common import DEPENDENCIES, quantiles, rate
from dashboards.expressions import Level, Mean, Quantile
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import state

STATE = Dashboard(
    name="state",
    title="Headrace: state",
    panels=(
        DEPENDENCIES,
        Panel(
            title="Answers of Redis and MongoDB",
            unit="seconds",
            queries=(Query(Level(state.DEPENDENCY_SECONDS, "max", "dependency"), "{{dependency}}"),),
            wrong="Above 50 ms: it is overloaded or in another zone. Look at its own metrics.",
        ),
        Panel(
            title="Appending to the room log",
            unit="seconds",
            queries=quantiles(state.APPEND_SECONDS),
            wrong="95 % above 20 ms: Redis is slow; its processor, or a large room's scripts.",
        ),
        Panel(
            title="Messages in one append",
            queries=(Query(Mean(state.APPEND_BATCH), "mean"),),
            wrong="No sign by itself: more when a room is busy.",
        ),
        Panel(
            title="Reads of the log that failed",
            unit="per second",
            queries=(rate(state.TAIL_ERRORS),),
            wrong="Above 0 for longer than a failover: docs/runbooks/dependency-down.md.",
        ),
        Panel(
            title="Connections to Redis",
            queries=(Query(Level(state.REDIS_POOL, "sum", "state"), "{{state}}"),),
            wrong="`used` rises: commands wait. Redis is slow or a command hangs.",
        ),
        Panel(
            title="Connections to MongoDB",
            queries=(Query(Level(state.MONGODB_POOL, "sum", "state"), "{{state}}"),),
            wrong="`used` near 20 a process: the pool is used up. Look at command times.",
        ),
        Panel(
            title="MongoDB commands",
            unit="seconds",
            queries=(Query(Quantile(state.MONGODB_SECONDS, 0.95, "command"), "{{command}}"),),
            wrong="`find` slow: an index is missing. `update` slow: its disk.",
        ),
        Panel(
            title="MongoDB failures",
            unit="per second",
            queries=(rate(state.MONGODB_ERRORS, "command"), rate(state.MONGODB_CHECKOUT_FAILURES)),
            wrong="Above 0 for longer than an election takes: docs/runbooks/dependency-down.md.",
        ),
        Panel(
            title="Archive",
            unit="per second",
            queries=(rate(state.ARCHIVED), rate(state.ARCHIVE_ERRORS, "dependency")),
            wrong="Errors and no events: MongoDB. Events wait in Redis meanwhile.",
        ),
        Panel(
            title="Time to archive a batch",
            unit="seconds",
            queries=quantiles(state.ARCHIVE_SECONDS),
            wrong="Above 1 s: MongoDB is slow to write, and the archive will fall behind.",
        ),
        Panel(
            title="How far the archive is behind",
            unit="seconds",
            queries=(Query(Level(state.ARCHIVE_LAG, "max"), "oldest event"),),
            wrong="Above a minute: follow docs/runbooks/archive-behind.md.",
            limit=60,
        ),
        Panel(
            title="Webhooks",
            unit="per second",
            queries=(rate(state.WEBHOOKS, "outcome"),),
            wrong="Only `retried`: no server of our users can be reached from here. Is there a way out?",
        ),
        Panel(
            title="Time of an attempt",
            unit="seconds",
            queries=quantiles(state.WEBHOOK_SECONDS),
            wrong="Above 5 s: servers of our users are slow, and eight of them hold up a process.",
        ),
        Panel(
            title="Events lost before they were archived",
            unit="per second",
            queries=(rate(state.LOST),),
            wrong="Anything above 0: follow docs/runbooks/events-lost.md at once.",
        ),
    ),
)
