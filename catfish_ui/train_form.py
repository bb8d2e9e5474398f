"""The training form: widgets for a RunConfig, sensible values for each network, and the way back from a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from catfish_core import catalog, config, parts
from catfish_core.catalog import ARCHITECTURES, Arch
from catfish_core.config import RunConfig
from catfish_core.data import library
from catfish_core.workspace import Workspace
from catfish_ui import parts_form, pipeline, places
from catfish_ui.text import count, number, plain


@dataclass(frozen=True)
class Question:
    """One setting: where it belongs, what it is called, what it means in a line, which answers there are.

    With `options` it is a choice, with a whole `step` a whole number, else a number. `matters` says for which
    optimizers or schedules it is asked at all; empty means always.
    """

    path: str
    label: str
    about: str
    low: float = 0
    high: float = 1
    step: float = 1
    options: tuple[str, ...] = ()
    matters: tuple[str, ...] = ()
    form: str = "train"

    @property
    def key(self) -> str:
        return f"{self.form}_{self.path}"


COMMON = (
    Question("training.epochs", "Epochs", "How often it sees every photo. More takes longer.", 1, 10_000),
    Question("data.image_size", "Photo size", "Side of the square it sees, in pixels. More shows more.", 8, 1024),
    Question("optimizer.lr", "Learning rate", "How big its steps are. Too big: it never settles.", 1e-7, 100.0, 1e-4),
    Question("training.batch_size", "Batch size", "Photos it looks at before each step.", 1, 65_536),
)
MORE = (
    Question("optimizer.name", "Optimizer", "The rule that turns errors into steps. Adam rarely disappoints.",
             options=("sgd", "adagrad", "rmsprop", "adam", "adamw")),
    Question("optimizer.momentum", "Momentum", "How much of the last step goes on into the next.",
             0.0, 0.99, 0.05, matters=("sgd", "rmsprop")),
    Question("schedule.kind", "Learning rate over time", "Smaller steps towards the end often settle better.",
             options=("constant", "step", "cosine", "one_cycle", "plateau")),
    Question("schedule.step_size", "Epochs between falls", "The rate falls each time after so many epochs.",
             1, 10_000, matters=("step",)),
    Question("schedule.gamma", "Falls to", "What the rate is multiplied by at each fall.",
             0.01, 0.99, 0.05, matters=("step", "plateau")),
    Question("schedule.patience", "Patience of the rate", "Epochs without progress before it falls.",
             0, 1000, matters=("plateau",)),
    Question("schedule.warmup", "Warm-up", "The part of the run in which the rate rises.",
             0.01, 0.99, 0.05, matters=("one_cycle",)),
    Question("schedule.warmup_epochs", "Warm-up epochs", "The rate rises from nearly nothing. 0.5: half an epoch.",
             0.0, 1000.0, 0.5, matters=("constant", "step", "cosine", "plateau")),
    Question("training.patience", "Stop early after", "Epochs without a lower validation loss. 0: never.", 0, 10_000),
    Question("optimizer.weight_decay", "Weight decay", "Pulls weights towards zero, against learning by heart.",
             0.0, 10.0, 1e-4),
    Question("training.loss", "Loss", "How wrongness is measured. Cross-entropy punishes confident errors.",
             options=("cross_entropy", "mse")),
    Question("training.label_smoothing", "Label smoothing", "Certainty taken off the true answer, to keep it modest.",
             0.0, 0.99, 0.05),
    Question("training.mix", "Mixed photos", "Two photos in one and both answers in part: it learns less by heart.",
             options=("off", "mixup", "cutmix", "either")),
    Question("training.mix_alpha", "How much is mixed", "Small: one photo with a trace of another. 1: any share.",
             0.05, 10.0, 0.1, matters=("mixup", "cutmix", "either")),
    Question("training.ema_decay", "Averaged weights", "Keeps a running mean of its weights. 0.99 to 0.999; 0: off.",
             0.0, 0.9999, 0.001),
    Question("data.resize", "Photos that are not square", "How they become square.", options=("squash", "crop")),
    Question("data.normalize", "Normalisation", "The mean and spread its pixel values are brought to.",
             options=("model", "imagenet", "none")),
    Question("training.seed", "Seed", "Where chance begins: the same seed gives the same run.", 0, 2**53 - 1),
    Question("training.device", "Computed by", "A graphics card is many times faster, where there is one.",
             options=("auto", "cpu", "cuda", "mps")),
    Question("compute.precision", "Number format", "Half-length numbers are quicker where the device has them.",
             options=("auto", "fp32", "bf16", "fp16")),
)  # fmt: skip
CHOSEN = (
    "data.dataset",
    "model.arch",
    "model.pretrained",
    "parts.preset",
    "parts.every",
)  # asked in words of their own
PATHS = (*CHOSEN, *(question.path for question in (*COMMON, *MORE)))
WORDS = {
    "squash": "Press the whole photo into the square",
    "crop": "Cut out the middle",
    "imagenet": "ImageNet's",
    "model": "The network's own",
    "none": "Plain 0 to 1",
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
    "constant": "Constant",
    "step": "Falls in steps",
    "cosine": "Falls along a cosine",
    "one_cycle": "Up and down once",
    "plateau": "Falls when stuck",
    "off": "Off",
    "mixup": "Blended (MixUp)",
    "cutmix": "Cut and pasted (CutMix)",
    "either": "One or the other",
    "cross_entropy": "Cross-entropy",
    "mse": "Squared error",
    "auto": "The fastest there is",
    "cpu": "Processor",
    "cuda": "NVIDIA GPU",
    "mps": "Apple GPU",
    "fp32": "Full length (fp32)",
    "bf16": "Half length (bf16)",
    "fp16": "Half length (fp16)",
}


def begin() -> None:
    """Fill the form at the first visit, and whenever a run, a dataset or a rate is handed over."""
    if any(f"train_{path}" not in st.session_state for path in PATHS):
        fill(RunConfig())
    like = st.session_state.pop("train_like", None)
    if like is not None:
        fill(like)
        pipeline.replace([step.model_dump(mode="json") for step in like.augment.steps])
    if wanted := st.session_state.pop("train_with", None):
        st.session_state["train_data.dataset"] = wanted
    if rate := st.session_state.pop("train_rate", None):
        st.session_state["train_optimizer.lr"] = rate


def fill(values: RunConfig) -> None:
    """Show `values` in the form."""
    for path in PATHS:
        section, field = path.split(".")
        st.session_state[f"train_{path}"] = getattr(getattr(values, section), field)
    parts_form.fill(values.parts, catalog.arch(values.model.arch))
    st.session_state["train_training.patience"] = values.training.patience or 0
    st.session_state["train_name"] = ""


def suits() -> None:
    """Take the values that suit the network just chosen."""
    for path, value in sensible(catalog.arch(st.session_state["train_model.arch"])).items():
        st.session_state[f"train_{path}"] = value


def sensible(row: Arch) -> dict[str, Any]:
    """Values that work for most photos: a network that knows ImageNet keeps it and trains its head only."""
    knows = row.weights is not None
    return {
        "model.pretrained": knows,
        "parts.preset": "head_only" if knows else "everything",
        "data.image_size": max(128, row.min_size) if knows else row.native_size,
        "data.normalize": "model",
        "optimizer.name": "adam",
        "optimizer.lr": 1e-3,
        "training.epochs": 10,
        "training.batch_size": 64 if row.parameters < 30 else 32,
    }


def augmentations() -> list[dict[str, Any]]:
    """The steps of the Augment page, unless they were switched off here."""
    return pipeline.steps() if st.session_state.get("train_augment", True) else []


def collect(state: Mapping[str, Any], steps: list[dict[str, Any]]) -> RunConfig:
    """The configuration the form describes; raises ConfigError for one that cannot be meant."""
    data: dict[str, Any] = {"name": state.get("train_name") or "", "augment": {"steps": steps}}
    for path in PATHS:
        section, field = path.split(".")
        data.setdefault(section, {})[field] = state[f"train_{path}"]
    data["training"]["patience"] = data["training"]["patience"] or None
    data["parts"] = parts_form.collect(state, catalog.arch(data["model"]["arch"]), data["model"]["pretrained"])
    return config.parse(data)


def photos(ws: Workspace) -> None:
    """What it learns from."""
    ready = {info.id: f"{info.name} · {count(info.total, 'photo')}" for info in library.listing(ws)}
    for row in catalog.BUILTIN_DATASETS:
        wait = f"downloads {row.megabytes} MB first" if row.megabytes else "drawn in a few seconds"
        ready.setdefault(row.id, f"{row.name} · {wait}")
    if st.session_state["train_data.dataset"] not in ready:
        st.session_state["train_data.dataset"] = next(iter(ready))
    with st.container(gap="xxsmall"):
        _select("data.dataset", "Photos", ready)
        st.caption("The Data page shows them, and adds your own.")


def classes(ws: Workspace) -> int:
    """How many kinds of photos the chosen dataset has; two where that is not known yet."""
    chosen = st.session_state["train_data.dataset"]
    return len(library.info(ws, chosen).classes) if library.is_ready(ws, chosen) else 2


def network(ws: Workspace) -> None:
    """Which network, what it knows already, and what of it learns."""
    told = classes(ws)
    names = {row.id: f"{row.name} · {number(_parameters(row, told))} parameters" for row in ARCHITECTURES}
    row = catalog.arch(st.session_state["train_model.arch"])
    with st.container(gap="xxsmall"):
        _select("model.arch", "Network", names, on_change=suits)
        st.caption(f"{row.about} From {row.year}. A parameter is a number that training adjusts.")
    if row.weights is None:
        st.session_state["train_model.pretrained"] = False
    else:
        where = "come with CatFish" if row.bundled else "are downloaded once, when training starts"
        about = f"It has already seen a million photos. Its weights {where}."
        _switch("model.pretrained", "Start from ImageNet", about, on_change=parts_form.start_changed)
    parts_form.ask(row, told)


def _parameters(row: Arch, classes: int) -> int:
    """How many `row` has for so many classes with the values that suit it: what the list of its parts adds up to."""
    suited = sensible(row)
    return sum(parts.sizes(row, suited["model.pretrained"], classes, suited["data.image_size"]).values())


def part_by_part(ws: Workspace) -> None:
    """The architecture as a list of its parts, to train each as one likes."""
    parts_form.one_by_one(catalog.arch(st.session_state["train_model.arch"]), classes(ws))


def ask(
    questions: Sequence[Question],
    words: Mapping[str, str] = WORDS,
    chosen: Sequence[str] | None = None,
    columns: int = 2,
) -> None:
    """The questions that matter for what is `chosen`, by default in this form, side by side with their sentences."""
    if chosen is None:
        asked = ("optimizer.name", "schedule.kind", "training.mix")
        chosen = [st.session_state[f"train_{path}"] for path in asked]
    cells = st.grid(columns, min_column_width=230, gap=("small", "medium"))
    for question in questions:
        if question.matters and not set(question.matters) & set(chosen):
            continue
        with cells.cell(), st.container(gap="xxsmall"):
            if question.options:
                options = {option: words[option] for option in question.options}
                _select(question.path, question.label, options, form=question.form)
            else:
                _number(question)
            st.caption(question.about)
            if question.path == "optimizer.lr":
                st.page_link(places.LEARNING_RATE, label="Find a good one", icon=":material/troubleshoot:")


def _select(
    path: str,
    label: str,
    options: Mapping[str, str],
    on_change: Callable[[], None] | None = None,
    form: str = "train",
) -> None:
    st.selectbox(
        label,
        list(options),
        format_func=lambda option: options[option],
        key=f"{form}_{path}",
        on_change=on_change,
        persist_state="session",
    )


def _switch(path: str, label: str, about: str, on_change: Callable[[], None]) -> None:
    with st.container(gap=None):
        st.toggle(label, key=f"train_{path}", on_change=on_change, persist_state="session")
        st.caption(about)


def _number(question: Question) -> None:
    whole = isinstance(question.step, int)
    st.number_input(
        question.label,
        question.low,
        question.high,
        step=question.step,
        format="%d" if whole else "%g",
        key=question.key,
        persist_state="session",
    )


def summary(ws: Workspace, wanted: RunConfig) -> str:
    """What pressing Train will do, in a sentence of Markdown."""
    row = catalog.arch(wanted.model.arch)
    epochs = "once" if wanted.training.epochs == 1 else f"{wanted.training.epochs:,} times"
    photos = "its training photos"
    if library.is_ready(ws, wanted.data.dataset):
        photos = count(sum(library.info(ws, wanted.data.dataset).counts["train"]), "training photo")
    at_a_time = count(wanted.training.batch_size, "photo")
    return f"**{plain(row.name)}** will look at {photos} {epochs}, {at_a_time} at a time."
