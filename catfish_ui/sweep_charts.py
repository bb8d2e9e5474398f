"""Figures of the learning-rate page, as plain data like those of charts.py.  [no streamlit, no plotly]"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from catfish_core.config import SweepConfig
from catfish_core.training.lr_finder import Curve
from catfish_ui.charts import CAT, FISH, QUIET, Figure, finite, label, thin
from catfish_ui.sweep_progress import Findings

SMALL, GOOD, BAD = (
    "var(--st-gray-background-color)",
    "var(--st-green-background-color)",
    "var(--st-red-background-color)",
)
LANE = 0.055  # part of the height between two rows of labels
TURN = 0.7  # part of the axis beyond which a name stands on the left of its line
STEPS = 40  # of the ball in the valley
ROOM = 0.8  # of the fall, above the curve for the names
WALL = 2.2  # half the width of the drawn valley; the ball starts at 1


def curve(found: Findings, settings: SweepConfig, earlier: Mapping[str, Curve] | None = None) -> Figure:
    """Loss over rate: raw and smoothed, the band of the seeds, the three phases and the labelled suggestions.

    `earlier` are curves of other sweeps by what they are called, drawn faintly for comparison.
    """
    shown = found.curve
    data = [_faint(name, other) for name, other in (earlier or {}).items()]
    if settings.seeds > 1 and shown.low:
        data += _band(shown)
    data += [
        _line("each step", shown.lrs, shown.losses, CAT, width=1.2, opacity=0.45),
        _line("smoothed", shown.lrs, shown.smoothed, CAT, width=3),
    ]
    if found.running[0]:
        data.append(_line("next seed", *found.running, CAT, width=1.6, dash="dot"))
    if found.val[0]:
        data.append(_line("validation", *found.val, FISH, width=2.2) | {"mode": "lines+markers"})
    data.append(_markers(found))
    layout = _layout(settings, [shown, *(earlier or {}).values()])
    grounds, named = _phases(found, settings)
    leaders, labels = _labels(found, settings, layout["yaxis"]["range"])
    layout |= {"shapes": [*grounds, *leaders], "annotations": [*named, *labels]}
    return {"data": data, "layout": layout}


def _line(name: str, lrs: Sequence[float], losses: Sequence[float], color: str, **style: Any) -> Figure:
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": finite(thin(lrs)), "y": finite(thin(losses)),
        "opacity": style.pop("opacity", 1), "line": {"color": color, **style}, "hovertemplate": "%{y:.4g}",
    }  # fmt: skip


def _faint(name: str, other: Curve) -> Figure:
    return _line(label(name, 32), other.lrs, other.smoothed, QUIET, width=1.8, opacity=0.6)


def _band(shown: Curve) -> list[Figure]:
    """Lowest to highest smoothed loss of the seeds, filled."""
    edge = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
    low = _line("seeds, lowest", shown.lrs, shown.low, CAT, width=0) | edge
    high = _line("seeds", shown.lrs, shown.high, CAT, width=0) | edge
    return [low, high | {"fill": "tonexty", "fillcolor": "var(--st-orange-background-color)", "showlegend": True}]


def _suggested(found: Findings) -> list[tuple[str, float, float]]:
    """Name, rate and smoothed loss of the suggestions that lie on the curve, by rate."""
    rates = [(name, at) for name, at in found.advice.suggestions.items() if at is not None]
    points = [(name, at, loss) for name, at in rates if (loss := found.at(at)) is not None]
    return sorted(points, key=lambda point: point[1])


def _markers(found: Findings) -> Figure:
    points = _suggested(found)
    best = found.advice.recommended
    return {
        "type": "scatter", "mode": "markers", "name": "suggestions", "showlegend": False,
        "x": finite(at for _, at, _ in points), "y": finite(loss for _, _, loss in points),
        "text": [name.capitalize() for name, _, _ in points],
        "hovertemplate": "%{text}: %{x:.2g}<extra></extra>",
        "marker": {
            "size": [14 if name == best else 10 for name, _, _ in points],
            "symbol": ["star" if name == best else "circle" for name, _, _ in points],
            "color": [FISH if name == best else "var(--st-background-color)" for name, _, _ in points],
            "line": {"color": FISH, "width": 2},
        },
    }  # fmt: skip


def _labels(found: Findings, settings: SweepConfig, heights: Sequence[float]) -> tuple[list[Figure], list[Figure]]:
    """A line up from each marker to its name. Each name has a row, the leftmost the highest: no line crosses one."""
    lines, names = [], []
    for row, (name, at, loss) in enumerate(_suggested(found)):
        best = name == found.advice.recommended
        y = heights[1] - (1.8 + row) * LANE * (heights[1] - heights[0])
        color, text = FISH if best else QUIET, name.capitalize()
        lines.append({"type": "line", "x0": at, "x1": at, "y0": loss, "y1": y, "line": {"color": color, "width": 1}})
        names.append({
            "x": _axis(at, settings), "y": y, "text": f"<b>{text}</b>" if best else text, "showarrow": False,
            "xanchor": "right" if _part(at, settings) > TURN else "left", "yanchor": "middle",
            "font": {"size": 12, "color": FISH if best else "var(--st-text-color)"},
        })  # fmt: skip
    return lines, names


def _phases(found: Findings, settings: SweepConfig) -> tuple[list[Figure], list[Figure]]:
    """The three phases as tinted grounds, each with its name at the top."""
    small, diverges = found.phases.too_small_until, found.phases.diverges_from
    if small is None:
        return [], []
    first, last = settings.init, settings.final
    end = diverges if diverges is not None else found.curve.lrs[-1]
    parts = [("too small", first, small, SMALL), ("learning", small, end, GOOD)]
    if diverges is not None:
        parts.append(("diverging", diverges, last, BAD))
    shapes = [
        {
            "type": "rect", "layer": "below", "x0": a, "x1": b, "yref": "paper", "y0": 0, "y1": 1,
            "fillcolor": color, "opacity": 0.55, "line": {"width": 0},
        }
        for _, a, b, color in parts
    ]  # fmt: skip
    names = [
        {
            "x": (_axis(a, settings) + _axis(b, settings)) / 2, "y": 1, "yref": "paper", "yanchor": "top",
            "text": name, "showarrow": False, "font": {"size": 12, "color": "var(--st-text-color)"}, "opacity": 0.75,
        }
        for name, a, b, _ in parts
        if _part(b, settings) - _part(a, settings) > 0.08
    ]  # fmt: skip
    return shapes, names


def _axis(at: float, settings: SweepConfig) -> float:
    """Where annotations and ranges put a rate: a logarithmic axis counts in decades."""
    return math.log10(at) if settings.scale == "exponential" else at


def _part(at: float, settings: SweepConfig) -> float:
    """Where a rate lies between the first and the last, from 0 to 1."""
    first, last = _axis(settings.init, settings), _axis(settings.final, settings)
    return (_axis(at, settings) - first) / (last - first)


def _layout(settings: SweepConfig, curves: Sequence[Curve]) -> Figure:
    first, last = _axis(settings.init, settings), _axis(settings.final, settings)
    edge = 0.015 * (last - first)
    log = {"type": "log", "dtick": 1, "exponentformat": "power"} if settings.scale == "exponential" else {}
    return {
        "xaxis": {"title": {"text": "learning rate"}, "range": [first - edge, last + edge], "fixedrange": True} | log,
        "yaxis": {"title": {"text": "loss"}, "range": _heights(curves), "fixedrange": True},
        "hovermode": "x unified",
        "dragmode": False,
    }


def _heights(curves: Sequence[Curve]) -> list[float]:
    """The part of the loss worth seeing: from its lowest to well above the start, however it explodes."""
    smooth = [losses for each in curves if (losses := [loss for loss in each.smoothed if math.isfinite(loss)])]
    if not smooth:
        return [0, 1]
    low, start = min(map(min, smooth)), max(losses[0] for losses in smooth)
    span = max(start - low, 0.1 * start)
    lowest = min((loss for each in curves for loss in each.losses if math.isfinite(loss)), default=low)
    high = min(max(map(max, smooth)), start + span)
    return [min(low - 0.1 * span, lowest), high + ROOM * span]


def valley(at: float, edge: float, adaptive: bool) -> Figure:
    """A ball in a valley, making its steps at the rate `at`, where those from `edge` on carry it out.

    The simplest valley, y = x²; the ball starts at x = 1. Gradient descent moves it by x ← x · (1 − 2·at/edge), so
    that it overshoots to the same height at `edge` and ever higher beyond. `adaptive` optimizers make steps of
    about the same length whatever the slope: x ← x − 2·at/edge · sign(x).
    """
    ground = [WALL * n / 50 for n in range(-50, 51)]
    out = WALL + 0.3  # beyond the picture, however far it flew
    xs = [max(-out, min(out, x)) for x in path(at / edge, adaptive)]
    floor = _plain(ground, [x * x for x in ground], QUIET, 2)
    ball = _plain(xs, [x * x for x in xs], CAT, 1.5) | {
        "mode": "lines+markers",
        "marker": {"size": [12, *[6] * (len(xs) - 1)], "color": CAT},
    }
    hidden = {"visible": False, "fixedrange": True}
    return {
        "data": [floor, ball],
        "layout": {
            "xaxis": hidden | {"range": [-WALL, WALL]}, "yaxis": hidden | {"range": [-0.25, WALL * WALL]},
            "showlegend": False, "hovermode": False, "dragmode": False, "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        },
    }  # fmt: skip


def path(ratio: float, adaptive: bool, steps: int = STEPS) -> list[float]:
    """Where the ball is after each step at `ratio` of the rate that explodes, until it has left the valley."""
    xs = [1.0]
    while len(xs) <= steps and abs(xs[-1]) <= WALL:
        x = xs[-1]
        xs.append(x - 2 * ratio * (math.copysign(1, x) if adaptive else x))
    return xs


def landed(ratio: float, adaptive: bool) -> str:
    """Where the ball ends, in words."""
    xs = path(ratio, adaptive)
    if abs(xs[-1]) > WALL:
        return f"Thrown out of the valley at step {len(xs) - 1}."
    if abs(xs[-1]) > 0.9 and ratio < 0.1:
        return f"After {STEPS} steps it has hardly moved."
    if max(abs(x) for x in xs[-4:]) > 0.9:
        return f"After {STEPS} steps it still jumps from side to side."
    if abs(xs[-1]) > 0.25:
        return f"After {STEPS} steps it is on its way."
    return f"After {STEPS} steps it lies at the bottom."


def _plain(x: Sequence[float], y: Sequence[float], color: str, width: float) -> Figure:
    return {
        "type": "scatter", "mode": "lines", "x": finite(x), "y": finite(y), "hoverinfo": "skip",
        "line": {"color": color, "width": width},
    }  # fmt: skip
