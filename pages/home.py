"""Home: what this is, three steps, one button, and what was trained lately."""

from datetime import datetime

import streamlit as st

from catfish_core import runs
from catfish_core.config import RunConfig, TrainingConfig
from catfish_ui import cache, identity, places, runs_table, starting
from catfish_ui.components import Picture, gallery

FIRST = RunConfig(name="My first model", training=TrainingConfig(epochs=8))
STEPS = (
    (
        "photo_library",
        "1. Show it photos",
        "A few hundred, sorted into folders by what is on them. Or ours, to begin with.",
    ),
    (
        "show_chart",
        "2. Watch it learn",
        "The curves move while it looks at them again and again. A minute is enough.",
    ),
    ("center_focus_strong", "3. Ask it", "Drop a photo: it says what it sees, and shows where it looked."),
)

ws = cache.workspace()
found = runs.listing(ws)

words, drawing = st.columns([3, 2], gap="large", vertical_alignment="center")
with words:
    st.title("Teach your computer to tell cats from fish", anchor=False)
    st.markdown(
        "CatFish trains a neural network on photos, right here in your browser, and shows you what it learned. "
        "No code, no account, and your photos never leave this computer."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        forbidden = identity.why_not("start")
        start = st.button("Train your first model", key="home_train", type="primary", icon=":material/play_arrow:",
                          disabled=forbidden is not None, help=forbidden)  # fmt: skip
        st.page_link(places.DATA, label="Use my own photos", icon=":material/add_photo_alternate:")
    st.caption("It draws 600 cats and fish for itself, then learns from them: under a minute.")
with drawing:
    gallery([Picture(jpeg) for jpeg in cache.drawings()], "home_drawings", side=110)

if start:
    starting.start(ws, FIRST)

for place, (icon, title, text) in zip(st.columns(3), STEPS, strict=True):
    with place, st.container(border=True, height="stretch", gap="xsmall"):
        st.markdown(f"##### :primary[:material/{icon}:] {title}")
        st.caption(text)

if found:
    st.header("Recent runs", anchor=False)
    runs_table.show(ws, found[:5], "home_runs", datetime.now())
    st.page_link(places.RUNS, label="All runs", icon=":material/arrow_forward:")
