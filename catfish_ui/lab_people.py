"""For administrators: who can sign in, and what was done lately."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from catfish_core.lab import accounts, audit
from catfish_core.lab.desk import Desk
from catfish_ui.components import Column, Row, table
from catfish_ui.text import ago, shorten

LINES = 15  # of the audit log
TONES = {"done": "gray", "refused": "orange", "failed": "red"}


def show(desk: Desk) -> None:
    """Accounts and the newest lines of the audit log."""
    now = datetime.now()
    with st.expander("People", icon=":material/group:"):
        rows = [
            Row(each.name, [each.name, "signed out for good" if each.disabled else each.role,
                            "here" if each.local else "with your provider",
                            ago(datetime.fromtimestamp(each.created), now)])
            for each in accounts.listing(desk.workspace)
        ]  # fmt: skip
        columns = [Column("Name"), Column("Role"), Column("Signs in"), Column("Since")]
        table(columns, rows, "lab_people", cards=True)
    with st.expander("Who did what lately", icon=":material/history:"):
        rows = [
            Row(str(n), [_when(each.time, now), each.user or "–", each.action, shorten(each.object, 60),
                         {"text": each.outcome, "tone": TONES[each.outcome]}])
            for n, each in enumerate(audit.latest(desk.workspace, LINES))
        ]  # fmt: skip
        columns = [Column("When"), Column("Who"), Column("Did"), Column("What"), Column("Outcome")]
        table(columns, rows, "lab_audit", cards=True)
        st.caption(f"The whole log is {audit.path(desk.workspace)}.")


def _when(time: str, now: datetime) -> str:
    return ago(datetime.fromisoformat(time).astimezone().replace(tzinfo=None), now)
