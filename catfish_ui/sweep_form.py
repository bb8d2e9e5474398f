"""What is asked before a sweep: widgets for a SweepConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from catfish_core import config
from catfish_core.config import SweepConfig
from catfish_ui.train_form import Question, ask

COMMON = (
    Question("init", "From", "The first rate: so small that nothing happens.", 1e-10, 100.0, 1e-6, form="sweep_form"),
    Question("final", "To", "The last rate: so big that it must explode.", 1e-10, 100.0, 0.1, form="sweep_form"),
    Question(
        "steps", "Steps", "One handful of photos each. More steps, a finer curve.", 2, 10_000, form="sweep_form"
    ),
)
MORE = (
    Question("scale", "From rate to rate", "Multiplying looks as closely at small rates as at big ones.",
             options=("exponential", "linear"), form="sweep_form"),
    Question("smoothing", "Smoothing", "Single handfuls of photos differ by chance; the smoothed curve is read.",
             options=("ewm", "rolling"), form="sweep_form"),
    Question("beta", "Memory of the smoothing", "How much of the past stays at each step. 0: no smoothing.",
             0.0, 0.999, 0.01, matters=("ewm",), form="sweep_form"),
    Question("window", "Steps averaged", "The course takes 5.", 1, 1000, matters=("rolling",), form="sweep_form"),
    Question("divergence", "Stop at", "So many times the lowest loss. 0: go on to the last rate whatever happens.",
             0.0, 1e6, 1.0, form="sweep_form"),
    Question("seeds", "Repetitions", "With other first weights each: a band shows what is chance.", 1, 10,
             form="sweep_form"),
    Question("val_every", "Validation every", "So many steps, also measure the loss on photos kept aside. 0: never.",
             0, 10_000, form="sweep_form"),
    Question("probes", "Suggestions tried out", "In short trainings from one start, to see whose loss is lowest.",
             0, 5, form="sweep_form"),
    Question("probe_steps", "Steps of such a training", "More steps tell more, and take longer.", 1, 10_000,
             form="sweep_form"),
)  # fmt: skip
WORDS = {
    "exponential": "Multiply",
    "linear": "Add",
    "ewm": "The past fades away",
    "rolling": "Mean of the last steps",
}
NEVER = {"divergence": 0.0, "val_every": 0}  # what stands for None
FIELDS = tuple(question.path for question in (*COMMON, *MORE))


def begin() -> None:
    """Fill the form at the first visit."""
    if any(f"sweep_form_{field}" not in st.session_state for field in FIELDS):
        fill(SweepConfig())


def fill(values: SweepConfig) -> None:
    """Show `values` in the form."""
    for field in FIELDS:
        st.session_state[f"sweep_form_{field}"] = getattr(values, field)
        if field in NEVER and getattr(values, field) is None:
            st.session_state[f"sweep_form_{field}"] = NEVER[field]


def show() -> None:
    """The questions, folded away, and again when another sweep is shown: the usual answers suit most networks."""
    smoothing = (st.session_state["sweep_form_smoothing"],)
    shown = st.query_params.get("sweep", "")
    with st.expander("Range, steps and more", icon=":material/tune:", key=f"sweep_form_fold_{shown}"):
        ask(COMMON, WORDS, smoothing, columns=3)
        st.markdown("##### More")
        ask(MORE, WORDS, smoothing)


def collect(state: Mapping[str, Any]) -> SweepConfig:
    """The sweep the form describes; raises ConfigError for one that cannot be meant."""
    values = {field: state[f"sweep_form_{field}"] for field in FIELDS}
    return config.parse_sweep(values | {field: values[field] or None for field in NEVER})
