"""What a panel draws, said once and written in two languages: PromQL, and CloudWatch's metric math.

CloudWatch keeps of a histogram no more than count, sum, least and most, so a quantile is a mean there.
"""

from typing import Literal

import msgspec

from shared.telemetry.metric import Metric

NAMESPACE = "${prefix}"
"""Of the metrics in CloudWatch; Terraform fills it in."""
SERVICE, PROCESS = "service", "process"
"""Dimensions that the collector adds: functions or sfu, and which of them."""
PERIOD_S = 60

How = Literal["sum", "max", "min"]
_STATISTICS: dict[How, str] = {"sum": "Sum", "max": "Maximum", "min": "Minimum"}


class Rate(msgspec.Struct, frozen=True):
    """Events per second of a counter, or observations of a histogram; `by` a label, `where` a label has such values."""

    metric: Metric
    by: str = ""
    where: tuple[str, tuple[str, ...]] | None = None


class Level(msgspec.Struct, frozen=True):
    """A gauge over all processes."""

    metric: Metric
    how: How = "sum"
    by: str = ""


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of a histogram."""

    metric: Metric
    share: float
    by: str = ""


class Mean(msgspec.Struct, frozen=True):
    """The mean of a histogram's observations."""

    metric: Metric


class Fullest(msgspec.Struct, frozen=True):
    """A gauge of the process that has most of it, among functions and among workers."""

    metric: Metric


class Firing(msgspec.Struct, frozen=True):
    """Our alerts that fire, each 1: Prometheus' own series. CloudWatch shows alarms by another means."""


class Ratio(msgspec.Struct, frozen=True):
    """One over the other."""

    part: "Sum | Rate | Level"
    whole: "Sum | Rate | Level"


class Sum(msgspec.Struct, frozen=True):
    """Several rates together."""

    rates: tuple[Rate, ...]


Expression = Rate | Level | Quantile | Mean | Fullest | Firing | Ratio | Sum


def metrics_of(expression: Expression) -> tuple[Metric, ...]:
    """The metrics that an expression is made of."""
    match expression:
        case Ratio(part, whole):
            return (*metrics_of(part), *metrics_of(whole))
        case Sum(rates):
            return tuple(rate.metric for rate in rates)
        case Firing():
            return ()
        case _:
            return (expression.metric,)


def promql(expression: Expression, window: str = "$__rate_interval") -> str:  # noqa: PLR0911 - one for each
    """In PromQL; rates are taken over `window`."""
    match expression:
        case Rate(metric, by, where):
            name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
            # A label that lists no values has no series before its first event: then nothing happened.
            zero = " or vector(0)" if where else ""
            return f"sum{_by(by)}(rate({name}{_where(where)}[{window}])){zero}"
        case Level(metric, how, by):
            return f"{how}{_by(by)}({metric.name})"
        case Quantile(metric, share, by):
            labels = f"le, {by}" if by else "le"
            return f"histogram_quantile({share}, sum by ({labels}) (rate({metric.name}_bucket[{window}])))"
        case Mean(metric):
            return f"sum(rate({metric.name}_sum[{window}])) / sum(rate({metric.name}_count[{window}]))"
        case Fullest(metric):
            return f"max by (job) ({metric.name})"
        case Firing():
            return 'max by (alertname) (ALERTS{alertstate="firing"}) or vector(0)'
        case Ratio(part, whole):
            return f"({promql(part, window)}) / ({promql(whole, window)})"
        case Sum(rates):
            return " + ".join(f"({promql(rate, window)})" for rate in rates)


def cloudwatch(expression: Expression) -> str:  # noqa: PLR0911 - one for each
    """In CloudWatch's metric math."""
    match expression:
        case Rate(metric, by, where):
            statistic = "SampleCount" if metric.kind == "histogram" else "Sum"
            found = _search(metric, statistic, by or (where[0] if where else ""), where)
            return f"{found} / {PERIOD_S}" if by else f"SUM({found}) / {PERIOD_S}"
        case Level(metric, "sum", ""):
            return f"SUM({_search(metric, 'Average', PROCESS)})"
        case Level(metric, how, by):
            found = _search(metric, _STATISTICS[how], by)
            return found if by else f"{how.upper()}({found})"
        case Quantile(metric, _, by):
            return _search(metric, "Average", by)
        case Mean(metric):
            return _search(metric, "Average")
        case Fullest(metric):
            return _search(metric, "Maximum")
        case Firing():
            return ""
        case Ratio(part, whole):
            return f"({cloudwatch(part)}) / ({cloudwatch(whole)})"
        case Sum(rates):
            return " + ".join(f"({cloudwatch(rate)})" for rate in rates)


def dimensions(expression: Expression) -> set[tuple[str, tuple[str, ...]]]:  # noqa: PLR0911 - one for each
    """What CloudWatch must keep for it: names of metrics, each with the dimensions under which it is looked for."""
    match expression:
        case Ratio(part, whole):
            return dimensions(part) | dimensions(whole)
        case Sum(rates):
            return {kept for rate in rates for kept in dimensions(rate)}
        case Firing():
            return set()
        case Rate(metric, by, where):
            return {(metric.name, _dimensions(by or (where[0] if where else "")))}
        case Level(metric, "sum", ""):
            return {(metric.name, _dimensions(PROCESS))}
        case Level(metric, _, by) | Quantile(metric, _, by):
            return {(metric.name, _dimensions(by))}
        case _:
            return {(expression.metric.name, _dimensions(""))}


def _dimensions(label: str) -> tuple[str, ...]:
    return (SERVICE, label) if label else (SERVICE,)


def _search(metric: Metric, statistic: str, label: str = "", where: tuple[str, tuple[str, ...]] | None = None) -> str:
    terms = f'MetricName="{metric.name}"'
    if where:
        values = " OR ".join(f'{where[0]}="{value}"' for value in where[1])
        terms += f" ({values})"
    # A prefix may have hyphens.
    schema = ",".join((f'"{NAMESPACE}"', *_dimensions(label)))
    return f"SEARCH('{{{schema}}} {terms}', '{statistic}', {PERIOD_S})"


def _by(label: str) -> str:
    return f" by ({label}) " if label else ""


def _where(where: tuple[str, tuple[str, ...]] | None) -> str:
    return f'{{{where[0]}=~"{"|".join(where[1])}"}}' if where else ""
