"""From a button to the page of what it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

import streamlit as st

from catfish_core.config import RunConfig, SweepConfig
from catfish_core.jobs import queue
from catfish_core.serving import client
from catfish_core.workspace import Workspace
from catfish_ui import places

DOUBLE_CLICK = 2.0  # seconds within which the same button means the same start


def start(ws: Workspace, config: RunConfig) -> NoReturn:
    """Start a run and open its page; a double click starts one, not two. Raises StorageError."""

    def submit() -> str:
        client.warm_up(ws)  # so that the first heatmap need not wait
        return queue.submit(ws, config).id

    places.go_to_run(_once(config, submit))


def sweep(ws: Workspace, config: RunConfig, settings: SweepConfig) -> NoReturn:
    """Start a sweep and show it; a double click starts one, not two. Raises StorageError."""
    places.go_to_sweep(_once((config, settings), lambda: queue.submit_sweep(ws, config, settings).id))


def _once(wanted: object, submit: Callable[[], str]) -> str:
    """The id of what `submit` starts; of what it has just started where the same is wanted again."""
    at, like, id = st.session_state.get("just_started", (0.0, None, ""))
    if like != wanted or time.time() - at > DOUBLE_CLICK:
        id = submit()
        st.session_state["just_started"] = (time.time(), wanted, id)
    return str(id)
