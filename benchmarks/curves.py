"""Curves over corpus size → one SVG, both axes logarithmic, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 430, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 110, 30, 34
COLOURS = ("#1d4ed8", "#b45309", "#047857", "#be185d", "#6d28d9", "#475569")


def curves_svg(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> str:
    """One panel beside the other; title → name of a curve → its points, all above 0."""
    body = "\n".join(
        f'<g transform="translate({number * WIDTH},0)">{_panel(title, curves)}</g>'
        for number, (title, curves) in enumerate(panels.items())
    )
    width = WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'width="{width}" height="{HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _panel(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    points = [point for curve in curves.values() for point in curve]
    across = _decades([x for x, _ in points])
    up = _decades([y for _, y in points])
    parts = [f'<text x="{LEFT}" y="18" font-size="13" font-weight="bold">{title}</text>']
    for power in range(across[0], across[1] + 1):
        x = _place(10.0**power, across, LEFT, WIDTH - RIGHT)
        parts.append(_line(x, TOP, x, HEIGHT - BOTTOM))
        parts.append(f'<text x="{x}" y="{HEIGHT - 14}" text-anchor="middle">{_short(power)}</text>')
    for power in range(up[0], up[1] + 1):
        y = _place(10.0**power, up, HEIGHT - BOTTOM, TOP)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y))
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{_short(power)}</text>')
    taken: list[float] = []
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        at = [
            (_place(x, across, LEFT, WIDTH - RIGHT), _place(y, up, HEIGHT - BOTTOM, TOP))
            for x, y in curve
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        y = at[-1][1] + 4
        while any(abs(y - other) < 12 for other in taken):
            y += 4
        taken.append(y)
        parts.append(f'<text x="{at[-1][0] + 8:.1f}" y="{y:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _place(value: float, decades: tuple[int, int], start: float, end: float) -> float:
    share = (math.log10(value) - decades[0]) / (decades[1] - decades[0])
    return round(start + share * (end - start), 1)


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="#e2e8f0"/>'


def _short(power: int) -> str:
    for suffix, place in (("M", 6), ("k", 3)):
        if power >= place:
            return f"{10 ** (power - place)}{suffix}"
    return f"{10.0**power:g}"
