"""CloudWatch alarms as data, with the fields that terraform/modules/monitoring knows."""

from typing import Any, Literal

import msgspec

from dashboards.expressions import NAMESPACE, PERIOD_S

Statistic = Literal["Sum", "Minimum", "Maximum", "Average", "SampleCount"]
Compare = Literal["GreaterThan", "LessThan"]
Missing = Literal["notBreaching", "breaching"]


class Watched(msgspec.Struct, frozen=True):
    """One metric of an alarm."""

    metric: str
    statistic: Statistic
    dimensions: dict[str, str]
    namespace: str = NAMESPACE


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm on `expression`, in which the names of `watched` stand for their metrics."""

    threshold: float
    expression: str
    watched: dict[str, Watched]
    compare: Compare = "GreaterThan"
    period_s: int = PERIOD_S
    periods: int = 1
    missing: Missing = "notBreaching"

    def fields(self, description: str, severity: str | None) -> dict[str, Any]:
        """As Terraform takes it. Without a severity nobody is told: it is a part of another."""
        common = {
            "description": description,
            "severity": severity,
            "threshold": self.threshold,
            "compare": self.compare,
            "period_s": self.period_s,
            "periods": self.periods,
            "missing": self.missing,
        }
        watched = {
            name: {
                "namespace": one.namespace,
                "metric": one.metric,
                "statistic": one.statistic,
                "dimensions": one.dimensions,
            }
            for name, one in self.watched.items()
        }
        if self.expression in watched:
            return common | watched[self.expression]
        return common | {"queries": watched | {"result": {"expression": self.expression, "returns": True}}}


class Composite(msgspec.Struct, frozen=True):
    """An alarm on other alarms: `rule` is in CloudWatch's language, with their whole names."""

    rule: str

    @property
    def watched(self) -> dict[str, Watched]:
        """No metric by itself."""
        return {}

    def fields(self, description: str, severity: str | None) -> dict[str, Any]:
        """As Terraform takes it."""
        return {"description": description, "severity": severity, "rule": self.rule}


def one_of(
    metric: str,
    statistic: Statistic,
    threshold: float,
    *,
    compare: Compare = "GreaterThan",
    periods: int = 1,
    missing: Missing = "notBreaching",
    **dimensions: str,
) -> Alarm:
    """An alarm on a single metric."""
    return Alarm(
        threshold=threshold,
        expression="watched",
        watched={"watched": Watched(metric, statistic, dimensions)},
        compare=compare,
        periods=periods,
        missing=missing,
    )
