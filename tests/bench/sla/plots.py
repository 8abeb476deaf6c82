"""Small drawings in SVG: lines over time, percentiles, bars. Colours and fonts are the page's (page.py)."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, TypeAlias

import msgspec

WIDTH: Final = 560
HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 28, 30
_TICKS: Final = 4
COLOURS: Final = 6

Scale: TypeAlias = Callable[[float], float]


class Line(msgspec.Struct, frozen=True):
    """A named line through points (x, y), x rising."""

    name: str
    points: Sequence[tuple[float, float]]


def over_time(lines: Sequence[Line], *, unit: str, marks: Sequence[tuple[float, str]] = ()) -> str:
    """Lines over seconds, from zero up. `marks` are seconds at which something was done, and what."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    if not xs:
        return nothing()
    right, top = max(*xs, 1.0), _round_up(max(*ys, 1.0))
    x_of = _linear(0.0, right, _LEFT, WIDTH - _RIGHT)
    y_of = _linear(0.0, top, HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(x_of, y_of, _steps(right), [top * n / _TICKS for n in range(5)])]
    parts.append(_label(WIDTH - _RIGHT, HEIGHT - 2, "s", "end"))
    parts.append(_label(_LEFT, _TOP - 12, unit, "start"))
    for at, what in marks:
        x = x_of(at)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(_label(x + 4, _TOP + 10, what, "start"))
    parts += [_path(line, number, x_of, y_of) for number, line in enumerate(lines)]
    return _svg(parts, lines)


def percentiles(lines: Sequence[Line], *, limits: Sequence[tuple[float, str]]) -> str:
    """Latency in ms (logarithmic) over the share that was faster; x is the share, from 0.5 to below 1."""
    ys = [y for line in lines for _, y in line.points if y > 0]
    if not ys:
        return nothing()
    low = 10 ** math.floor(math.log10(min(ys)))
    high = 10 ** math.ceil(math.log10(max(*ys, *(limit for limit, _ in limits), low * 10)))
    # As percentiles are read: 50, 90, 99 and 99.9 % are equally far apart.
    shares = (0.5, 0.9, 0.99, 0.999)
    x_of = _stretched(shares[0], shares[-1])
    y_of = _logarithmic(low, high, HEIGHT - _BOTTOM, _TOP)
    decades = [10.0**n for n in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    parts = [_grid(x_of, y_of, shares, decades, x_text=lambda share: f"{share * 100:g} %")]
    parts.append(_label(_LEFT, _TOP - 12, "ms", "start"))
    for limit, what in limits:
        y = y_of(limit)
        parts.append(f'<line class="mark" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_label(WIDTH - _RIGHT, y - 4, what, "end"))
    parts += [_path(line, number, x_of, y_of, dots=True) for number, line in enumerate(lines)]
    return _svg(parts, lines)


def histogram(edges_ms: Sequence[float], counts: Sequence[float]) -> str:
    """Shares between edges; `counts` are cumulative, the last edge is infinite."""
    total = counts[-1] if counts else 0.0
    if total <= 0:
        return nothing()
    parts_of = [(count - before) / total for count, before in zip(counts, [0.0, *counts[:-1]], strict=True)]
    top = _round_up(max(parts_of) * 100)
    y_of = _linear(0.0, top, HEIGHT - _BOTTOM, _TOP)
    step = (WIDTH - _LEFT - _RIGHT) / len(parts_of)
    drawn = [_grid(lambda x: x, y_of, [], [top * n / _TICKS for n in range(_TICKS + 1)])]
    drawn.append(_label(_LEFT, _TOP - 12, "% of frames", "start"))
    for number, (edge, share) in enumerate(zip(edges_ms, parts_of, strict=True)):
        x, y = _LEFT + number * step, y_of(share * 100)
        drawn.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{y:.1f}" width="{step - 2:.1f}" '
            f'height="{HEIGHT - _BOTTOM - y:.1f}"><title>{share:.2%}</title></rect>'
        )
        text = "more" if math.isinf(edge) else f"{edge:g}"
        drawn.append(_label(x + step / 2, HEIGHT - _BOTTOM + 16, text, "middle"))
    drawn.append(_label(WIDTH - _RIGHT, HEIGHT - 2, "ms at most", "end"))
    return _svg(drawn, [])


def nothing() -> str:
    """In place of a drawing that has nothing to draw."""
    return '<p class="nothing">Nothing was measured.</p>'


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    between = math.log10(high) - math.log10(low)
    return lambda value: start + (math.log10(max(value, low)) - math.log10(low)) / between * (end - start)


def _stretched(first: float, last: float) -> Scale:
    """Of a share: by the logarithm of what is left above it."""
    nines = _linear(math.log10(1 - first), math.log10(1 - last), _LEFT, WIDTH - _RIGHT)
    return lambda share: nines(math.log10(max(1 - share, 1 - last)))


def _round_up(value: float) -> float:
    """To 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= value)


def _steps(most: float) -> list[float]:
    """Round numbers from zero on."""
    step = _round_up(most / 6)
    return [step * n for n in range(int(most / step) + 1)]


def _grid(
    x_of: Scale, y_of: Scale, xs: Sequence[float], ys: Sequence[float], *, x_text: Callable[[float], str] | None = None
) -> str:
    lines = []
    for y in ys:
        at = y_of(y)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        lines.append(_label(_LEFT - 6, at + 4, _short(y), "end"))
    lines += [_label(x_of(x), HEIGHT - _BOTTOM + 16, x_text(x) if x_text else _short(x), "middle") for x in xs]
    return "".join(lines)


def _path(line: Line, number: int, x_of: Scale, y_of: Scale, *, dots: bool = False) -> str:
    at = [(x_of(x), y_of(y)) for x, y in line.points]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    drawn = f'<polyline class="line c{number % COLOURS}" points="{way}"/>'
    if dots:
        drawn += "".join(f'<circle class="dot c{number % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at)
    return drawn


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g} M"
    return f"{value / 1000:g} k" if value >= 10_000 else f"{value:g}"


def _svg(parts: Sequence[str], lines: Sequence[Line]) -> str:
    names = [f'<span class="key c{number % COLOURS}">{escape(line.name)}</span>' for number, line in enumerate(lines)]
    legend = f"<figcaption>{''.join(names)}</figcaption>" if names else ""
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'
    return f"<figure>{drawing}{legend}</figure>"
