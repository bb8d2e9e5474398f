"""Train: what to learn from, which network, how; then off to the run's own page."""

import streamlit as st

from catfish_core.errors import ConfigError
from catfish_ui import cache, estimating, guard, identity, pipeline, places, starting, train_form
from catfish_ui.forms import spoken
from catfish_ui.text import count, listed, plain

ws = cache.workspace()
train_form.begin()

st.title("Train a network", anchor=False)
st.markdown("The values below work for most photos: press Train, or change what you like first.")

left, right = st.columns([1, 1], gap="medium")
with left, st.container(border=True, gap="small", height="stretch"):
    st.markdown("##### What it learns from")
    train_form.photos(ws)
    steps = pipeline.steps()
    if steps:
        names = listed([spoken(step["kind"]).lower() for step in steps])
        with st.container(gap=None):
            st.toggle("Use my augmentations", True, key="train_augment", persist_state="session")
            st.caption(f"{count(len(steps), 'step')} from the Augment page: {plain(names)}.")
    else:
        st.caption("Photos are shown as they are. The Augment page makes more out of each.")
        st.page_link(places.AUGMENT, label="Choose augmentations", icon=":material/auto_awesome:")
with right, st.container(border=True, gap="small", height="stretch"):
    st.markdown("##### What learns")
    train_form.network(ws)
with st.expander("Part by part", icon=":material/account_tree:"):
    train_form.part_by_part(ws)

with st.container(border=True, gap="small"):
    st.markdown("##### How it learns")
    train_form.ask(train_form.COMMON)
with st.expander("More settings", icon=":material/tune:"):
    train_form.ask(train_form.MORE)

try:
    config = train_form.collect(st.session_state.to_dict(), train_form.augmentations())
except ConfigError as error:
    guard.show(error)
    config = None

with st.container(border=True, horizontal=True, vertical_alignment="bottom", key="train_go"):
    st.text_input("Name", key="train_name", max_chars=120, persist_state="session", width=280,
                  placeholder=config.title if config else "")  # fmt: skip
    forbidden = identity.why_not("start")
    pressed = st.button("Train", key="train_submit", type="primary", icon=":material/play_arrow:", help=forbidden,
                        disabled=config is None or forbidden is not None)  # fmt: skip
    if config:
        with st.container(gap=None, width="stretch"):
            st.markdown(train_form.summary(ws, config))
            estimating.show(ws, config)
if pressed and config:
    starting.start(ws, config)
