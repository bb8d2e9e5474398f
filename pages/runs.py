"""Runs: all that were ever started, newest first."""

from datetime import datetime

import streamlit as st

from catfish_core import runs
from catfish_core.lab import settings as lab
from catfish_ui import cache, guard, identity, places, runs_table
from catfish_ui.text import plain

PAGE = 25  # runs shown at a time

ws = cache.workspace()


@st.dialog("Delete this run?", icon=":material/delete:")
def confirm(run: runs.Run) -> None:
    st.markdown(f"**{plain(runs.summary(run).title)}** goes for good: its weights, its curves and its test results.")
    with st.container(horizontal=True), guard.page_guard():
        if st.button("Delete it", key="runs_delete", type="primary", icon=":material/delete:"):
            identity.desk().delete(run)
            st.rerun()
        if st.button("Keep it", key="runs_keep"):
            st.rerun()


def mine(found: list[runs.Summary]) -> list[runs.Summary]:
    """Those of this person, where that was chosen."""
    name = identity.user().name if st.session_state.get("runs_whose") == "Mine" else None
    return [each for each in found if name is None or each.run.owner() == name]


def listing(found: list[runs.Summary]) -> None:
    with guard.page_guard():
        shown = mine(found if not active else runs.listing(ws))
        if not shown:
            st.caption("You have trained nothing yet.")
            return
        pages = -(-len(shown) // PAGE)
        at = st.session_state.get("runs_page", 1) if pages > 1 else 1
        start = (min(at, pages) - 1) * PAGE
        doomed = runs_table.show(ws, shown[start : start + PAGE], "runs_table", datetime.now(), remove=True,
                                 owners=shared)  # fmt: skip
        if pages > 1:
            st.pagination(pages, key="runs_page")
        if doomed:
            st.session_state["runs_doomed"] = doomed
            st.rerun()


found = runs.listing(ws)
shared = lab.read(ws).shared
active = any(each.status in runs.ACTIVE for each in found)
st.title("Runs", anchor=False)
if found:
    st.markdown(
        f"Everything {'that was' if shared else 'you'} trained, newest first. Validation and test are the right "
        "answers on photos kept aside."
    )
    if shared and identity.user().name:
        st.segmented_control("Whose", ["Everyone's", "Mine"], default="Everyone's", required=True, key="runs_whose",
                             label_visibility="collapsed", persist_state="session")  # fmt: skip
    st.fragment(listing, run_every=2.0 if active else None)(found)
else:
    with st.container(border=True, horizontal_alignment="center", gap="small", key="runs_empty"):
        st.markdown("##### Nothing trained yet")
        st.markdown("Your runs will be listed here, with their curves, results and models. The first takes a minute.")
        st.page_link(places.HOME, label="Train your first model", icon=":material/play_arrow:")

if doomed := st.session_state.pop("runs_doomed", None):
    confirm(runs.find(ws, doomed))
