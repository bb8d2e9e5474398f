"""How long a run will take on this computer, before it starts: asked for here, measured in a process of its own.

cache/estimates/ holds for each kind of run, named after a hash of all that decides its pace,
  <key>.wish   the configuration; touched for as long as somebody waits for the answer
  <key>.json   the answer: what each piece of work took when it was tried, or why it could not be
`training.measuring` does the trying, one at a time, and gives up when nobody waits any more.  [no torch]
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catfish_core import catalog, config, parts
from catfish_core.config import RunConfig
from catfish_core.data import library, pixels, sketchbook
from catfish_core.errors import DatasetError, storage_faults
from catfish_core.process import spawn
from catfish_core.serving import connection
from catfish_core.workspace import Workspace, write_text

FRESH = 3600.0  # seconds an answer is believed: what else the computer does changes
WAITED_FOR = 8.0  # seconds after which a wish that nobody repeats is forgotten
LIMIT = 60.0  # seconds a measurement may take, start of its process included
# What decides how well a run learns, not how long its steps take.
_NO_MATTER: dict[str, Any] = {
    "name": True,
    "parts": True,  # but for which of them are trained
    "schedule": True,
    "optimizer": {"lr", "momentum", "weight_decay"},
    "training": {"epochs", "seed", "patience", "label_smoothing", "mix_alpha", "ema_decay"},
}


@dataclass(frozen=True)
class Measured:
    """What each piece of work takes here, in seconds.

    `ready`: from the start of a process to a built network; `photo`: decoding a photo (and drawing it, where that
    is still to be done) with all cores at work; `features`: showing a photo to a frozen backbone whose features are
    kept, 0 for the ordinary path; `step`: learning from a batch; `checked`: validating a photo; `epoch`: what an
    epoch takes beside these, saving included. `seen` says that the features are there already.
    """

    ready: float
    photo: float
    features: float
    step: float
    checked: float
    epoch: float
    seen: bool = False


@dataclass(frozen=True)
class Estimate:
    """Seconds until the first step, of an epoch, and of the whole run with its test; or `why` they are not known."""

    ready: float = 0.0
    epoch: float = 0.0
    total: float = 0.0
    why: str = ""


def estimate(measured: Measured, wanted: RunConfig, counts: Mapping[str, int], decoded: bool) -> Estimate:
    """What a run of `wanted` takes with `counts` photos in its splits, which are `decoded` already or not."""
    training = wanted.training
    photo = 0.0 if decoded else measured.photo
    ready = measured.ready + photo * (counts["train"] + counts["val"])
    if not measured.seen:
        views = wanted.compute.feature_views if wanted.augment.steps else 1
        ready += measured.features * (views * counts["train"] + counts["val"])
    steps = counts["train"] / training.batch_size
    epoch = measured.epoch + steps * measured.step + counts["val"] * measured.checked
    test = counts["test"] * (photo + measured.checked + (0.0 if measured.seen else measured.features))
    return Estimate(ready, epoch, ready + training.epochs * epoch + test)


def find(ws: Workspace, wanted: RunConfig) -> Estimate | None:
    """The estimate for `wanted`, if its pace has been measured lately; None while it is not known."""
    counts = photos(ws, wanted.data.dataset)
    if counts is None:
        return Estimate(why="How long it takes can be told once the photos are here.")
    answer = _place(ws, wanted).with_suffix(".json")
    try:
        if time.time() - answer.stat().st_mtime > FRESH:
            return None
        content = json.loads(answer.read_text(encoding="utf-8"))
        if "why" in content:
            return Estimate(why=str(content["why"]))
        return estimate(Measured(**content), wanted, counts, _decoded(ws, wanted))
    except (OSError, ValueError, TypeError):
        return None


def ask(ws: Workspace, wanted: RunConfig) -> None:
    """Have the pace of `wanted` measured; ask again every second or two for as long as the answer matters.

    Raises StorageError where the wish cannot be written down.
    """
    wish = _place(ws, wanted).with_suffix(".wish")
    with storage_faults(wish):
        wish.parent.mkdir(parents=True, exist_ok=True)
        if waiting(wish):
            os.utime(wish)
            return
        write_text(wish, config.dump(wanted))
    arguments = [str(ws.root), wish.stem, str(time.time())]
    spawn("catfish_core.training.measuring", *arguments, log=wish.parent / "log.txt")


def waiting(wish: Path) -> bool:
    """Whether somebody still waits for the answer to `wish`."""
    try:
        return time.time() - wish.stat().st_mtime < WAITED_FOR
    except OSError:
        return False


def answer(ws: Workspace, key: str, content: Mapping[str, Any]) -> None:
    """Write down what came of the wish called `key`; raises StorageError."""
    write_text(ws.estimates / f"{key}.json", json.dumps(content) + "\n")
    (ws.estimates / f"{key}.wish").unlink(missing_ok=True)


def photos(ws: Workspace, dataset: str) -> dict[str, int] | None:
    """How many photos each split has, also of the book that is drawn when it is needed; None where nobody knows."""
    try:
        return {split: sum(of) for split, of in library.info(ws, dataset).counts.items()}
    except DatasetError:
        return dict(sketchbook.COUNTS) if dataset == catalog.SKETCHBOOK.id else None


def _decoded(ws: Workspace, wanted: RunConfig) -> bool:
    try:
        version = library.info(ws, wanted.data.dataset).version
    except DatasetError:
        return False
    return pixels.is_ready(ws, version, wanted.data.image_size, wanted.data.resize)


def _place(ws: Workspace, wanted: RunConfig) -> Path:
    """The files about runs like `wanted`, without their ending."""
    try:
        version = library.info(ws, wanted.data.dataset).version
    except DatasetError:
        version = "not here"
    at_the_end = parts.ever(wanted.parts, catalog.arch(wanted.model.arch), wanted.training.epochs)
    decides = {
        "config": wanted.model_dump(mode="json", exclude=_NO_MATTER),
        "dataset": version,
        "trained": [name for name, share in at_the_end.items() if share],
        "averaged": wanted.training.ema_decay > 0,
        "features": _changed(ws.features),  # those of this run may have come or gone
        "machine": _machine(),
    }
    return ws.estimates / hashlib.blake2b(json.dumps(decides, sort_keys=True).encode(), digest_size=16).hexdigest()


@functools.cache
def _machine() -> list[str]:
    return [platform.node(), str(os.cpu_count()), connection.version()]


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
