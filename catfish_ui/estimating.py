"""How long a run will take, beside the button that starts it: measured meanwhile, told when it is known."""

from __future__ import annotations

import streamlit as st

from catfish_core import estimate
from catfish_core.config import RunConfig
from catfish_core.estimate import Estimate
from catfish_core.workspace import Workspace
from catfish_ui import guard, identity
from catfish_ui.text import pace, plain, roughly

EVERY = 1.0  # seconds between two looks; the form must stand still as long before measuring begins


def show(ws: Workspace, wanted: RunConfig) -> None:
    """A line that says how long `wanted` takes here; until that is known, it looks again every second."""
    known = estimate.find(ws, wanted) is not None
    if not known and not identity.desk().may("start"):
        return  # measuring is work for the machine
    st.fragment(_tick, run_every=None if known else EVERY)(ws, wanted, not known)


def _tick(ws: Workspace, wanted: RunConfig, looking: bool) -> None:
    with guard.page_guard():
        found = estimate.find(ws, wanted)
        if looking and found is not None:
            st.rerun()  # and with that, no more looks
        if found is None:
            _ask(wanted)
        st.caption(words(found))


def _ask(wanted: RunConfig) -> None:
    """Have it measured once the form has stood still from one look to the next: not each value on the way."""
    if st.session_state.get("estimate_wanted") == wanted:
        identity.desk().measure(wanted)
    st.session_state["estimate_wanted"] = wanted


def words(found: Estimate | None) -> str:
    """The estimate as a sentence of Markdown, about as long as the one that stands there before it is known."""
    if found is None:
        return "How long will it take here? A few steps are being tried to find out…"
    if found.why:
        return plain(found.why)
    ready, epoch = roughly(found.ready), pace(found.epoch)
    return f"About **{roughly(found.total)}** on this computer: {ready} to get ready, then {epoch} an epoch."
