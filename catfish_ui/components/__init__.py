"""Small pieces that run in the browser: charts, sweeps with a rate to drag, photo galleries, tables, answers.

Each is an HTML shell, a style sheet and a script beside this file; those with a chart share plotly.js. What people
named reaches the script as data and the page as text, never as HTML.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from catfish_ui.routes import PLOTLY_URL

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

_HERE = Path(__file__).parent


def _read(file: str) -> str:
    """A file beside this one; the newline keeps Streamlit from taking the text for a path."""
    return f"{(_HERE / file).read_text(encoding='utf-8')}\n"


def _register(name: str, html: str, plotly: bool = False) -> ComponentRenderer:
    """The component called `name`; with `plotly` its script begins with plotly.js.

    Plotly puts its own style sheet into the page, out of a shadow's reach: such a component has none.
    """
    js = (_read("plotly.js") if plotly else "") + _read(f"{name}.js")
    return st.components.v2.component(
        f"catfish_{name}", html=f"{html}\n", css=_read(f"{name}.css"), js=js, isolate_styles=not plotly
    )


_CHART = _register("chart", '<div class="catfish-chart"><div class="plot" role="img"></div></div>', plotly=True)
_SWEEP = _register("sweep", _read("sweep.html"), plotly=True)
_GALLERY = _register("gallery", '<div class="gallery"></div>')
_TABLE = _register("table", '<div class="wrap"><table><thead><tr></tr></thead><tbody></tbody></table></div>')

_ANSWER = _register("answer", _read("answer.html"))


def chart(figure: dict[str, Any] | str, key: str, *, name: str = "", height: int = 250) -> None:
    """A figure of charts.py, called `name` for screen readers; zoom and hidden traces stay while `key` does.

    One that many are shown may come as JSON: written once for all of them.
    """
    _CHART(key=key, data=_plotted(figure, key, name, height))


def _plotted(figure: dict[str, Any] | str, key: str, name: str, height: int) -> dict[str, Any]:
    """What plotly.js draws."""
    return {"name": name, "figure": figure, "height": height, "library": PLOTLY_URL, "revision": key}


def rate_line(
    figure: dict[str, Any],
    key: str,
    *,
    rate: float,
    span: tuple[float, float],
    zones: Sequence[tuple[str, float]],
    chips: Sequence[tuple[str, float, bool]],
    name: str,
    height: int,
) -> float | None:
    """A figure over learning rates with a line at `rate` that a person can drag; where they have moved it, if so.

    The line stays within `span`. `zones` name the phases and where each ends, `chips` are buttons that move it:
    text, rate, and whether it is the best. Until somebody has moved it, it follows `rate`.
    """
    data = _plotted(figure, key, name, height) | {
        "bar": False, "rate": rate, "low": span[0], "high": span[1],
        "zones": [{"name": zone, "until": until} for zone, until in zones],
        "chips": [{"text": text, "rate": at, "best": best} for text, at, best in chips],
    }  # fmt: skip
    moved = _SWEEP(key=key, data=data, on_rate_change=_nothing).get("rate")
    return float(moved) if moved else None


@dataclass(frozen=True)
class Picture:
    """A JPEG with a line or two below."""

    jpeg: bytes
    title: str = ""
    note: str = ""


def gallery(pictures: Sequence[Picture], key: str, *, side: int = 120) -> None:
    """Pictures in a grid, each at least `side` pixels wide."""
    items = [{"jpeg": b64encode(p.jpeg).decode(), "title": p.title, "note": p.note} for p in pictures]
    _GALLERY(key=key, data={"items": items, "side": side})


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are set flush right."""

    name: str
    number: bool = False


@dataclass(frozen=True)
class Row:
    """A row: texts, or {"text", "note", "tone", "link", "part"}; with `href` a click opens it.

    `part` (0 to 1) is drawn as a bar below the text. `actions` are buttons at the end: id → label.
    """

    id: str
    cells: Sequence[str | dict[str, Any]]
    href: str | None = None
    actions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Clicked:
    """The id of the row somebody has just opened, or wants removed, or (row, action) of a button."""

    open: str | None
    remove: str | None
    act: tuple[str, str] | None = None


def table(
    columns: Sequence[Column], rows: Sequence[Row], key: str, *, remove: str = "", cards: bool = False
) -> Clicked:
    """A table; `remove` labels a button at the end of each row, `cards` stacks the cells on a narrow screen."""
    result = _TABLE(
        key=key,
        data={
            "columns": [asdict(c) for c in columns],
            "rows": [asdict(r) for r in rows],
            "remove": remove,
            "cards": cards,
        },
        on_open_change=_nothing,
        on_remove_change=_nothing,
        on_act_change=_nothing,
    )
    row, _, action = str(result.get("act") or "").rpartition("/")
    return Clicked(result.get("open"), result.get("remove"), (row, action) if row else None)


def answer(data: dict[str, Any], key: str) -> None:
    """What the network says about one photo, as `answers.py` words it."""
    _ANSWER(key=key, data=data)


def _nothing() -> None:
    """A change is read from the result; Streamlit wants a callback to know its name."""
