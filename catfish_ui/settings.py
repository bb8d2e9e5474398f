"""A run's settings in words, its link and its files."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from catfish_core import catalog, runs
from catfish_core.config import RunConfig
from catfish_core.data import library
from catfish_core.errors import DatasetError
from catfish_core.runs import Run, Summary
from catfish_core.workspace import Workspace
from catfish_ui import identity, parts_form, places, routes
from catfish_ui.components import Column, Row, table
from catfish_ui.forms import spoken
from catfish_ui.text import count, listed, plain, rate
from catfish_ui.train_form import WORDS

LOG_TAIL = 20_000  # bytes of the log shown


def dataset_name(ws: Workspace, id: str) -> str:
    """What a dataset is called; its id where it is not here."""
    builtin = {row.id: row.name for row in catalog.BUILTIN_DATASETS}
    try:
        return builtin.get(id) or library.info(ws, id).name
    except DatasetError:
        return id


def tagline(ws: Workspace, config: RunConfig) -> str:
    """The gist of a configuration on one line of Markdown."""
    arch = catalog.arch(config.model.arch).name
    start = "on top of ImageNet" if config.model.pretrained else "from scratch"
    return f"{plain(arch)} {start} · {plain(dataset_name(ws, config.data.dataset))} · {config.data.image_size} px"


def stepping(config: RunConfig) -> str:
    """What makes a step, in a few words: “Adam, 64 photos a step”."""
    return f"{WORDS[config.optimizer.name]}, {count(config.training.batch_size, 'photo')} a step"


def rows(config: RunConfig, dataset: str) -> list[tuple[str, str]]:
    """The configuration as pairs of words and values; `dataset` is what the dataset is called."""
    data, model, training = config.data, config.model, config.training
    arch = catalog.arch(model.arch)
    steps = [spoken(step.kind) for step in config.augment.steps]
    patience = f"after {count(training.patience, 'epoch')} without progress" if training.patience else "no"
    smoothing = f", labels smoothed by {training.label_smoothing:g}" if training.label_smoothing else ""
    mixing = f"{WORDS[training.mix]}, alpha {training.mix_alpha:g}" if training.mix != "off" else "no"
    average = f"yes, decay {training.ema_decay:g}" if training.ema_decay else "no"
    return [
        ("Dataset", dataset),
        ("Photo size", f"{data.image_size} × {data.image_size} px"),
        ("Photos that are not square", WORDS[data.resize]),
        ("Normalisation", WORDS[data.normalize]),
        ("Network", arch.name),
        ("Knows at the start", "ImageNet" if model.pretrained else "nothing"),
        ("What is trained", parts_form.words(config.parts, arch, config.optimizer.lr, training.epochs)),
        ("Augmentations", listed(steps) or "none"),
        ("Mixed photos", mixing),
        ("Optimizer", f"{WORDS[config.optimizer.name]}, weight decay {config.optimizer.weight_decay:g}"),
        ("Learning rate", f"{rate(config.optimizer.lr)}, {WORDS[config.schedule.kind].lower()}{_warmup(config)}"),
        ("Loss", WORDS[training.loss] + smoothing),
        ("Epochs", f"{training.epochs:,}, {count(training.batch_size, 'photo')} a step"),
        ("Averaged weights", average),
        ("Stops early", patience),
        ("Seed", str(training.seed)),
    ]


def _warmup(config: RunConfig) -> str:
    epochs = config.schedule.warmup_epochs
    if not epochs or config.schedule.kind == "one_cycle":
        return ""
    return f", after a warm-up of {epochs:g} {'epoch' if epochs == 1 else 'epochs'}"


def show(ws: Workspace, run: Run, summary: Summary) -> None:
    """Settings, link and files of `run`, folded away."""
    config = summary.config
    assert config is not None
    with st.expander("Settings, link and files", icon=":material/tune:"):
        values = rows(config, dataset_name(ws, config.data.dataset))
        table(
            [Column("Setting"), Column("Value")], [Row(name, [name, value]) for name, value in values], "run_settings"
        )
        st.caption("The link of this run. It survives a reload, a restart, a move to another tab.")
        here = (st.context.url or "run").partition("?")[0]
        st.code(f"{here}?run={run.id}", language=None)
        with st.container(horizontal=True):
            if run.model_path.exists():
                st.link_button("Download the model", routes.model_url(run.id), icon=":material/download:")
            if st.button("Train again with changes", key="run_again", icon=":material/restart_alt:"):
                train_like(config)
        _log(run)


def train_like(config: RunConfig) -> NoReturn:
    """Open the training form filled with `config`."""
    st.session_state["train_like"] = config
    st.switch_page(places.TRAIN)


def _log(run: Run) -> None:
    path = run.attempt / "log.txt"
    if not path.exists() or runs.status(run) not in ("failed", "crashed"):
        return
    if identity.why_not("change", run.owner()):  # it may speak of the machine and its folders
        return
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL))
        text = file.read().decode("utf-8", errors="replace")
    st.caption("The end of its log, for whoever wants to know exactly.")
    st.code(text or "The log is empty.", language=None, height=260)
