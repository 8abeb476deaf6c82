"""report.html: the verdicts first, then what they rest on. One file, which fetches nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from tests.bench.sla import plots
from tests.bench.sla.evidence import Burst, Crowd, Evidence, Media, Quantiles
from tests.bench.sla.objectives import P95_MS, P99_MS, Verdict
from tests.bench.sla.plots import Line

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6470; --line: #d9dee4; --ground: #fff; --panel: #f6f8fa;
  --pass: #1a7f37; --miss: #b3261e; --no: #8a6100; --c0: #2563eb; --c1: #c2410c; --c2: #15803d; --c3: #9333ea;
  --c4: #0e7490; --c5: #be185d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b0; --line: #333b45; --ground: #14171b;
  --panel: #1c2127; --pass: #4cc26b; --miss: #ff7b72; --no: #e3b341; --c0: #6ea8ff; --c1: #ff9a62; --c2: #5fd38a;
  --c3: #c99bff; --c4: #5cc7de; --c5: #ff8cc0; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0 auto;
  max-width: 68rem; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .3rem 0; } .soft, figcaption { color: var(--soft); }
.tally { display: flex; gap: .75rem; margin: 1.2rem 0 0; flex-wrap: wrap; }
.tally div { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .5rem 1rem; }
.tally b { font-size: 1.5rem; display: block; line-height: 1.2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; font-size: .85rem; }
th, td { padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; }
.badge { display: inline-block; border-radius: 999px; padding: 0 .6rem; font-size: .82rem; font-weight: 600;
  border: 1px solid currentColor; white-space: nowrap; }
.pass { color: var(--pass); } .miss { color: var(--miss); } .no { color: var(--no); }
figure { margin: .4rem 0 1rem; background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem; }
.pair { display: grid; gap: 0 1rem; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); }
svg { width: 100%; max-width: 44rem; height: auto; display: block; margin: 0 auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.grid { stroke: var(--line); } .mark { stroke: var(--miss); stroke-dasharray: 4 3; } .bar { fill: var(--c0); }
.line { fill: none; stroke-width: 2; stroke: currentColor; } .dot { fill: currentColor; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); }
.key { margin-right: 1rem; } .key::before { content: ""; display: inline-block; width: .7em; height: .7em;
  border-radius: 2px; background: currentColor; margin-right: .35em; }
code { font-size: .85rem; overflow-wrap: anywhere; } ul { padding-left: 1.2rem; margin: .3rem 0; }
"""
_CLASSES: Final = {"pass": "pass", "miss": "miss", "not measurable here": "no"}
_SHARES: Final = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999))


def page(evidence: Evidence, verdicts: Sequence[Verdict]) -> str:
    """The whole document."""
    counts = {result: sum(one.result == result for one in verdicts) for result in _CLASSES}
    tally = "".join(
        f'<div><b class="{_CLASSES[result]}">{count}</b>{escape(result)}</div>' for result, count in counts.items()
    )
    title = "Nothing that was promised is missed" if not counts["miss"] else f"{counts['miss']} of the promises missed"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_of(evidence))}</p>',
        f'<div class="tally">{tally}</div>',
        "<h2>Verdicts</h2>",
        _table(
            ("", "objective", "wanted", "measured"),
            ([_badge(one), escape(one.title), escape(one.wanted), escape(one.measured)] for one in verdicts),
        ),
        *_failures(evidence),
        "<h2>Room messaging: one function process on a core of its own</h2>",
        *_bursts(evidence.bursts),
        *(part for crowd in evidence.crowds.values() for part in _crowd(crowd)),
        "<h2>Media</h2>",
        _media(evidence.media),
        *_method(evidence),
    ]
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Headrace: {escape(title)}</title><style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _of(evidence: Evidence) -> str:
    return f"Headrace, service levels, profile {evidence.profile}, {evidence.at}, commit {evidence.commit}"


def _soft(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>'


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {_CLASSES[verdict.result]}">{escape(verdict.result)}</span>'


def _failures(evidence: Evidence) -> list[str]:
    if not evidence.failures:
        return []
    items = "".join(f"<li>{escape(what)}</li>" for what in evidence.failures)
    return ["<h2>Runs that failed</h2>", f"<ul>{items}</ul>"]


def _bursts(bursts: Sequence[Burst]) -> list[str]:
    if not bursts:
        return [plots.nothing()]
    rows = (
        [
            _number(one.sockets),
            _number(one.published_per_s),
            _number(one.deliveries_per_s),
            *(_number(getattr(one.latency, name, None), 1) for name in ("p50", "p95", "p99", "max")),
            _number(one.missing),
            _number(one.server_cores, 2),
            "generator saturated" if one.generator_saturated else "",
        ]
        for one in bursts
    )
    heads = ("sockets", "messages/s", "deliveries/s", "P50 ms", "P95 ms", "P99 ms", "most ms", "missing", "cores", "")
    lines = [
        Line(f"{one.sockets:,} sockets, {one.published_per_s:,.0f}/s", _points(one.latency))
        for one in bursts
        if one.latency is not None
    ]
    return [
        _soft("Latency from when a message was to be sent, at fixed times, to when each receiver's socket had it."),
        _table(heads, rows, numbers=9),
        plots.percentiles(lines[: plots.COLOURS], limits=((P95_MS, "P95 wanted"), (P99_MS, "P99 wanted"))),
    ]


def _crowd(crowd: Crowd) -> list[str]:
    cores = crowd.cores or {}
    # k6's own, the platform's, everybody else's: which side had nothing left.
    used = ", ".join(
        f"{name} {found.get('mean', 0):.2f} (at most {found.get('peak', 0):.2f})" for name, found in cores.items()
    )
    late = f"; k6 was late to send by {crowd.late_p99_ms} ms at its P99" if crowd.late_p99_ms is not None else ""
    marks = [(crowd.killed_at_s, "a function process is killed")] if crowd.killed_at_s is not None else []
    sockets = Line("open sockets", [(one.at_s, one.sockets) for one in crowd.moments])
    rates = Line(
        "deliveries/s, by the servers",
        [
            (now.at_s, max(0.0, now.deliveries - before.deliveries) / max(now.at_s - before.at_s, 0.1))
            for before, now in zip(crowd.moments, crowd.moments[1:], strict=False)
        ],
    )
    lines = [
        Line(name, _points(found))
        for name, found in (
            ("intended to delivered", crowd.message),
            ("the same, after the worst", crowd.afterwards),
            ("appended to delivered", crowd.delivery),
        )
        if found is not None
    ]
    return [
        f"<h2>Users in k6: {escape(crowd.shape)}, {crowd.users:,} users, {crowd.seconds:,.0f} s</h2>",
        f'<p class="soft">Cores in use: {escape(used or "not measured")}{escape(late)}.</p>',
        _stages(crowd),
        '<div class="pair">',
        plots.over_time([sockets], unit="sockets", marks=marks),
        plots.over_time([rates], unit="deliveries/s", marks=marks),
        plots.percentiles(lines, limits=((P95_MS, "P95 wanted"), (P99_MS, "P99 wanted"))),
        plots.histogram([*(edge * 1000 for edge in crowd.tail.edges_s), float("inf")], crowd.tail.counts)
        if crowd.tail
        else plots.nothing(),
        "</div>",
        _soft(
            "Bottom right: how old a frame's oldest event was once handed to all sockets, by the servers' histogram."
        ),
    ]


def _stages(crowd: Crowd) -> str:
    rows = (
        [
            _number(stage.get("users")),
            _number(stage.get("from_s")),
            _number(stage.get("seconds")),
            _number(stage.get("deliveries")),
            *(_number(stage.get(name), 1) for name in ("p50_ms", "p95_ms", "p99_ms")),
            f"{stage.get('error_rate', 0):.2%}",
        ]
        for stage in crowd.stages
    )
    heads = ("users at most", "from s", "for s", "deliveries", "P50 ms", "P95 ms", "P99 ms", "errors")
    return _table(heads, rows, numbers=8)


def _media(media: Media | None) -> str:
    if media is None:
        return plots.nothing()
    rows = (
        [escape(name.replace("_", " ")), escape("not measured" if value is None else _plain(value))]
        for name, value in ((name, getattr(media, name)) for name in Media.__struct_fields__)
    )
    return _table(("", "value"), rows)


def _method(evidence: Evidence) -> Iterable[str]:
    versions = ", ".join(f"{name} {version}" for name, version in evidence.versions.items())
    commands = "".join(f"<li><code>{escape(command)}</code></li>" for command in evidence.commands)
    yield "<h2>Machine and method</h2>"
    yield f"<p>{escape(evidence.machine)}</p><p>{escape(versions)}</p>"
    yield (
        "<p>Everything ran on this machine: platform, databases and generators share its cores, and every socket is a "
        "loopback one. k6 takes 0.2 ms of a core for each delivery, so its users say less than people do; rates are "
        "measured by a generator written for it. A promise is missed when what it needs was not measured.</p>"
    )
    yield f"<ul>{commands}</ul>"


def _points(found: Quantiles | None) -> list[tuple[float, float]]:
    values = [(share, getattr(found, name)) for name, share in _SHARES]
    return [(share, value) for share, value in values if value is not None and value > 0]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    head = "".join(f"<th{_numeric(n, numbers)}>{escape(text)}</th>" for n, text in enumerate(heads))
    body = "".join(
        f"<tr>{''.join(f'<td{_numeric(n, numbers)}>{cell}</td>' for n, cell in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _numeric(column: int, numbers: int) -> str:
    return ' class="n"' if column < numbers else ""


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"  # noqa: RUF001 - a dash for what is not there


def _plain(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
