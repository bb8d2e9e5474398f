"""The augmentation pipeline a person puts together: steps in an order, kept for the session."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic import ValidationError

from catfish_core import augment
from catfish_core.augment import STEPS, Step
from catfish_core.config import AugmentConfig, explain
from catfish_ui.forms import Spec, ask, specs, spoken

_STATE = "augment_pipeline"  # list of [number, parameters]: the number names the widgets wherever the step moves
KINDS: dict[str, type[Step]] = {step.__name__: step for step in STEPS}


def entries() -> list[tuple[int, dict[str, Any]]]:
    """The steps in their order, each with its number."""
    return list(st.session_state.setdefault(_STATE, []))


def steps() -> list[dict[str, Any]]:
    """The steps as a configuration holds them; those that cannot be meant are left out."""
    return [step for _, step in entries() if problem(step) is None]


def replace(new: list[dict[str, Any]]) -> None:
    """Take `new` as the whole pipeline."""
    first = _next()
    st.session_state[_STATE] = [(first + place, step) for place, step in enumerate(new)]


def recommended() -> None:
    """Take the course's recipe as the whole pipeline."""
    replace([step.model_dump(mode="json") for step in augment.recommended()])


def add(kind: str) -> None:
    """Append a step with its usual parameters."""
    st.session_state[_STATE] = [*entries(), (_next(), KINDS[kind]().model_dump(mode="json"))]


def move(place: int, by: int) -> None:
    """Move the step at `place` up (-1) or down (1)."""
    now = entries()
    if 0 <= place + by < len(now):
        now[place], now[place + by] = now[place + by], now[place]
    st.session_state[_STATE] = now


def remove(place: int) -> None:
    """Take the step at `place` out."""
    st.session_state[_STATE] = [entry for n, entry in enumerate(entries()) if n != place]


def _next() -> int:
    number = int(st.session_state.get("augment_number", 0)) + 1
    st.session_state["augment_number"] = number + 100  # `replace` takes a run of them
    return number


def problem(step: dict[str, Any]) -> str | None:
    """Why `step` cannot be meant, in a sentence; None where it can."""
    try:
        AugmentConfig.model_validate({"steps": [step]})
    except ValidationError as error:
        return explain(error)
    return None


def about(kind: str) -> str:
    """What a step does, in a sentence."""
    return (KINDS[kind].__doc__ or "").strip().splitlines()[0]


def editor() -> None:
    """The steps with their parameters and the buttons that order them; changes are kept at once."""
    now = entries()
    for place, (number, step) in enumerate(now):
        with st.container(border=True, gap="xsmall", key=f"augment_step_{number}"):
            _head(place, len(now), step["kind"])
            with st.expander("Parameters", icon=":material/tune:"):
                changed = {"kind": step["kind"]} | {
                    spec.name: _answer(spec, step, f"augment_{number}_{spec.name}")
                    for spec in specs(KINDS[step["kind"]])
                }
            if wrong := problem(changed):
                st.error(wrong, icon=":material/error:")
            now[place] = (number, changed)
    st.session_state[_STATE] = now


def _answer(spec: Spec, step: dict[str, Any], key: str) -> Any:
    answer = ask(spec, step.get(spec.name, spec.default), key)
    return list(answer) if isinstance(answer, tuple) else answer


def _head(place: int, length: int, kind: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        with st.container(gap=None):
            st.markdown(f"**{place + 1}. {spoken(kind)}**")
            st.caption(about(kind))
        with st.container(horizontal=True, width="content", gap="xxsmall", wrap=False):
            up, down, out = (f"augment_{word}_{place}" for word in ("up", "down", "remove"))
            st.button("", key=up, icon=":material/arrow_upward:", type="tertiary", help="Earlier", disabled=not place,
                      on_click=move, args=(place, -1))  # fmt: skip
            st.button("", key=down, icon=":material/arrow_downward:", type="tertiary", help="Later",
                      disabled=place == length - 1, on_click=move, args=(place, 1))  # fmt: skip
            st.button("", key=out, icon=":material/close:", type="tertiary", help="Take it out",
                      on_click=remove, args=(place,))  # fmt: skip
