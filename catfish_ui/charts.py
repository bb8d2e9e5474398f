"""Figures for the live page, as plain data: {"data": […], "layout": {…}}.  [no streamlit, no plotly]

The browser draws them (components/chart.js). Colours are written as the theme's variables, `var(--st-…)`, and
resolved there, so that a figure is the same in light and dark. Whatever a person named is escaped by `label`:
Plotly reads a small HTML in its texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from catfish_core.events import EpochEnd
from catfish_ui.progress import POINTS, Break, Thinned
from catfish_ui.text import shorten

Figure = dict[str, Any]
CAT = "var(--st-orange-color)"  # training
FISH = "var(--st-green-color)"  # validation
QUIET = "var(--st-gray-color)"


def label(text: str, length: int = 24) -> str:
    """A person's words as they are, for Plotly: no tags, not longer than fits beside an axis."""
    return shorten(text, length).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def finite(values: Iterable[float]) -> list[float | None]:
    """Values for JSON, six digits each; what is no number leaves a gap in the curve."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]


def thin(values: Sequence[Any], limit: int = POINTS) -> list[Any]:
    """At most about `limit` of the values, evenly spread, the last one among them."""
    step = math.ceil(len(values) / limit) or 1
    kept = list(values[::step])
    return kept if not values or (len(values) - 1) % step == 0 else [*kept, values[-1]]


def horizon(done: float, planned: int) -> int:
    """How long the axis of a run is: longer than what is done, in few steps, at most as long as the run."""
    steps = (n * int(10**power) for power in range(1, 6) for n in (1, 2, 5))
    return min(planned, next(step for step in steps if step > done or step >= planned))


def batch_loss(curve: Thinned, planned: int, breaks: Sequence[Break] = ()) -> Figure:
    """The loss of every batch over the `planned` epochs, and where training rested or was interrupted."""
    trace = _line("batch loss", finite(curve.x), finite(curve.y), CAT, width=1.4)
    figure: Figure = {"data": [trace], "layout": _layout("loss", planned)}
    named = -math.inf
    for one in breaks:
        crowded = one.at - named < planned / 5  # its word would be written over the one before
        _mark(figure, one.at, "" if crowded else one.why, QUIET)
        named = named if crowded else one.at
    return figure


def learning_rate(curve: Thinned, planned: int) -> Figure:
    """The learning rate over the `planned` epochs."""
    trace = _line("learning rate", finite(curve.x), finite(curve.y), "var(--st-violet-color)", width=2.2)
    figure: Figure = {"data": [trace], "layout": _layout("learning rate", planned)}
    figure["layout"]["yaxis"] |= {"exponentformat": "power", "rangemode": "tozero"}
    return figure


def losses(epochs: Sequence[EpochEnd], planned: int, overfitting: int | None = None) -> Figure:
    """Training and validation loss by epoch, with the epoch in which overfitting began."""
    shown = thin(epochs)
    figure = _pair(shown, [e.train_loss for e in shown], [e.val_loss for e in shown], "loss", planned)
    if overfitting is not None:
        _mark(figure, overfitting, "overfitting", "var(--st-red-color)")
    return figure


def accuracies(epochs: Sequence[EpochEnd], planned: int) -> Figure:
    """Training and validation accuracy by epoch, with the epoch whose weights are kept."""
    shown = thin(epochs)
    figure = _pair(shown, [e.train_accuracy for e in shown], [e.val_accuracy for e in shown], "right", planned)
    figure["layout"]["yaxis"] |= {"tickformat": ".0%", "range": [0, 1.03]}
    if epochs:
        best = epochs[-1]
        star = _line("kept", [best.best_epoch + 1], finite([best.best_val_accuracy]), FISH)
        star |= {"mode": "markers", "marker": {"symbol": "star", "size": 14, "color": FISH}}
        figure["data"].append(star)
    return figure


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """What each class was taken for: rows are the truth, columns the answers, shades the part of the row."""
    shares = [[value / sum(row) if sum(row) else 0.0 for value in row] for row in matrix]
    places = list(range(len(classes)))
    names = [label(name, 18) for name in classes]
    heat: Figure = {
        "type": "heatmap", "z": shares, "x": places, "y": places, "customdata": [list(row) for row in matrix],
        "zmin": 0, "zmax": 1, "showscale": False, "xgap": 2, "ygap": 2,
        "colorscale": [[0, "var(--st-secondary-background-color)"], [1, FISH]],
        "hovertemplate": "%{customdata} photos of %{y}<br>taken for %{x}<extra></extra>",
    }  # fmt: skip
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False, "fixedrange": True}
    layout: Figure = {
        "xaxis": axis | {"title": {"text": "taken for"}, "side": "top"},
        "yaxis": axis | {"title": {"text": "really"}, "autorange": "reversed"},
        "annotations": _counts(matrix, shares),
        "margin": {"l": 70, "r": 10, "t": 60, "b": 10},
        "hovermode": "closest",
    }
    return {"data": [heat], "layout": layout}


def _counts(matrix: Sequence[Sequence[int]], shares: Sequence[Sequence[float]]) -> list[Figure]:
    return [
        {
            "x": column, "y": row, "text": str(value), "showarrow": False,
            "font": {"size": 15, "color": "#ffffff" if shares[row][column] > 0.5 else "var(--st-text-color)"},
        }
        for row, values in enumerate(matrix)
        for column, value in enumerate(values)
    ]  # fmt: skip


def _line(name: str, x: Sequence[Any], y: Sequence[Any], color: str, width: float = 2.4) -> Figure:
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y),
        "line": {"color": color, "width": width}, "hovertemplate": "%{y:.4g}",
    }  # fmt: skip


def _pair(
    shown: Sequence[EpochEnd], train: Sequence[float], val: Sequence[float], title: str, planned: int
) -> Figure:
    at = [e.epoch + 1 for e in shown]
    traces = [_line("training", at, finite(train), CAT), _line("validation", at, finite(val), FISH)]
    if len(at) <= 40:
        for trace in traces:
            trace |= {"mode": "lines+markers", "marker": {"size": 6, "color": trace["line"]["color"]}}
    return {"data": traces, "layout": _layout(title, planned)}


def _mark(figure: Figure, at: float, text: str, color: str) -> None:
    """A dotted line across the figure when `at` epochs are done, with a word beside it."""
    layout = figure["layout"]
    line = {
        "type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1,
        "line": {"color": color, "dash": "dot", "width": 1.5},
    }  # fmt: skip
    layout["shapes"] = [*layout.get("shapes", ()), line]
    if text:
        side = "right" if at > 0.7 * layout["xaxis"]["range"][1] else "left"
        words = {
            "x": at, "y": 1, "yref": "paper", "xanchor": side, "text": f" {text} ", "showarrow": False,
            "font": {"color": color, "size": 12},
        }  # fmt: skip
        layout["annotations"] = [*layout.get("annotations", ()), words]


def _layout(y: str, planned: int = 1) -> Figure:
    """What all curves share; the axis is as long as the run will be, so that it need not jump."""
    whole = {"dtick": 1} if planned <= 12 else {}
    return {
        "xaxis": {"title": {"text": "epoch"}, "range": [0, planned * 1.03], "tick0": 0} | whole,
        "yaxis": {"title": {"text": y}},
        "hovermode": "x unified",
    }
