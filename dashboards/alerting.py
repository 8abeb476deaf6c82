"""What wakes somebody up: Prometheus rules, and the same as CloudWatch alarms. Each has a page in docs/runbooks.

The burn rates are those of the Site Reliability Workbook, chapter 5: a window long enough to matter and a short one, so
that an alert ends soon after its cause has. A share of failures wakes nobody before there have been a few: at four in
the morning one request of three that fails is no outage.
"""

from typing import Any, Literal

import msgspec

from dashboards.alarms import Alarm, Composite, Watched, one_of
from dashboards.expressions import NAMESPACE, Level, Quantile, Ratio, promql
from dashboards.objectives import BUDGET, ERRORS, FAILED, FAILED_STATUS, MESSAGE_S
from shared.telemetry.catalogue import media, process, signaling, state, web

Severity = Literal["page", "ticket"]
WINDOWS = ("2m", "5m", "30m", "1h", "2h", "6h", "1d", "3d")
FEWEST = 5
"""Failures below which no share of them is an alert."""
COUNTED = ("2m", "1h", "6h", "1d", "3d")
"""Windows whose failures are counted as well: the long one of each pair."""
SECONDS = {"2m": 120, "5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21_600, "1d": 86_400, "3d": 259_200}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. `name` is that of its runbook and of its CloudWatch alarms."""

    name: str
    title: str
    expr: str
    after: str
    """How long it must hold."""
    severity: Severity
    summary: str
    alarms: dict[str, Alarm | Composite]
    """For CloudWatch: what is added to the alert's name -> the alarm."""
    parts: dict[str, Alarm] = {}
    """The same for those that tell nobody: a composite alarm looks at them."""


def recorded(window: str) -> str:
    """The name under which the share of failures over a window is recorded."""
    return f"headrace:errors:ratio_rate{window}"


def counted(window: str) -> str:
    """The name under which the number of failures over a window is recorded."""
    return f"headrace:errors:count{window}"


def recordings() -> list[dict[str, str]]:
    """The recording rules."""
    shares = [{"record": recorded(window), "expr": promql(ERRORS, window)} for window in WINDOWS]
    counts = [
        {"record": counted(window), "expr": f"({promql(FAILED, window)}) * {SECONDS[window]}"} for window in COUNTED
    ]
    return shares + counts


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
    made: dict[str, Any] = {}
    for alert in ALERTS:
        description = f"{alert.summary} See docs/runbooks/{alert.name}.md."
        for added, alarm in alert.alarms.items():
            made[f"{alert.name}{added}"] = alarm.fields(description, alert.severity)
        for added, part in alert.parts.items():
            made[f"{alert.name}{added}"] = part.fields(f"A part of {alert.name}: {alert.summary}", None)
    return made


def _burns(rate: float, long: str, short: str) -> str:
    limit = f"{rate * BUDGET:.4g}"
    return f"({recorded(long)} > {limit} and {recorded(short)} > {limit} and {counted(long)} >= {FEWEST})"


def _share(failed: str, all_of_them: str) -> str:
    return f"IF({failed} >= {FEWEST}, ({failed}) / ({all_of_them}), 0)"


def _failures(period_s: int, limit: float, periods: int = 1) -> Alarm:
    watched = {
        f"s{status}": Watched(web.HTTP_REQUESTS.name, "Sum", {"service": "functions", "status": status})
        for status in FAILED_STATUS
    }
    failed = " + ".join(f"FILL({name}, 0)" for name in (*watched, "unknown"))
    return Alarm(
        threshold=limit,
        period_s=period_s,
        periods=periods,
        expression=_share(failed, "FILL(requests, 0) + FILL(messages, 0)"),
        watched=watched
        | {
            "unknown": Watched(state.APPENDED.name, "Sum", {"service": "functions", "outcome": "unknown"}),
            "requests": Watched(web.HTTP_REQUESTS.name, "Sum", {"service": "functions"}),
            "messages": Watched(state.APPENDED.name, "Sum", {"service": "functions"}),
        },
    )


def _balancer_failures() -> Alarm:
    """What the load balancer answered itself, since no function was there to count it, and what functions did."""

    def sums(metric: str) -> Watched:
        return Watched(metric, "Sum", {"LoadBalancer": "${load_balancer}"}, "AWS/ApplicationELB")

    return Alarm(
        threshold=0.01,
        periods=2,
        expression=_share("FILL(own, 0) + FILL(theirs, 0)", "FILL(requests, 0) + FILL(own, 0)"),
        watched={
            "own": sums("HTTPCode_ELB_5XX_Count"),
            "theirs": sums("HTTPCode_Target_5XX_Count"),
            "requests": sums("RequestCount"),
        },
    )


def _over(window: str, rate: float) -> Alarm:
    # An alarm's period is a day at most.
    return _failures(86_400, rate * BUDGET, 3) if window == "3d" else _failures(SECONDS[window], rate * BUDGET)


def _burning(name: str, pairs: tuple[tuple[str, float, str], ...]) -> tuple[dict[str, Any], dict[str, Alarm]]:
    """The composite alarm of pairs of windows with their burn rate, and its parts; three days are three daily ones."""
    parts = {f"-{rate:g}x-{window}": _over(window, rate) for long, rate, short in pairs for window in (long, short)}
    rule = " OR ".join(
        f'(ALARM("{NAMESPACE}-{name}-{rate:g}x-{long}") AND ALARM("{NAMESPACE}-{name}-{rate:g}x-{short}"))'
        for long, rate, short in pairs
    )
    return {"": Composite(rule)}, parts


def _of_both(make: Any) -> dict[str, Alarm | Composite]:  # noqa: ANN401 - a function of a service's name
    return {f"-{service}": make(service) for service in ("functions", "sfu")}


_FAST = _burning("error-budget-burns-fast", (("1h", 14.4, "5m"), ("6h", 6, "30m")))
_SLOW = _burning("error-budget-burns-slowly", (("1d", 3, "2h"), ("3d", 1, "6h")))

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
        expr=f"{recorded('2m')} > 0.01 and {counted('2m')} >= {FEWEST}",
        after="2m",
        severity="page",
        summary="More than 1 % of requests and messages fail.",
        alarms={"": _failures(60, 0.01, 2), "-balancer": _balancer_failures()},
    ),
    Alert(
        name="service-down",
        title="ServiceDown",
        expr=" or ".join(
            (
                'up{job=~"functions|sfu"} == 0',
                f"{promql(Level(web.SERVES, 'sum', 'function'))} == 0",
                f"absent({web.SERVES.name})",
                'absent(up{job="sfu"})',
            )
        ),
        after="1m",
        severity="page",
        summary="A process does not answer, or none is left that does one of the functions, or no SFU worker is.",
        alarms={
            **{
                f"-{name}": one_of(
                    web.SERVES.name,
                    "Sum",
                    1,
                    service="functions",
                    function=name,
                    compare="LessThan",
                    periods=3,
                    missing="breaching",
                )
                for name in web.FUNCTION_NAMES
            },
            "-sfu": one_of(
                process.DRAINING.name,
                "SampleCount",
                1,
                service="sfu",
                compare="LessThan",
                periods=3,
                missing="breaching",
            ),
        },
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
        expr=f"max by (job, instance) ({process.CPU_USED.name}) > 0.85",
        after="5m",
        severity="ticket",
        summary="A process uses more than 85 % of the processor time that it may use.",
        alarms=_of_both(lambda service: one_of(process.CPU_USED.name, "Maximum", 0.85, service=service, periods=5)),
    ),
    Alert(
        name="memory-high",
        title="MemoryHigh",
        expr=f"max by (job, instance) ({process.MEMORY_USED.name}) > 0.8",
        after="5m",
        severity="ticket",
        summary="A process uses more than 80 % of the memory that it may use.",
        alarms=_of_both(lambda service: one_of(process.MEMORY_USED.name, "Maximum", 0.8, service=service, periods=5)),
    ),
    Alert(
        name="error-budget-burns-fast",
        title="ErrorBudgetBurnsFast",
        expr=f"{_burns(14.4, '1h', '5m')} or {_burns(6, '6h', '30m')}",
        after="0m",
        severity="page",
        summary="At this rate the month's error budget of 0.1 % is used up within days.",
        alarms=_FAST[0],
        parts=_FAST[1],
    ),
    Alert(
        name="error-budget-burns-slowly",
        title="ErrorBudgetBurnsSlowly",
        expr=f"{_burns(3, '1d', '2h')} or {_burns(1, '3d', '6h')}",
        after="0m",
        severity="ticket",
        summary="At this rate the month's error budget of 0.1 % does not last for the month.",
        alarms=_SLOW[0],
        parts=_SLOW[1],
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
            f'or sum(rate({web.PLACEMENTS.name}{{result="no_capacity"}}[2m])) > 0'
        ),
        after="2m",
        severity="page",
        summary="The SFU fleet uses more than 80 % of its packet budget, or goes on finding no place for streams.",
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
