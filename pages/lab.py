"""The lab, or this computer: what runs and who is next, how full the disk is, and what people are told."""

import streamlit as st

from catfish_core.lab import settings
from catfish_ui import cache, identity, lab_disk, lab_messages, lab_people, lab_queue, lab_services

ws = cache.workspace()
desk = identity.desk()
shared = settings.read(ws).shared

st.title("The lab" if shared else "This computer", anchor=False)
st.markdown(
    "Who trains what, who is next, and what is left of the machine."
    if shared
    else "What is being trained, what comes next, and what is left of the machine."
)
lab_services.problems(desk)
lab_queue.show(desk, shared)
lab_messages.latest(desk, shared)
lab_disk.show(desk, shared)
lab_services.show(desk)
if shared and desk.may("manage"):
    lab_messages.write(desk)
    lab_people.show(desk)
