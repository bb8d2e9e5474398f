"""Which network is asked, where it is looked into, and which class is explained."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import streamlit as st

from catfish_core import catalog
from catfish_core.runs import Run, Summary
from catfish_ui import cache
from catfish_ui.text import ago, shorten


def which(usable: Mapping[str, Summary], now: datetime) -> tuple[Run, str | None, int | None]:
    """The run, the layer and the class to explain; None for the layer and the class the service would take.

    The run stands in the address, so that the page can be bookmarked and handed on.
    """
    wanted = st.query_params.get("run")
    if wanted in usable and st.session_state.get("predict_address") != wanted:
        st.session_state["predict_run"] = wanted  # a link was followed
    elif st.session_state.get("predict_run") not in usable:
        st.session_state.pop("predict_run", None)  # it was deleted meanwhile
    if wanted and wanted not in usable:
        st.info("That run has no trained network, so here is the latest that has.", icon=":material/info:")
    with st.container(border=True):
        cells = st.columns([5, 3, 3])
        with cells[0]:
            id = _run(usable, now)
        st.query_params["run"] = st.session_state["predict_address"] = id
        with cells[1]:
            target = _target(usable[id])
        with cells[2]:
            layer = _layer(usable[id])
    return usable[id].run, layer, target


def _run(usable: Mapping[str, Summary], now: datetime) -> str:
    def title(id: str) -> str:
        return f"{shorten(usable[id].title, 40)} · {ago(usable[id].created, now)}"

    ids = list(usable)
    chosen = st.selectbox("Network", ids, format_func=title, key="predict_run", help="Any run that kept weights.")
    return ids[0] if chosen is None else chosen


def _target(summary: Summary) -> int | None:
    classes = cache.classes(summary.run)
    chosen = st.selectbox(
        "Heatmap for",
        range(-1, len(classes)),
        format_func=lambda n: "whatever it says" if n < 0 else shorten(classes[n], 30),
        key=f"predict_target_{summary.run.id}",
        help="The class whose traces in the photo are shown.",
    )
    return None if chosen is None or chosen < 0 else chosen


def _layer(summary: Summary) -> str | None:
    assert summary.config is not None
    row = catalog.arch(summary.config.model.arch)
    layers = list(dict.fromkeys((*row.stages, row.cam_layer))) if row.cam_layer else []
    usual = f"{row.cam_layer} (usual)" if row.cam_layer else "has no layers to choose"
    chosen = st.selectbox(
        "Looking into layer",
        ["", *(str(name) for name in reversed(layers) if name != row.cam_layer)],
        format_func=lambda name: name or usual,
        key=f"predict_layer_{summary.run.id}",
        disabled=not layers,
        help="The first layers see edges and colours, the last ones see things.",
    )
    return chosen or None
