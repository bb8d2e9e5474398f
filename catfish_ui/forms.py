"""Widgets from pydantic fields: what a field may be decides what a person is asked.

`specs` reads a section or an augmentation into plain descriptions, `ask` draws the widget of one. A parameter
added to the engine appears on the page by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
import streamlit as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Kind = Literal["number", "integer", "switch", "choice", "range", "pair"]
SLIDER_SPAN = 720  # an integer with more values than this is typed rather than dragged


@dataclass(frozen=True)
class Spec:
    """One question: what it is called, what it means, and which answers there are."""

    name: str
    label: str
    help: str
    kind: Kind
    default: Any
    low: float = 0.0
    high: float = 1.0
    step: float = 1.0
    options: tuple[str, ...] = ()


def spoken(name: str) -> str:
    """“RandomHorizontalFlip” or “pad_if_needed” as a person writes it: “Random horizontal flip”, “Pad if needed”."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()
    return words[:1].upper() + words[1:]


def specs(model: type[BaseModel], skip: Iterable[str] = ("kind",)) -> list[Spec]:
    """The questions of `model` in the order of its fields."""
    return [_spec(model, name, field) for name, field in model.model_fields.items() if name not in skip]


def _spec(model: type[BaseModel], name: str, field: FieldInfo) -> Spec:
    about = {"name": name, "label": spoken(name), "help": field.description or "", "default": field.default}
    annotation, options = field.annotation, ()
    if annotation is bool:
        return Spec(**about, kind="switch")
    if get_origin(annotation) is Literal:
        options = get_args(annotation)
        return Spec(**about, kind="choice", options=options)
    if get_origin(annotation) is tuple:
        low, high, step = _bounds(_metadata(get_args(annotation)[0]), float)
        kind: Kind = "range" if _ordered(model, name, low, high) else "pair"
        return Spec(**about, kind=kind, low=low, high=high, step=step)
    low, high, step = _bounds(field.metadata, int if annotation is int else float)
    return Spec(**about, kind="integer" if annotation is int else "number", low=low, high=high, step=step)


def _metadata(annotation: Any) -> list[Any]:
    """The bounds inside Annotated[float, Field(ge=…, le=…)]."""
    found: list[Any] = []
    for item in getattr(annotation, "__metadata__", ()):
        found += item.metadata if isinstance(item, FieldInfo) else [item]
    return found


def _bounds(metadata: list[Any], number: type) -> tuple[float, float, float]:
    """Lowest and highest answer, and a step that suits the span; an open end moves in by one step."""
    low, high, opened = 0.0, 1e6, [False, False]
    for item in metadata:
        if isinstance(item, (annotated_types.Ge, annotated_types.Gt)):
            low, opened[0] = float(getattr(item, "ge", getattr(item, "gt", 0))), isinstance(item, annotated_types.Gt)
        if isinstance(item, (annotated_types.Le, annotated_types.Lt)):
            high, opened[1] = float(getattr(item, "le", getattr(item, "lt", 1))), isinstance(item, annotated_types.Lt)
    span = high - low
    step = 1.0 if number is int or span > 20 else 0.05 if span > 2 else 0.01
    return low + step * opened[0], high - step * opened[1], step


def _ordered(model: type[BaseModel], name: str, low: float, high: float) -> bool:
    """Whether a pair runs from small to large: the model refuses it the other way round."""
    try:
        model.model_validate({name: (high, low)})
    except ValidationError:
        return True
    return False


def ask(spec: Spec, value: Any, key: str) -> Any:
    """Draw the widget for `spec`, showing `value` at first; the answer."""
    if spec.kind == "switch":
        return st.toggle(spec.label, value, key=key, help=spec.help)
    if spec.kind == "choice":
        return st.segmented_control(
            spec.label, spec.options, default=value, required=True, format_func=spoken, key=key, help=spec.help
        )
    if spec.kind == "range":
        return _slider(spec, spec.label, tuple(float(v) for v in value), key)
    if spec.kind == "pair":
        left, right = st.columns(2)
        with left:
            across = _slider(spec, f"{spec.label}, across", float(value[0]), f"{key}_0")
        with right:
            down = _slider(spec, f"{spec.label}, down", float(value[1]), f"{key}_1")
        return across, down
    if spec.kind == "integer" and spec.high - spec.low > SLIDER_SPAN:
        low, high = int(spec.low), int(spec.high)
        return st.number_input(spec.label, low, high, int(value), key=key, help=spec.help)
    return _slider(spec, spec.label, int(value) if spec.kind == "integer" else float(value), key)


def _slider(spec: Spec, label: str, value: Any, key: str) -> Any:
    if spec.kind == "integer":
        return st.slider(label, int(spec.low), int(spec.high), value, 1, key=key, help=spec.help)
    digits = "%.2f" if spec.step < 0.1 else "%.1f" if spec.step < 1 else "%.0f"
    return st.slider(label, spec.low, spec.high, value, spec.step, format=digits, key=key, help=spec.help)
