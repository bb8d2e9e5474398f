"""One run: live while it trains, its results when it is done. `?run=<id>` is its link for good."""

from datetime import datetime

import streamlit as st

from catfish_core import runs
from catfish_ui import cache, live, places, results, settings
from catfish_ui.text import ago, plain

ws = cache.workspace()
wanted = st.query_params.get("run", "")
st.page_link(places.RUNS, label="All runs", icon=":material/arrow_back:")
if not wanted:
    st.title("No run chosen")
    st.write("Choose one from the list of runs, or train your first model from Home.")
    st.stop()

run = runs.find(ws, wanted)
summary = runs.summary(run)
st.title(plain(summary.title), anchor=False)
if summary.config is None:
    st.error(f"**{plain(summary.problem)}**\n\nThe Runs page can delete it.", icon=":material/heart_broken:")
    st.stop()

begun = "put in line" if summary.status == "queued" else "started"
st.caption(f"{settings.tagline(ws, summary.config)} · {begun} {ago(summary.created, datetime.now())}")
status = live.show(run)
if status not in runs.ACTIVE:
    results.show(ws, run, summary.config.data.dataset)
settings.show(ws, run, summary)
