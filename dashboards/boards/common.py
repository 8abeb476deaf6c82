"""Panels that are on several dashboards, and what most panels are made of."""

from dashboards.expressions import Fullest, Level, Quantile, Rate
from dashboards.objectives import ERRORS, MESSAGE_S
from dashboards.panels import Panel, Query
from shared.telemetry.catalogue import media, process, signaling, state
from shared.telemetry.metric import Metric


def rate(metric: Metric, by: str = "") -> Query:
    """A counter's rate, a line for each value of the label `by`."""
    return Query(Rate(metric, by), f"{{{{{by}}}}}" if by else metric.name)


def level(metric: Metric, legend: str) -> Query:
    """A gauge over all processes."""
    return Query(Level(metric), legend)


def quantiles(metric: Metric) -> tuple[Query, ...]:
    """The middle of a histogram and its upper end."""
    return Query(Quantile(metric, 0.5), "median"), Query(Quantile(metric, 0.95), "95 %")


LIVE_ROOMS = Panel(
    title="Live rooms",
    queries=(level(media.LIVE_ROOMS, "live rooms"),),
    wrong="A sudden fall without a deployment: look at SFU fleet, sessions ended by reason. `lost` is the network or a "
    "worker, `failed` a handshake.",
)
WATCHING = Panel(
    title="People watching",
    queries=(
        level(signaling.VIEWERS, "in rooms"),
        Query(Level(media.SESSIONS, "sum", "kind"), "media sessions, {{kind}}"),
    ),
    wrong="Many in rooms and few media sessions: people get chat and no video. Look at SFU fleet, sessions refused.",
)
ERRORS_PANEL = Panel(
    title="Failed requests and messages",
    unit="share",
    queries=(Query(ERRORS, "failed"),),
    wrong="Above 1 %: follow docs/runbooks/errors-high.md.",
    limit=0.01,
)
MESSAGE_TIME = Panel(
    title="Messages, from the log to the sockets",
    unit="seconds",
    queries=quantiles(state.TAIL_SECONDS),
    wrong="95 % above 100 ms: follow docs/runbooks/messages-late.md.",
    limit=MESSAGE_S,
)
CPU = Panel(
    title="Processor, busiest process",
    unit="share",
    queries=(Query(Fullest(process.CPU_USED), "{{job}}"),),
    wrong="Above 85 %: follow docs/runbooks/cpu-high.md. A process uses one core, more processes are the remedy.",
    limit=0.85,
)
MEMORY = Panel(
    title="Memory, fullest process",
    unit="share",
    queries=(Query(Fullest(process.MEMORY_USED), "{{job}}"),),
    wrong="Above 80 %: follow docs/runbooks/memory-high.md.",
    limit=0.8,
)
DEPENDENCIES = Panel(
    title="Redis and MongoDB are there",
    queries=(Query(Level(state.DEPENDENCY_UP, "min", "dependency"), "{{dependency}}"),),
    wrong="0: a process cannot reach it. Follow docs/runbooks/dependency-down.md.",
)
