"""Runs as a table whose rows open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from catfish_core import catalog
from catfish_core.runs import Summary
from catfish_core.workspace import Workspace
from catfish_ui import places, settings, status
from catfish_ui.components import Column, Row, table
from catfish_ui.text import ago, percent, shorten

COLUMNS = (
    Column("Run"),
    Column("Status"),
    Column("Dataset"),
    Column("Network"),
    Column("Validation", number=True),
    Column("Test", number=True),
    Column("Started"),
)


def row(ws: Workspace, summary: Summary, now: datetime, owners: bool = False) -> Row:
    """One run, with whose it is where `owners`; a damaged one says what is wrong with it."""
    word = status.WORDS[summary.status]
    badge = {"text": "damaged", "tone": "red"} if summary.problem else {"text": word.text, "tone": word.color}
    title = {"text": shorten(summary.title, 60), "note": summary.problem, "link": True}
    config = summary.config
    return Row(
        summary.run.id,
        [
            title,
            *([summary.run.owner() or "–"] if owners else []),
            badge,
            settings.dataset_name(ws, config.data.dataset) if config else "",
            catalog.arch(config.model.arch).name if config else "",
            percent(summary.best_val_accuracy) if summary.best_val_accuracy is not None else "",
            percent(summary.test_accuracy) if summary.test_accuracy is not None else "",
            ago(summary.created, now),
        ],
        href=f"run?run={summary.run.id}",
    )


def show(
    ws: Workspace, found: Sequence[Summary], key: str, now: datetime, *, remove: bool = False, owners: bool = False
) -> str | None:
    """The runs `found`, with whose they are where `owners`; a click opens one.

    The id of the one to delete, when `remove` offers that.
    """
    label = "Delete this run" if remove else ""
    columns = [COLUMNS[0], *([Column("Person")] if owners else []), *COLUMNS[1:]]
    clicked = table(columns, [row(ws, each, now, owners) for each in found], key, remove=label, cards=True)
    if clicked.open:
        places.go_to_run(clicked.open)
    return clicked.remove
