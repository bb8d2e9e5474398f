"""Augment: which changes are made at random to training photos, and what comes of them."""

import streamlit as st

from catfish_core.serving import client
from catfish_ui import cache, pipeline, places
from catfish_ui.components import Picture, gallery
from catfish_ui.forms import spoken
from catfish_ui.samples import one_photo
from catfish_ui.text import count, plain

ws = cache.workspace()
client.warm_up(ws)

st.title("More photos out of the ones you have", anchor=False)
st.markdown(
    "Each time a training photo is shown, it is changed a little at random: mirrored, tilted, lit differently. The "
    "network cannot learn the photo by heart and has to learn what is on it. Other photos stay as they are."
)

left, right = st.columns([5, 6], gap="large")
with left:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Recommended",
            key="augment_recommended",
            icon=":material/auto_awesome:",
            on_click=pipeline.recommended,
            help="The course's recipe for photos of things with an up and a down.",
        )
        chosen = st.menu_button(
            "Add a change", list(pipeline.KINDS), key="augment_add", icon=":material/add:", format_func=spoken
        )
        if chosen:
            pipeline.add(chosen)
            st.rerun()
        if pipeline.entries():
            st.button("Clear", key="augment_clear", type="tertiary", on_click=pipeline.replace, args=([],))
    if pipeline.entries():
        pipeline.editor()
    else:
        with st.container(border=True):
            st.markdown("##### Nothing is changed yet")
            st.caption(
                "“Recommended” is a good start for most photos. The order matters: the first step comes first."
            )

steps = pipeline.steps()
with right, st.container(border=True, gap="small"):
    st.markdown("##### What the network will see")
    photo = one_photo(ws)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        size = st.segmented_control(
            "Size in pixels", [64, 128, 224], default=128, required=True, key="augment_size", persist_state="session"
        )
        if st.button("Draw again", key="augment_again", icon=":material/casino:"):
            st.session_state["augment_seed"] = st.session_state.get("augment_seed", 0) + 1
    seed = st.session_state.get("augment_seed", 0)
    draws = []
    if steps:
        with st.spinner("Drawing nine of them…", show_time=False):
            draws = cache.augmented(ws, photo.content, steps, int(size or 128), seed)
    original = Picture(cache.shrunk(photo.content), "original")
    gallery([original, *(Picture(jpeg, f"draw {n}") for n, jpeg in enumerate(draws, 1))], "augment_draws", side=84)
    if not steps:
        st.caption("Nine draws of it appear beside the original once there is a change to make.")

if steps:
    names = ", ".join(spoken(step["kind"]).lower() for step in steps)
    with left, st.container(horizontal=True, vertical_alignment="center", key="augment_done"):
        st.markdown(f"**{count(len(steps), 'step')}** will be used when you train: {plain(names)}.")
        if st.button("Train with these", key="augment_train", type="primary", icon=":material/arrow_forward:"):
            st.switch_page(places.TRAIN)
