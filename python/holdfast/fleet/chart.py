"""Pictures of reports, as SVG: lines over an axis, and bars. No library: two shapes, and text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from holdfast.fleet.report import quantile_us

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS = ("#2f6690", "#d1495b", "#66a182", "#edae49", "#7d5ba6", "#3a3a3a", "#8d6a4f", "#00798c")
WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 46
STYLE = "font-family:system-ui,sans-serif;font-size:12px"
TICKS = 5
CROWDS_MAX = 4
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart: what it is, and its points."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A title, where it ends, and its ticks: the place and what is written there."""

    title: str
    begins: float
    ends: float
    ticks: Sequence[tuple[float, str]] = field(default=())

    def place(self, value: float) -> float:
        """Where `value` is, as a share of the axis."""
        return (value - self.begins) / (self.ends - self.begins) if self.ends > self.begins else 0.0


def document(panels: Sequence[str], *, title: str, subtitle: str) -> str:
    """One SVG of panels, one below the other."""
    height = 56 + HEIGHT * len(panels)
    shifted = [f'<g transform="translate(0,{56 + HEIGHT * row})">{panel}</g>' for row, panel in enumerate(panels)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="{STYLE}">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            _text(LEFT, 24, title, size=16, weight="bold"),
            _text(LEFT, 43, subtitle, colour="#666"),
            *shifted,
            "</svg>\n",
        ]
    )


def line_panel(title: str, lines: Sequence[Line], across: Axis, up: Axis) -> str:
    """Lines over two axes."""
    parts = [_frame(title, across, up), _legend([line.label for line in lines])]
    for number, line in enumerate(lines):
        spots = " ".join(f"{_x(across, x):.1f},{_y(up, min(y, up.ends)):.1f}" for x, y in line.points)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{spots}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def bar_panel(
    title: str, groups: Sequence[tuple[str, Sequence[float | None]]], labels: Sequence[str], unit: str
) -> str:
    """Groups of bars, each with its value written on top; a group has one bar for each label."""
    highest = max((value for _, values in groups for value in values if value is not None), default=1.0)
    up = linear_axis(unit, highest * 1.1)
    across = Axis(title="", begins=0, ends=len(groups))
    parts = [_frame(title, across, up), _legend(labels)]
    room = (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    width = room * 0.8 / max(len(labels), 1)
    for column, (name, values) in enumerate(groups):
        left = LEFT + room * (column + 0.1)
        parts.append(_text(left + room * 0.4, HEIGHT - BOTTOM + 16, name, anchor="middle"))
        for number, value in enumerate(values):
            if value is None:
                continue
            x, y = left + width * number, _y(up, value)
            colour = COLOURS[number % len(COLOURS)]
            size = f'width="{width - 2:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}"/>')
            parts.append(_text(x + width / 2, y - 4, _short(value), anchor="middle", size=11))
    return "".join(parts)


def linear_axis(title: str, highest: float) -> Axis:
    """From 0 to at least `highest`, with round numbers at its ticks."""
    step = _round_step(max(highest, 1e-9) / TICKS)
    count = max(1, math.ceil(highest / step - 1e-9))
    ticks = [(step * number, _short(step * number)) for number in range(count + 1)]
    return Axis(title=title, begins=0, ends=step * count, ticks=ticks)


def report_svg(report: Mapping[str, Any]) -> str:
    """What a run looked like: connections and messages by the second, latencies by their share, in one picture."""
    honest = [crowd for crowd in report["crowds"] if not crowd["misbehaviour"]]
    crowds = (honest or report["crowds"])[:CROWDS_MAX]  # of those who misbehave the table says more than lines could
    panels = [_seconds_panel("Connections by the second", crowds, ("connected", "failed"))]
    panels.append(_seconds_panel("Open connections", crowds, ("open",)))
    if any(crowd["published"] for crowd in crowds):
        panels.append(_seconds_panel("Messages by the second", crowds, ("published", "acknowledged")))
    panels += [_latency_panel(crowds)]
    plan = report["plan"]
    where = f"{plan['address']}:{plan['port']}"
    subtitle = (
        f"{sum(crowd['connections'] for crowd in report['crowds'])} connections in {report['elapsed_seconds']:.1f} s"
    )
    return document(panels, title=f"holdfast fleet against {where}", subtitle=subtitle)


def _seconds_panel(title: str, crowds: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> str:
    lines = [
        Line(
            label=field if len(crowds) == 1 else f"{crowd['name']} {field}",
            points=[(float(at), float(second[field])) for at, second in enumerate(crowd["seconds"])],
        )
        for crowd in crowds
        for field in fields
        if any(second[field] for second in crowd["seconds"]) or field == fields[0]
    ]
    across = linear_axis("seconds", max((len(line.points) - 1 for line in lines), default=1) or 1)
    up = linear_axis("", max((y for line in lines for _, y in line.points), default=1) or 1)
    return line_panel(title, lines, across, up)


def _latency_panel(crowds: Sequence[Mapping[str, Any]]) -> str:
    """Latency over the share of connections that it is not exceeded by; every nine further right is ten times rarer."""
    lines = []
    for crowd in crowds:
        rounds = [("connect", one["connect"]) for one in crowd["rounds"]]
        if len(rounds) > 1:
            rounds = [(f"contact {number}", one) for number, (_, one) in enumerate(rounds, 1)]
        measured = [*rounds, ("acknowledgement", crowd["acknowledgement"]), ("reaction", crowd["reaction"])]
        for label, one in measured:
            if one["count"]:
                name = label if len(crowds) == 1 else f"{crowd['name']} {label}"
                lines.append(Line(label=name, points=_by_nines(one)))
    marks = [(0.0, "0"), (0.30103, "p50"), (1.0, "p90"), (2.0, "p99"), (3.0, "p99.9"), (4.0, "p99.99")]
    across = Axis(title="share of all", begins=0, ends=4, ticks=marks)
    up = linear_axis("ms", max((y for line in lines for _, y in line.points), default=1) or 1)
    return line_panel("Latency", lines, across, up)


def _by_nines(measured: Mapping[str, Any]) -> list[Point]:
    histogram = {"count": measured["count"], "max_us": measured["max_ms"] * 1000, "buckets": measured["buckets_us"]}
    furthest = min(4.0, math.log10(max(measured["count"], 1)))
    steps = [furthest * step / 60 for step in range(61)]
    shares = [(nines, quantile_us(histogram, 1 - 10**-nines)) for nines in steps]
    return [(nines, us / 1000) for nines, us in shares if us is not None]


def _frame(title: str, across: Axis, up: Axis) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [_text(LEFT, TOP - 26, title, size=13, weight="bold")]
    for value, label in up.ticks:
        y = _y(up, value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(_text(LEFT - 8, y + 4, label, anchor="end", colour="#555"))
    for value, label in across.ticks:
        parts.append(_text(_x(across, value), bottom + 16, label, anchor="middle", colour="#555"))
    parts.append(f'<line x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#888"/>')
    parts.append(_text((LEFT + right) / 2, bottom + 34, across.title, anchor="middle", colour="#555"))
    parts.append(_text(LEFT - 8, TOP - 10, up.title, anchor="end", colour="#555"))
    return "".join(parts)


def _legend(labels: Sequence[str]) -> str:
    parts, x = [], float(LEFT)
    for number, label in enumerate(labels):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x:.0f}" y="{TOP - 18}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 14, TOP - 9, label, size=11))
        x += 26 + 6.4 * len(label)
    return "".join(parts)


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - BOTTOM - TOP)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    colour: str = "#222",
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return float(next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= rough - 1e-12))


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"
