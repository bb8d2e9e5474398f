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
from catfish_ui import places, routes
from catfish_ui.components import Column, Row, table
from catfish_ui.text import count, listed, plain, rate

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


def rows(config: RunConfig) -> list[tuple[str, str]]:
    """The configuration as pairs of words and values."""
    data, model, training = config.data, config.model, config.training
    knows = "ImageNet; only the new head learns" if model.frozen else "ImageNet" if model.pretrained else "nothing"
    steps: list[str] = [step.kind for step in config.augment.steps]
    patience = f"after {count(training.patience, 'epoch')} without progress" if training.patience else "no"
    schedule = config.schedule.kind.replace("_", " ")
    loss = training.loss.replace("_", "-")
    smoothing = f", smoothed by {training.label_smoothing:g}" if training.label_smoothing else ""
    return [
        ("Dataset", data.dataset),
        ("Photos", f"{data.image_size} × {data.image_size} px, {data.resize}, normalised for {data.normalize}"),
        ("Network", catalog.arch(model.arch).name),
        ("Knows at the start", knows),
        ("Augmentations", listed(steps) or "none"),
        ("Optimizer", f"{config.optimizer.name}, learning rate {rate(config.optimizer.lr)}, {schedule}"),
        ("Weight decay", f"{config.optimizer.weight_decay:g}"),
        ("Loss", loss + smoothing),
        ("Epochs", f"{training.epochs:,}, {training.batch_size:,} photos a step"),
        ("Stops early", patience),
        ("Seed", str(training.seed)),
    ]


def show(run: Run, summary: Summary) -> None:
    """Settings, link and files of `run`, folded away."""
    config = summary.config
    assert config is not None
    with st.expander("Settings, link and files", icon=":material/tune:"):
        table([Column("Setting"), Column("Value")], [Row(a, [a, b]) for a, b in rows(config)], "run_settings")
        st.caption("The link of this run. It survives a reload, a restart, a move to another tab.")
        st.code(st.context.url or f"run?run={run.id}", language=None)
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
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL))
        text = file.read().decode("utf-8", errors="replace")
    st.caption("The end of its log, for whoever wants to know exactly.")
    st.code(text or "The log is empty.", language=None, height=260)
