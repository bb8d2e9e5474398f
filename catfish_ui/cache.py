"""Everything the pages remember between two looks.

Keys are ids, versions and times of files: contents are never hashed by sampling, and what changes on disk is
read again.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from PIL import Image

from catfish_core import runs
from catfish_core import sweeps as sweep_store
from catfish_core.data import library, photos, sketchbook
from catfish_core.data.library import Dataset
from catfish_core.errors import PhotoError, RunError
from catfish_core.jobs import directory
from catfish_core.jobs.directory import Job
from catfish_core.lab import checks
from catfish_core.lab.machine import Meter
from catfish_core.lab.messages import Watch
from catfish_core.runs import Run, Status
from catfish_core.serving import client
from catfish_core.serving.client import Answer
from catfish_core.sweeps import Sweep, SweepSummary
from catfish_core.workspace import Workspace
from catfish_ui.progress import Log, Progress
from catfish_ui.sweep_progress import SweepProgress

FRESH = 0.25  # seconds within which everybody who watches a run is shown the same


def workspace() -> Workspace:
    """The workspace of this server."""
    return Workspace.default()


def _changed(path: Path) -> int:
    """When `path` was last written, in nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@st.cache_resource(max_entries=24, show_spinner=False)
def _log(path: str) -> Log[Progress]:
    return Log(Run(Path(path)), Progress())


def run_log(run: Run) -> Log[Progress]:
    """The log of a run, shared by everybody who looks at it, so that each line is read once."""
    return _log(str(run.path))


def standing(run: Run) -> tuple[Progress, Status]:
    """How far a run is and how it stands, looked at once for all who ask within FRESH."""
    log = run_log(run)
    progress = log.refresh(within=FRESH)
    return progress, log.made(_status, run)


def _status(progress: Progress, run: Run) -> Status:
    return runs.status(run, [progress.last] if progress.last else [])


@st.cache_resource(max_entries=48, show_spinner=False)
def _sweep_log(path: str) -> Log[SweepProgress]:
    sweep = Sweep(Path(path))
    return Log(sweep, SweepProgress(sweep.settings()))


def sweep_log(sweep: Sweep) -> Log[SweepProgress]:
    """The log of a sweep, shared as a run's is; raises RunError where its settings are damaged."""
    return _sweep_log(str(sweep.path))


@st.cache_resource(max_entries=1000, show_spinner=False)
def _sweep(path: str, changed: int) -> SweepSummary:
    return sweep_store.summary(Sweep(Path(path)))


def sweeps(ws: Workspace) -> list[SweepSummary]:
    """All sweeps, newest first; those that have ended are read once."""
    found = []
    for sweep in directory.every(Sweep, ws.sweeps):
        known = _sweep(str(sweep.path), _changed(sweep.events_path))
        found.append(sweep_store.summary(sweep) if known.status in (*directory.ACTIVE, "crashed") else known)
    return found


@st.cache_resource(max_entries=4, show_spinner=False)
def _meter(root: str) -> Meter:
    return Meter(Workspace(Path(root)))


def meter(ws: Workspace) -> Meter:
    """What reads the load of this machine, shared by everybody who looks."""
    return _meter(str(ws.root))


@st.cache_resource(max_entries=4, show_spinner=False)
def _watch(root: str) -> Watch:
    return Watch(Workspace(Path(root)))


def watch(ws: Workspace) -> Watch:
    """What knows which runs have ended, shared by everybody who looks."""
    return _watch(str(ws.root))


@st.cache_data(max_entries=4, ttl=60, show_spinner=False)
def problems(root: str, address: str) -> list[checks.Problem]:
    """What is not as it should be on this machine, looked at once a minute."""
    return checks.check(checks.Place(Workspace(Path(root)), None, address))


@st.cache_data(max_entries=2000, show_spinner=False)
def _title(path: str) -> str:
    return Job(Path(path)).config().title


def title(job: Job) -> str:
    """What a run or sweep is called; its id where its configuration is damaged."""
    try:
        return _title(str(job.path))
    except RunError:
        return job.id


@st.cache_resource(max_entries=8, show_spinner=False)
def _dataset(root: str, id: str, changed: int) -> Dataset:
    return library.load(Workspace(Path(root)), id)


def dataset(ws: Workspace, id: str) -> Dataset:
    """The photos of a dataset; raises DatasetError."""
    return _dataset(str(ws.root), id, _changed(ws.datasets / id / "dataset.json"))


@st.cache_data(max_entries=2000, show_spinner=False)
def thumbnail(path: str, version: str, side: int = 200) -> bytes | None:
    """A small JPEG of the photo at `path` in the dataset of that version; None where it cannot be read."""
    try:
        return photos.thumbnail(Path(path), side)
    except (PhotoError, OSError):
        return None


@st.cache_data(max_entries=64, show_spinner=False)
def shrunk(content: bytes, side: int = 240) -> bytes:
    """A small JPEG of a photo for a page; raises PhotoError."""
    return photos.thumbnail(content, side)


@st.cache_data(max_entries=32, show_spinner=False)
def _augmented(root: str, digest: str, steps: str, size: int, seed: int, _photo: bytes) -> list[bytes]:
    return client.augmented(Workspace(Path(root)), _photo, json.loads(steps), size, seed)


def augmented(ws: Workspace, photo: bytes, steps: list[dict[str, Any]], size: int, seed: int) -> list[bytes]:
    """Nine draws of `steps` from `photo`, as JPEG; raises CatfishError."""
    digest = hashlib.sha256(photo).hexdigest()
    return _augmented(str(ws.root), digest, json.dumps(steps), size, seed, photo)


@st.cache_data(max_entries=16, show_spinner=False)
def _answers(
    root: str, run: str, changed: int, digests: tuple[str, ...], layer: str | None, target: int | None,
    _photos: list[tuple[str, bytes]],
) -> list[Answer]:  # fmt: skip
    return client.predict(Workspace(Path(root)), run, _photos, layer=layer, target=target)


def answers(
    ws: Workspace, run: Run, asked: list[tuple[str, bytes]], layer: str | None, target: int | None
) -> list[Answer]:
    """What the model of `run` says of the photos; asked of the service once for the same photos. CatfishError."""
    digests = tuple(hashlib.sha256(content).hexdigest() + name for name, content in asked)
    return _answers(str(ws.root), run.id, _changed(run.model_path), digests, layer, target, asked)


@st.cache_data(max_entries=64, show_spinner=False)
def _classes(path: str, changed: int) -> list[str]:
    try:
        return [str(name) for name in json.loads(Path(path).read_text(encoding="utf-8"))["classes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def classes(run: Run) -> list[str]:
    """The classes a run's model tells apart; none where it has no model."""
    path = run.path / "model.json"
    return _classes(str(path), _changed(path))


@st.cache_data(max_entries=1, show_spinner=False)
def drawings() -> list[bytes]:
    """Six pictures of Sketchbook for the first page, cats above fish."""
    chosen: list[tuple[Literal["cat", "fish"], int]] = [
        ("cat", 17),
        ("cat", 3),
        ("cat", 14),
        ("fish", 0),
        ("fish", 14),
        ("fish", 22),
    ]
    return [_jpeg(sketchbook.draw(kind, seed, 240)) for kind, seed in chosen]


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


@st.cache_resource(max_entries=8, show_spinner=False)
def _report(path: str, changed: int) -> dict[str, Any] | None:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    parts = {"classes", "confusion", "per_class", "predictions"}
    return data if isinstance(data, dict) and parts <= set(data) else None


def report(run: Run) -> dict[str, Any] | None:
    """The test report of a run; None where there is none that can be read."""
    return _report(str(run.report_path), _changed(run.report_path))
