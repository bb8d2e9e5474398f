"""Predict: drop photos on a trained network, see what it says and where it looked."""

from datetime import datetime

import streamlit as st

from catfish_core import runs
from catfish_core.data.photos import SUFFIXES
from catfish_core.serving import client
from catfish_ui import answers, asking, cache, places, samples
from catfish_ui.components import answer as show_answer
from catfish_ui.text import plain

SAMPLES = 4  # test photos at a time

ws = cache.workspace()
client.warm_up(ws)

st.title("What does it see?", anchor=False)
st.markdown("Give a trained network a photo it has never seen: it names what it sees, and shows where it looked.")
usable = {each.run.id: each for each in runs.listing(ws) if each.config and cache.classes(each.run)}
if not usable:
    with st.container(border=True, gap="small", key="predict_empty"):
        st.markdown("##### No trained network yet")
        st.markdown("Train one first, it takes about a minute. Then drop a photo here and see what it makes of it.")
        st.page_link(places.HOME, label="Train your first model", icon=":material/play_arrow:")
    st.stop()

run, layer, target = asking.which(usable, datetime.now())
config = usable[run.id].config
assert config is not None

uploads = st.file_uploader(
    "Drop photos here, several at once if you like",
    sorted(suffix[1:] for suffix in SUFFIXES),
    accept_multiple_files=True,
    key="predict_upload",
    max_upload_size=128,
)
photos = [(upload.name, upload.getvalue()) for upload in uploads]
truths: list[str | None] = [None] * len(photos)
if not photos:
    with st.container(horizontal=True, vertical_alignment="center"):
        turn = st.session_state.get("predict_turn", -1)
        label = "Try test photos" if turn < 0 else "Other test photos"
        st.button(label, key="predict_samples", icon=":material/casino:", on_click=samples.turn_page)
        st.caption("No photo at hand? Its dataset has some it has never seen.")
    if turn >= 0:
        photos, known = samples.test_photos(ws, config.data.dataset, SAMPLES, turn)
        truths = list(known)
        if not photos:
            st.info(
                "The photos it was trained with are no longer here: drop some of your own.", icon=":material/info:"
            )

if photos:
    with st.spinner("Looking…", show_time=False):
        found = cache.answers(ws, run, photos, layer, target)
    for place, (answer, truth) in enumerate(zip(found, truths, strict=True)):
        if answer.error:
            st.warning(plain(answer.error), icon=":material/broken_image:")
        else:
            show_answer(answers.card(answer, truth), f"predict_answer_{place}")
