"""Whose things take the space on the disk, and what of them can go."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import streamlit as st

from catfish_core.lab import settings, usage
from catfish_core.lab.desk import Desk
from catfish_core.lab.usage import KINDS, Kind, Usage, Waste
from catfish_ui import guard, lab_reading
from catfish_ui.components import Column, Row, table
from catfish_ui.text import plain, size

WORTH = 10**6  # bytes below which nobody is asked to clean up


def show(desk: Desk, shared: bool) -> None:
    """The last count, and a newer one as soon as it is there."""
    st.header("Disk", anchor=False)
    usage_now = usage.current(desk.workspace)
    wait = usage_now is None or usage.is_counting(desk.workspace)
    st.fragment(_tick, run_every=1.0 if wait else None)(desk, shared, wait)


def _tick(desk: Desk, shared: bool, waited: bool) -> None:
    with guard.page_guard():
        found = usage.read(desk.workspace)
        if waited and found is not None and not usage.is_counting(desk.workspace):
            st.rerun()
        if found is None:
            st.caption("Everything is being counted. That takes a second or two.")
            st.skeleton(120)
            return
        quota = settings.read(desk.workspace).quota_gb if shared else None
        _by_owner(found, quota) if shared else _by_kind(found)
        st.caption(lab_reading.counted(found, datetime.now()) + _allowed(quota))
        _clean_up(desk, found, shared)


def _allowed(quota: float | None) -> str:
    return (
        f" Each person may use {quota:g} GB; who has more cannot start or import until there is room."
        if quota
        else ""
    )


def _by_kind(found: Usage) -> None:
    taken: Counter[str] = Counter()
    for item in found.found:
        taken[item.kind] += item.bytes
    whole = sum(taken.values())
    rows = [
        Row(kind, [lab_reading.KINDS[kind], {"text": size(taken[kind]), "part": taken[kind] / whole * 0.999}])
        for kind in sorted(KINDS, key=lambda kind: -taken[kind])
        if taken[kind]
    ]
    if not rows:
        st.caption("There is nothing here yet.")
        return
    table([Column("What"), Column("Takes")], rows, "lab_kinds", cards=True)


def _by_owner(found: Usage, quota: float | None) -> None:
    shown: tuple[Kind, ...] = ("datasets", "runs", "sweeps")
    rows = []
    for owner, kinds in found.by_owner().items():
        whole = sum(kinds.values())
        part = {"part": whole / (quota * usage.GIGABYTE)} if quota and owner else {}
        text = lab_reading.of_quota(whole, quota if owner else None)
        rest = whole - sum(kinds[kind] for kind in shown)
        rows.append(
            Row(owner or "-", [owner or "Everybody's",
                               {"text": text, **part}, *(_amount(kinds[kind]) for kind in shown), _amount(rest)])
        )  # fmt: skip
    columns = [Column("Person"), Column("Takes"), Column("Datasets", True), Column("Runs", True),
               Column("Sweeps", True), Column("Caches, weights", True)]  # fmt: skip
    table(columns, rows, "lab_owners", cards=True)


def _amount(taken: int) -> str:
    return size(taken) if taken else ""


def _clean_up(desk: Desk, found: Usage, shared: bool) -> None:
    offered = [each for each in found.waste if each.bytes >= WORTH and desk.may("delete", each.owner)]
    if not offered:
        return
    st.markdown("##### What can go")
    for waste in offered:
        title, about = lab_reading.waste(waste)
        whose = f" of {plain(waste.owner)}" if shared and waste.owner else ""
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(gap=None, width="stretch"):
                st.markdown(f"**{title}**{whose}")
                st.caption(about)
            if st.button(f"Remove {size(waste.bytes)}", key=f"lab_clean_{waste.kind}_{waste.owner}",
                         icon=":material/mop:"):  # fmt: skip
                confirm(desk, waste)


@st.dialog("Remove this?", icon=":material/mop:")
def confirm(desk: Desk, waste: Waste) -> None:
    title, about = lab_reading.waste(waste)
    st.markdown(f"**{title}**, {size(waste.bytes)}. {about}")
    with st.container(horizontal=True), guard.page_guard():
        if st.button("Remove", key="lab_clean_yes", type="primary", icon=":material/mop:"):
            with st.spinner("Removing…", show_time=False):
                desk.clean(waste)
            st.rerun()
        if st.button("Keep it", key="lab_clean_no"):
            st.rerun()
