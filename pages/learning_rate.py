"""Find a learning rate: sweep what the Train form describes, read the curve, use a rate. `?sweep=<id>` is a link."""

from datetime import datetime

import streamlit as st

from catfish_core import sweeps
from catfish_core.errors import ConfigError
from catfish_core.sweeps import Sweep, SweepSummary
from catfish_ui import (
    cache,
    guard,
    identity,
    places,
    settings,
    starting,
    sweep_form,
    sweep_live,
    sweep_table,
    train_form,
)

PAGE = 10  # sweeps listed at a time

ws = cache.workspace()
train_form.begin()
sweep_form.begin()


@st.dialog("Delete this sweep?", icon=":material/delete:")
def confirm(sweep: Sweep) -> None:
    st.markdown("Its curve and its advice go for good. Runs that were trained with its rate stay.")
    with st.container(horizontal=True), guard.page_guard():
        if st.button("Delete it", key="sweep_delete", type="primary", icon=":material/delete:"):
            identity.desk().delete(sweep)
            if st.query_params.get("sweep") == sweep.id:
                del st.query_params["sweep"]
            st.rerun()
        if st.button("Keep it", key="sweep_keep"):
            st.rerun()


def listing(found: list[SweepSummary], key: str) -> None:
    pages = -(-len(found) // PAGE)
    at = min(st.session_state.get(f"{key}_page", 1), max(1, pages))
    doomed = sweep_table.show(found[(at - 1) * PAGE : at * PAGE], key, datetime.now())
    if pages > 1:
        st.pagination(pages, key=f"{key}_page")
    if doomed:
        st.session_state["sweep_doomed"] = doomed
        st.rerun()


st.title("Find a learning rate", anchor=False)
st.markdown(
    "The learning rate says how big the steps are in which a network learns. Too small, and it crawls. Too big, and "
    "it leaps past everything it was looking for. The right one can be measured, by a sweep: CatFish lets the "
    "network make a few steps that grow from tiny to huge, and watches how wrong it is after each. Nothing of that "
    "is kept: a training begins afresh."
)
found = cache.sweeps(ws)
try:
    config = train_form.collect(st.session_state.to_dict(), train_form.augmentations())
except ConfigError as error:
    guard.show(error)
    config = None

with st.container(border=True, gap="small", key="sweep_ask"):
    head = st.container(horizontal=True, vertical_alignment="center")
    sweep_form.show()
    try:
        wanted = sweep_form.collect(st.session_state.to_dict())
    except ConfigError as error:
        guard.show(error)
        wanted = None
    with head:
        if config:
            st.markdown(f"**What is swept:** {settings.tagline(ws, config)}, {settings.stepping(config)}.")
        st.page_link(places.TRAIN, label="Change it", icon=":material/tune:")
        forbidden = identity.why_not("start")
        pressed = st.button(
            "Start the sweep",
            key="sweep_start",
            type="primary",
            icon=":material/troubleshoot:",
            disabled=config is None or wanted is None or forbidden is not None,
            help=forbidden,
        )
if pressed and config and wanted:
    starting.sweep(config, wanted)

key = sweeps.key(config) if config else None
like = [each for each in found if each.key == key]
id = st.query_params.get("sweep", "") or (like[0].sweep.id if like else "")
with guard.page_guard():
    if id:
        sweep = sweeps.find(ws, id)
        swept = sweep.config()
        of_it = [each for each in found if each.key == sweeps.key(swept)]
        st.header("The sweep", anchor=False)
        st.caption(settings.tagline(ws, swept) + f", {settings.stepping(swept)}")
        sweep_live.show(sweep, swept, [each for each in of_it if each.sweep.id != id], same=sweeps.key(swept) == key)

if found:
    st.header("All sweeps", anchor=False)
    if like:
        st.caption("Of the settings that the Train form has now.")
        listing(like, "sweep_like")
    if others := [each for each in found if each.key != key]:
        with st.expander(f"Of other settings ({len(others):,})", icon=":material/history:", expanded=not like):
            listing(others, "sweep_others")
if doomed := st.session_state.pop("sweep_doomed", None):
    with guard.page_guard():
        confirm(sweeps.find(ws, doomed))
