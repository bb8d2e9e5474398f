"""Sweeps as a table whose rows open, and which of them a curve is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from catfish_core.sweeps import Sweep, SweepSummary
from catfish_ui import places, sweep_status
from catfish_ui.components import Column, Row, table
from catfish_ui.settings import stepping
from catfish_ui.text import ago, rate, shorten

COMPARED = 2  # earlier sweeps on the curve unless others are chosen
OFFERED = 8  # newest sweeps among which they are chosen
COLUMNS = (Column("Sweep"), Column("Status"), Column("Rates"), Column("Recommended", number=True), Column("Made"))


def row(summary: SweepSummary, now: datetime) -> Row:
    """One sweep; a damaged one says what is wrong with it."""
    word, settings, advised = sweep_status.word(summary.status), summary.settings, summary.advised
    badge = {"text": "damaged", "tone": "red"} if summary.problem else {"text": word.text, "tone": word.color}
    best, config = advised.rate if advised else None, summary.config
    note = f"{config.data.image_size} px, {stepping(config)}" if config else ""
    return Row(
        summary.sweep.id,
        [
            {"text": shorten(summary.title, 60), "note": summary.problem or note, "link": True},
            badge,
            f"{rate(settings.init)} to {rate(settings.final)}" if settings else "",
            f"{best:.2g}" if best is not None else "none" if advised else "",
            ago(summary.created, now),
        ],
        href=f"learning-rate?sweep={summary.sweep.id}",
    )


def show(found: Sequence[SweepSummary], key: str, now: datetime) -> str | None:
    """The sweeps `found`; a click opens one. The id of the one to delete, if that was asked for."""
    clicked = table(COLUMNS, [row(each, now) for each in found], key, remove="Delete this sweep", cards=True)
    if clicked.open:
        places.go_to_sweep(clicked.open)
    return clicked.remove


def names(found: Sequence[SweepSummary]) -> dict[str, SweepSummary]:
    """The sweeps by what they are called on a curve, each differently: when they were made, and their seed."""
    called: dict[str, SweepSummary] = {}
    for each in found:
        seed = f", seed {each.config.training.seed}" if each.config else ""
        name = f"{each.created.day} {each.created:%b, %H:%M:%S}{seed}"
        called[name if name not in called else f"{name} ({each.sweep.id[-4:]})"] = each
    return called


def compared(found: Sequence[SweepSummary]) -> dict[str, Sweep]:
    """The earlier sweeps to lay under the curve, by what they are called there."""
    offered = names(found[:OFFERED])
    if not offered:
        return {}
    chosen = st.pills(
        "Compare with earlier sweeps of the same settings",
        list(offered),
        selection_mode="multi",
        default=list(offered)[:COMPARED],
        key=f"sweep_compared_{found[0].sweep.id}",
    )
    return {name: offered[name].sweep for name in chosen}
