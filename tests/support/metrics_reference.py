"""Writes docs/metrics.md from the catalogue of metrics: `task generate`."""

from collections.abc import Iterator

from shared.stack import paths
from shared.telemetry.catalogue import EVERY, FUNCTIONS, HOST, SECTIONS, SFU
from shared.telemetry.metric import Label, Metric

PAGE = paths.ROOT / "docs" / "metrics.md"

_HEAD = f"""\
# Metrics

Generated from `shared/telemetry/catalogue` (`task generate`): {len(EVERY)} metrics, of which function processes expose
{len(FUNCTIONS)}, SFU workers {len(SFU)} and the agents of their hosts {len(HOST)} of their own, and all of them those
of prometheus-client. They are on a port of their own, `HEADRACE_METRICS_PORT` (`HEADRACE_HOST_AGENT_METRICS_PORT`),
never on a public one. [Observing](observing.md) says how to look at them.

Every label has few values, and none that a user typed. A counter begins at 0 with its process for every value that is
listed; where only a number is given, a series begins with its first event.
"""


def rendered() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_section(title, metrics) for title, metrics in SECTIONS.items())])


def _section(title: str, metrics: tuple[Metric, ...]) -> str:
    rows = ["| metric | type | unit | what it is | question that it answers |", "|---|---|---|---|---|"]
    rows += [
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {_told(metric.help)} | {_told(metric.question)} |"
        for metric in metrics
    ]
    labels = [line for metric in metrics for line in _labels(metric)]
    return "\n".join([f"## {title}\n", *rows, "", *([*labels, ""] if labels else [])])


def _labels(metric: Metric) -> Iterator[str]:
    for label in metric.labels:
        yield f"* `{metric.name}`, label `{label.name}`: {_told(label.meaning)} ({_values(label)})"


def _values(label: Label) -> str:
    return ", ".join(f"`{value}`" for value in label.values) or f"at most {label.at_most}"


def _told(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(rendered(), encoding="utf-8")
