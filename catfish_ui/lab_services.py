"""The processes beside the runs: whether they are well, and a button for when they are not; what is wrong here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import streamlit as st
from streamlit import config

from catfish_core.jobs import queue
from catfish_core.lab import services
from catfish_core.lab.desk import Desk
from catfish_ui import cache, guard, lab_reading
from catfish_ui.text import plain


def problems(desk: Desk) -> None:
    """What is not as it should be on this machine, for who can change it."""
    for problem in cache.problems(str(desk.workspace.root), _address()) if desk.may("manage") else ():
        box = st.error if problem.serious else st.warning
        box(f"**{plain(problem.what)}**\n\n{plain(problem.hint)}", icon=":material/build:")


def _address() -> str:
    return str(config.get_option("server.address") or "0.0.0.0")


def show(desk: Desk) -> None:
    """The two services, each with what it does."""
    st.header("Behind the scenes", anchor=False)
    now = datetime.now()
    health = queue.health(desk.workspace)
    with guard.page_guard():
        predictions = services.predictions(desk.workspace)
        _service("The queue", "Starts what waits when there is room, and goes on with what was interrupted.",
                 health.alive, lab_reading.health(health, now), desk, desk.restart_queue, "queue")  # fmt: skip
        _service("Predictions", "Says what is on a photo and where the network looked.",
                 predictions is not None, lab_reading.predictions(predictions, now), desk,
                 desk.restart_predictions, "predictions")  # fmt: skip


def _service(name: str, does: str, up: bool, how: str, desk: Desk, restart: Callable[[], None], key: str) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(gap=None, width="stretch"):
            state = ":green-badge[:material/check: awake]" if up else ":gray-badge[asleep]"
            st.markdown(f"**{name}** {state}")
            st.caption(f"{does} {plain(how)}")
        if desk.may("manage") and st.button("Restart", key=f"lab_restart_{key}", icon=":material/restart_alt:"):
            with st.spinner("Restarting…", show_time=False):
                restart()
            st.toast(f"{name}: restarted. Runs were not touched.", icon=":material/restart_alt:")
