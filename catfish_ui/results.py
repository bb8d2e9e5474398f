"""What the test photos say about a finished run: who is taken for whom, class by class, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from catfish_core.data.library import Dataset
from catfish_core.errors import DatasetError
from catfish_core.runs import Run
from catfish_core.workspace import Workspace
from catfish_ui import cache, charts
from catfish_ui.components import Column, Picture, Row, chart, gallery, table
from catfish_ui.text import percent

WRONG = 12  # mistakes shown
SQUARES = 12  # classes a confusion matrix can show; more are told as a list of mix-ups


@dataclass(frozen=True)
class Mistake:
    """A test photo that was taken for something else; `index` is its place in the test split."""

    index: int
    name: str
    label: str
    predicted: str
    sure: float


def mistakes(report: dict[str, Any], limit: int = WRONG) -> list[Mistake]:
    """The wrong answers of a report, the surest first."""
    classes = report["classes"]
    found = [
        Mistake(i, p["name"], _name(classes, p["label"]), _name(classes, p["predicted"]), _sure(p["probabilities"]))
        for i, p in enumerate(report["predictions"])
        if p["label"] != p["predicted"]
    ]
    return sorted(found, key=lambda m: m.sure, reverse=True)[:limit]


def _sure(probabilities: Sequence[float | None]) -> float:
    """The highest of them; 0 where the network's numbers were none."""
    return max((p for p in probabilities if p is not None), default=0.0)


def _name(classes: Sequence[str], label: int | str) -> str:
    return classes[label] if isinstance(label, int) else label


def show(ws: Workspace, run: Run, dataset: str) -> None:
    """The report of `run`, where it has one."""
    report = cache.report(run)
    if report is None:
        return
    st.header("On photos it has never seen", anchor=False)
    left, right = st.columns(2)
    with left, st.container(border=True, gap="xsmall"):
        st.markdown("##### Who is taken for whom")
        _confusion(run, report)
    with right, st.container(border=True, gap="xsmall"):
        st.markdown("##### Class by class")
        st.caption(
            "Found: of the photos of this class, how many it recognised. Right when named: of the photos it called "
            "so, how many were."
        )
        _per_class(report)
    _wrong(ws, run, dataset, report)


def _confusion(run: Run, report: dict[str, Any]) -> None:
    matrix, classes = report["confusion"], report["classes"]
    if len(classes) <= SQUARES:
        st.caption("Each row is a class as it really is, each column what the network said. The diagonal is right.")
        chart(charts.confusion(matrix, classes), f"{run.id}-confusion", height=170 + 40 * max(3, len(classes)))
        return
    st.caption("The mix-ups that happened most often.")
    columns = [Column("Really"), Column("Taken for"), Column("Photos", True)]
    rows = [Row(f"{a}-{b}", [classes[a], classes[b], f"{n:,}"]) for a, b, n in mix_ups(matrix)]
    table(columns, rows, "run_mix_ups")


def mix_ups(matrix: Sequence[Sequence[int]], limit: int = SQUARES) -> list[tuple[int, int, int]]:
    """(class, what it was taken for, how often), the most frequent first."""
    wrong = [(a, b, n) for a, row in enumerate(matrix) for b, n in enumerate(row) if n and a != b]
    return sorted(wrong, key=lambda item: -item[2])[:limit]


def _per_class(report: dict[str, Any]) -> None:
    columns = [Column("Class"), Column("Photos", True), Column("Found", True), Column("Right when named", True)]
    rows = [
        Row(str(n), [c["name"], f"{c['support']:,}", percent(c["recall"]), percent(c["precision"])])
        for n, c in enumerate(report["per_class"])
    ]
    with st.container(height=420 if len(rows) > 8 else "content", border=False):
        table(columns, rows, "run_classes")


def _wrong(ws: Workspace, run: Run, dataset: str, report: dict[str, Any]) -> None:
    worst = mistakes(report)
    st.markdown("##### Most confidently wrong")
    if not worst:
        st.caption("Not a single test photo was taken for something else.")
        return
    st.caption("Where it was surest and still wrong: often photos that would puzzle a person too.")
    photos = _photos(ws, dataset, report)
    if photos is None:
        st.caption("The photos are no longer here, so only their names can be shown.")
        columns = [Column("Photo"), Column("Really"), Column("It said"), Column("Sure", True)]
        table(
            columns, [Row(m.name, [m.name, m.label, m.predicted, percent(m.sure)]) for m in worst], "run_wrong_names"
        )
        return
    shown = []
    for m in worst:
        jpeg = cache.thumbnail(str(photos.splits["test"].paths[m.index]), photos.info.version, 240)
        if jpeg:
            shown.append(Picture(jpeg, f"says {m.predicted}, {percent(m.sure)} sure", f"really {m.label}"))
    gallery(shown, "run_wrong", side=140)


def _photos(ws: Workspace, id: str, report: dict[str, Any]) -> Dataset | None:
    """The dataset with the photos the report speaks of; None where they are gone or have changed since."""
    try:
        dataset = cache.dataset(ws, id)
    except DatasetError:
        return None
    told = [p["name"] for p in report["predictions"]]
    return dataset if list(dataset.splits["test"].names) == told else None
