"""Where the pages are, and how to go from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import streamlit as st

_FOLDER = Path(__file__).resolve().parent.parent / "pages"
HOME, DATA, AUGMENT, TRAIN, LEARNING_RATE, RUNS, RUN, PREDICT, LAB = (
    str(_FOLDER / f"{name}.py")
    for name in ("home", "data", "augment", "train", "learning_rate", "runs", "run", "predict", "lab")
)


def pages(shared: bool = False) -> list[st.Page]:
    """All pages in the order of the menu; a single run has a link but no entry of its own.

    `shared` says that several people use this machine.
    """
    return [
        st.Page(HOME, title="Home", icon=":material/home:", default=True),
        st.Page(DATA, title="Data", icon=":material/photo_library:", url_path="data"),
        st.Page(AUGMENT, title="Augment", icon=":material/auto_awesome:", url_path="augment"),
        st.Page(TRAIN, title="Train", icon=":material/model_training:", url_path="train"),
        st.Page(LEARNING_RATE, title="Learning rate", icon=":material/troubleshoot:", url_path="learning-rate"),
        st.Page(RUNS, title="Runs", icon=":material/timeline:", url_path="runs"),
        st.Page(PREDICT, title="Predict", icon=":material/center_focus_strong:", url_path="predict"),
        st.Page(LAB, title="Lab" if shared else "This computer", icon=":material/dns:", url_path="lab"),
        st.Page(RUN, title="Run", icon=":material/show_chart:", url_path="run", visibility="hidden"),
    ]


def go_to_run(run_id: str) -> NoReturn:
    """Open the page of a run; its address survives reloads and restarts."""
    st.switch_page(RUN, query_params={"run": run_id})


def go_to_sweep(sweep_id: str) -> NoReturn:
    """Open a sweep on the learning-rate page; its address survives reloads and restarts."""
    st.switch_page(LEARNING_RATE, query_params={"sweep": sweep_id})


def go_to_predict(run_id: str) -> NoReturn:
    """Open the page that tries a run's model on photos."""
    st.switch_page(PREDICT, query_params={"run": run_id})
