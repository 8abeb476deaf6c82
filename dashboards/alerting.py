"""What wakes somebody up: Prometheus rules, and the same as CloudWatch alarms. Each has a page in docs/runbooks.

The burn rates are those of the Site Reliability Workbook, chapter 5: a window long enough to matter and a short one, so
that an alert ends soon after its cause has.
"""

from typing import Any, Literal

import msgspec

from dashboards.alarms import Alarm, Watched, one_of
from dashboards.expressions import BusiestCore, Level, Quantile, Ratio, promql
from dashboards.objectives import BUDGET, ERRORS, FAILED_STATUS, MESSAGE_S
from shared.telemetry.catalogue import media, process, signaling, state, web

Severity = Literal["page", "ticket"]
WINDOWS = ("2m", "5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. `name` is that of its runbook and of its CloudWatch alarms."""

    name: str
    title: str
    expr: str
    after: str
    """How long it must hold."""
    severity: Severity
    summary: str
    alarms: dict[str, Alarm]
    """For CloudWatch: what is added to the alert's name -> the alarm."""


def recorded(window: str) -> str:
    """The name under which the share of failures over a window is recorded."""
    return f"headrace:errors:ratio_rate{window}"


def recordings() -> list[dict[str, str]]:
    """The recording rules."""
    return [{"record": recorded(window), "expr": promql(ERRORS, window)} for window in WINDOWS]


def rules() -> list[dict[str, Any]]:
    """The alerting rules."""
    return [
        {
            "alert": alert.title,
            "expr": alert.expr,
            "for": alert.after,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "runbook": f"docs/runbooks/{alert.name}.md"},
        }
        for alert in ALERTS
    ]


def alarms() -> dict[str, Any]:
    """CloudWatch's alarms by name, as terraform/modules/monitoring takes them."""
    return {
        f"{alert.name}{added}": alarm.fields(f"{alert.summary} See docs/runbooks/{alert.name}.md.")
        for alert in ALERTS
        for added, alarm in alert.alarms.items()
    }


def _burns(rate: float, long: str, short: str) -> str:
    limit = f"{rate * BUDGET:.4g}"
    return f"({recorded(long)} > {limit} and {recorded(short)} > {limit})"


def _failures(period_s: int, limit: float, periods: int) -> Alarm:
    watched = {
        f"s{status}": Watched(web.HTTP_REQUESTS.name, "Sum", {"service": "functions", "status": status})
        for status in FAILED_STATUS
    }
    failed = " + ".join(f"FILL({name}, 0)" for name in (*watched, "unknown"))
    return Alarm(
        threshold=limit,
        period_s=period_s,
        periods=periods,
        expression=f"({failed}) / (FILL(requests, 0) + FILL(messages, 0))",
        watched=watched
        | {
            "unknown": Watched(state.APPENDED.name, "Sum", {"service": "functions", "outcome": "unknown"}),
            "requests": Watched(web.HTTP_REQUESTS.name, "Sum", {"service": "functions"}),
            "messages": Watched(state.APPENDED.name, "Sum", {"service": "functions"}),
        },
    )


def _of_both(make: Any) -> dict[str, Alarm]:  # noqa: ANN401 - a function of a service's name
    return {f"-{service}": make(service) for service in ("functions", "sfu")}


ALERTS = (
    Alert(
        name="room-too-full",
        title="RoomTooFull",
        expr=f"{promql(Level(signaling.ROOM_CONNECTIONS_MAX, 'max'))} > 1000",
        after="1m",
        severity="ticket",
        summary="A room has more than 1,000 connections.",
        alarms={"": one_of(signaling.ROOM_CONNECTIONS_MAX.name, "Maximum", 1000, service="functions")},
    ),
    Alert(
        name="messages-late",
        title="MessagesLate",
        expr=f"{promql(Quantile(state.TAIL_SECONDS, 0.95), '5m')} > {MESSAGE_S}",
        after="5m",
        severity="page",
        summary="More than 5 % of messages take longer than 100 ms from the log to the sockets.",
        alarms={
            "": Alarm(
                threshold=0.05,
                periods=5,
                expression="late / total",
                watched={
                    "late": Watched(state.TAIL_LATE.name, "Sum", {"service": "functions"}),
                    "total": Watched(state.TAIL_SECONDS.name, "SampleCount", {"service": "functions"}),
                },
            )
        },
    ),
    Alert(
        name="errors-high",
        title="ErrorsHigh",
        expr=f"{recorded('2m')} > 0.01",
        after="2m",
        severity="page",
        summary="More than 1 % of requests and messages fail.",
        alarms={"": _failures(60, 0.01, 2)},
    ),
    Alert(
        name="service-down",
        title="ServiceDown",
        expr='up{job=~"functions|sfu"} == 0 or absent(up{job="functions"}) or absent(up{job="sfu"})',
        after="1m",
        severity="page",
        summary="A function process or an SFU worker does not answer, or there is none.",
        alarms=_of_both(
            lambda service: one_of(
                process.DRAINING.name, "SampleCount", 1, service=service, compare="LessThan", missing="breaching"
            )
        ),
    ),
    Alert(
        name="dependency-down",
        title="DependencyDown",
        expr=f"{promql(Level(state.DEPENDENCY_UP, 'min', 'dependency'))} == 0",
        after="30s",
        severity="page",
        summary="A process cannot reach Redis or MongoDB.",
        alarms={
            f"-{dependency}": one_of(
                state.DEPENDENCY_UP.name, "Minimum", 1, service="functions", dependency=dependency, compare="LessThan"
            )
            for dependency in state.DEPENDENCIES
        },
    ),
    Alert(
        name="cpu-high",
        title="CpuHigh",
        expr=f"{promql(BusiestCore(process.CPU_SECONDS), '2m').replace('by (job)', 'by (job, instance)')} > 0.85",
        after="5m",
        severity="ticket",
        summary="A process uses more than 85 % of its core.",
        alarms=_of_both(
            lambda service: Alarm(
                threshold=0.85,
                periods=5,
                expression="used / 60",
                watched={"used": Watched(process.CPU_SECONDS.name, "Maximum", {"service": service})},
            )
        ),
    ),
    Alert(
        name="memory-high",
        title="MemoryHigh",
        expr=f"{process.RESIDENT_MEMORY.name} / ({process.MEMORY_LIMIT.name} > 0) > 0.8",
        after="5m",
        severity="ticket",
        summary="A process uses more than 80 % of the memory that it may use.",
        alarms=_of_both(
            lambda service: Alarm(
                threshold=0.8,
                periods=5,
                expression="used / limit",
                watched={
                    "used": Watched(process.RESIDENT_MEMORY.name, "Maximum", {"service": service}),
                    "limit": Watched(process.MEMORY_LIMIT.name, "Minimum", {"service": service}),
                },
            )
        ),
    ),
    Alert(
        name="error-budget-burns-fast",
        title="ErrorBudgetBurnsFast",
        expr=f"{_burns(14.4, '1h', '5m')} or {_burns(6, '6h', '30m')}",
        after="0m",
        severity="page",
        summary="At this rate the month's error budget of 0.1 % is used up within days.",
        alarms={"": _failures(3600, 14.4 * BUDGET, 1)},
    ),
    Alert(
        name="error-budget-burns-slowly",
        title="ErrorBudgetBurnsSlowly",
        expr=f"{_burns(3, '1d', '2h')} or {_burns(1, '3d', '6h')}",
        after="0m",
        severity="ticket",
        summary="At this rate the month's error budget of 0.1 % does not last for the month.",
        alarms={"": _failures(86_400, 3 * BUDGET, 1)},
    ),
    Alert(
        name="events-lost",
        title="EventsLost",
        expr=f"sum(increase({state.LOST.name}[10m])) > 0",
        after="0m",
        severity="page",
        summary="Events were cut from a room's log before they were in MongoDB.",
        alarms={"": one_of(state.LOST.name, "Sum", 0, service="functions")},
    ),
    Alert(
        name="archive-behind",
        title="ArchiveBehind",
        expr=f"{promql(Level(state.ARCHIVE_LAG, 'max'))} > 60",
        after="5m",
        severity="ticket",
        summary="The archive is more than a minute behind the room logs.",
        alarms={"": one_of(state.ARCHIVE_LAG.name, "Maximum", 60, service="functions", periods=5)},
    ),
    Alert(
        name="fleet-full",
        title="FleetFull",
        expr=(
            f"{promql(Ratio(Level(media.LOAD), Level(media.CAPACITY)))} > 0.8 "
            f'or sum(rate({web.PLACEMENTS.name}{{result="no_capacity"}}[5m])) > 0'
        ),
        after="2m",
        severity="page",
        summary="The SFU fleet uses more than 80 % of its packet budget, or found no place for a stream.",
        alarms={
            "": Alarm(
                threshold=0.8,
                periods=2,
                expression="load / capacity",
                watched={
                    "load": Watched(media.LOAD.name, "Sum", {"service": "sfu"}),
                    "capacity": Watched(media.CAPACITY.name, "Sum", {"service": "sfu"}),
                },
            ),
            "-refused": one_of(web.PLACEMENTS.name, "Sum", 0, service="functions", result="no_capacity", periods=2),
        },
    ),
)
