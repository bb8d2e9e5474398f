"""From a button to a run's page."""

from __future__ import annotations

import time
from typing import NoReturn

import streamlit as st

from catfish_core.config import RunConfig
from catfish_core.jobs import launcher
from catfish_core.serving import client
from catfish_core.workspace import Workspace
from catfish_ui import places

DOUBLE_CLICK = 2.0  # seconds within which the same button means the same run


def start(ws: Workspace, config: RunConfig) -> NoReturn:
    """Start a run and open its page; a double click starts one, not two. Raises StorageError."""
    at, like, id = st.session_state.get("just_started", (0.0, None, ""))
    if like != config or time.time() - at > DOUBLE_CLICK:
        client.warm_up(ws)  # so that the first heatmap need not wait
        id = launcher.submit(ws, config).id
        st.session_state["just_started"] = (time.time(), config, id)
    places.go_to_run(id)
