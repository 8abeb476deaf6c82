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


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm on `expression`, in which the names of `watched` stand for their metrics."""

    threshold: float
    expression: str
    watched: dict[str, Watched]
    compare: Compare = "GreaterThan"
    period_s: int = PERIOD_S
    periods: int = 1
    missing: Missing = "notBreaching"

    def fields(self, description: str) -> dict[str, Any]:
        """As Terraform takes it."""
        common = {
            "description": description,
            "threshold": self.threshold,
            "compare": self.compare,
            "period_s": self.period_s,
            "periods": self.periods,
            "missing": self.missing,
        }
        watched = {
            name: {
                "namespace": NAMESPACE,
                "metric": one.metric,
                "statistic": one.statistic,
                "dimensions": one.dimensions,
            }
            for name, one in self.watched.items()
        }
        if self.expression in watched:
            return common | watched[self.expression]
        return common | {"queries": watched | {"result": {"expression": self.expression, "returns": True}}}


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
