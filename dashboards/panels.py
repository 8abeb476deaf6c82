"""What a dashboard is made of, before it is written for one program or another."""

from typing import Literal

import msgspec

from dashboards.expressions import Expression

PanelUnit = Literal["", "per second", "seconds", "bytes", "bytes per second", "bits per second", "share"]
"""Of what is drawn. Empty: a number."""


class Query(msgspec.Struct, frozen=True):
    """One line, or one for each value of the label that it is told apart by. `legend` is the line's name."""

    expression: Expression
    legend: str = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One drawing. `wrong` says what to do when it looks wrong; at `limit` it begins to."""

    title: str
    unit: PanelUnit = ""
    queries: tuple[Query, ...]
    wrong: str
    limit: float | None = None


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """A page. `name` is that of its files."""

    name: str
    title: str
    panels: tuple[Panel, ...]
