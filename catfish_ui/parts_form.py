"""What of a network is trained, as widgets: a preset with its sentence, and every part with a switch and a rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from catfish_core import parts
from catfish_core.catalog import Arch, Preset
from catfish_core.parts import PartsConfig
from catfish_ui.text import count, listed, percent, plain, rate

PRESETS: Mapping[Preset, tuple[str, str]] = {
    "head_only": ("Head only", "Only a small new head learns: quick, and enough for most photos."),
    "course": (
        "Course recipe",
        "The head learns, the last stage at a third of the learning rate, the one before at a ninth. For photos "
        "unlike those of everyday life.",
    ),
    "gradual": (
        "Gradual",
        "The head first; then one stage more every few epochs, with all rates halved. Gentle with what it knows.",
    ),
    "everything": ("Everything", "All of it learns at the full rate. Wants many photos, and patience."),
    "own": ("My own", "As you set it below, part by part."),
}
FROM_SCRATCH: tuple[Preset, ...] = ("everything", "own")  # a frozen part that knows nothing would stay random
PRESET, EVERY = "train_parts.preset", "train_parts.every"


def fill(values: PartsConfig, arch: Arch) -> None:
    """Show `values` in the form."""
    st.session_state[PRESET], st.session_state[EVERY] = values.preset, values.every
    _show(parts.shares(values, arch, 0))


def _show(shares: Mapping[str, float]) -> None:
    for name, share in shares.items():
        st.session_state[f"train_part_{name}"] = share > 0
        st.session_state[f"train_share_{name}"] = share or 1.0


def collect(state: Mapping[str, Any], arch: Arch, pretrained: bool) -> dict[str, Any]:
    """The section `parts` of the configuration that the form describes."""
    preset = state[PRESET] if pretrained or state[PRESET] in FROM_SCRATCH else "everything"
    if preset != "own":
        return {"preset": preset, "every": state[EVERY]}
    on = [name for name in arch.parts if state.get(f"train_part_{name}", True) or not pretrained]
    rates = {name: state.get(f"train_share_{name}", 1.0) for name in on}
    return {"preset": preset, "every": state[EVERY], "rates": rates}


def _chosen(arch: Arch) -> PartsConfig:
    state = st.session_state.to_dict()
    return PartsConfig(**collect(state, arch, state["train_model.pretrained"]))


def start_changed() -> None:
    """Take the preset that suits the network with or without what it knows."""
    st.session_state[PRESET] = "head_only" if st.session_state["train_model.pretrained"] else "everything"


def ask(arch: Arch, classes: int) -> None:
    """Which preset, what it means, and how much of the network that trains."""
    state = st.session_state
    pretrained = state["train_model.pretrained"]
    if not pretrained and state[PRESET] not in FROM_SCRATCH:
        state[PRESET] = "everything"
    with st.container(gap="xxsmall"):
        st.segmented_control(
            "What is trained",
            [preset for preset in PRESETS if pretrained or preset in FROM_SCRATCH],
            format_func=lambda preset: PRESETS[preset][0],
            key=PRESET,
            required=True,
            persist_state="session",
        )
        chosen = _chosen(arch)
        st.caption(
            PRESETS[chosen.preset][1]
            if pretrained or chosen.preset == "own"
            else "All of it learns: it starts knowing nothing."
        )
    if chosen.preset == "gradual":
        st.number_input("Epochs between two stages", 1, 10_000, key=EVERY, persist_state="session")
        chosen = _chosen(arch)
    sizes = parts.sizes(arch, pretrained, classes, state["train_data.image_size"])
    st.markdown(trained(chosen, arch, state["train_training.epochs"], sizes))


def trained(chosen: PartsConfig, arch: Arch, epochs: int, sizes: Mapping[str, int]) -> str:
    """How many of how many parameters are trained, in Markdown."""
    whole = sum(sizes.values())
    first, last = (
        sum(sizes[name] for name, share in parts.shares(chosen, arch, epoch).items() if share)
        for epoch in (0, epochs - 1)
    )
    if first == whole:
        return f"All **{whole:,}** parameters are trained."
    if first == last:
        return f"**{first:,}** of {count(whole, 'parameter')} are trained ({percent(first / whole, 1)})."
    return f"**{first:,}** parameters are trained at first, **{last:,}** in the end, of {whole:,}."


def one_by_one(arch: Arch, classes: int) -> None:
    """Every part with its size, a switch and a rate; touching one makes the choice one's own."""
    state = st.session_state
    chosen, pretrained = _chosen(arch), state["train_model.pretrained"]
    starts = parts.thaws(chosen, arch, state["train_training.epochs"])
    if chosen.preset != "own":
        _show({name: parts.shares(chosen, arch, starts.get(name, 0))[name] for name in arch.parts})
    st.caption(
        "From the photo down to the answer. The number beside a part is its share of the learning rate: 1 is all of "
        "it, 0.1 a tenth."
    )
    with st.container(gap="xsmall", key="train_parts"):
        for name, size in parts.sizes(arch, pretrained, classes, state["train_data.image_size"]).items():
            _part(name, size, starts.get(name, 0), name == arch.head, pretrained)


def _part(name: str, size: int, start: int, head: bool, pretrained: bool) -> None:
    state = st.session_state
    on, share = state[f"train_part_{name}"], state[f"train_share_{name}"]
    with st.container(horizontal=True, vertical_alignment="center", key=f"train_row_{name}"):
        with st.container(gap=None):
            st.toggle(
                f"{plain(name)} (head)" if head else plain(name),
                key=f"train_part_{name}",
                on_change=_own,
                disabled=head or not pretrained,
                persist_state="session",
            )
            how = f"trained at {_rate(state['train_optimizer.lr'] * share)}" if on else "frozen"
            st.caption(f"{count(size, 'parameter')}, {how}{f' from epoch {start + 1} on' if start else ''}")
        if on:
            st.number_input(
                f"Share of the rate for {name}",
                1e-6,
                1000.0,
                step=0.1,
                format="%.3g",
                key=f"train_share_{name}",
                on_change=_own,
                label_visibility="collapsed",
                width=120,
                persist_state="session",
            )


def _own() -> None:
    st.session_state[PRESET] = "own"


def words(chosen: PartsConfig, arch: Arch, lr: float, epochs: int) -> str:
    """What is trained and at which rate, in plain words; `lr` is the learning rate."""
    shares = parts.shares(chosen, arch, 0)
    if chosen.preset == "everything":
        return "Everything"
    if chosen.preset == "head_only":
        return f"Head only ({arch.head}); the rest stays as it is"
    if chosen.preset == "gradual":
        starts = [
            f"{name} from epoch {start + 1}" for name, start in reversed(parts.thaws(chosen, arch, epochs).items())
        ]
        return f"Gradual: {listed(starts)}; the rates are halved each time"
    told = [f"{name} at {_rate(lr * share)}" for name, share in reversed(shares.items()) if share]
    rest = "" if all(shares.values()) else "; the rest is frozen"
    return f"{PRESETS[chosen.preset][0]}: {listed(told)}{rest}"


def _rate(value: float) -> str:
    return rate(float(f"{value:.3g}"))
