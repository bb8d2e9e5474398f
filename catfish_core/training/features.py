"""What a frozen backbone makes of each photo, computed once and kept: the head trains on that in no time.

A file holds the head's input for every photo of one split, under `<workspace>/cache/features/`. Its name is a hash
of all that decides its content, so whoever needs the same features finds them: another run with another rate, seed,
number of epochs or head.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from catfish_core import catalog, parts
from catfish_core.config import RunConfig
from catfish_core.data.loader import Batches
from catfish_core.errors import out_of_memory
from catfish_core.events import Preparing
from catfish_core.models import saved
from catfish_core.models.build import train_mode
from catfish_core.training.compute import Compute
from catfish_core.training.loop import Source, TrainState
from catfish_core.workspace import atomic

CHUNK = 64  # photos at once, whatever the batch size: what is kept must not depend on it
LARGEST = 2 * 2**30  # bytes of one file, which is held in memory while it is computed
BUDGET = 8 * 2**30  # bytes of all files; beyond that those not used for longest go
LIGHT = 4096  # numbers a photo up to which one thread trains the head at least as quickly as several
TOGETHER = 4 * 2**20  # bytes of features that are measured at once
WAIT = 0.2  # seconds between two looks at features that another process computes


Decoded = Callable[[], Generator[Preparing, None, None]]


class TooLarge(Exception):
    """The features of all photos together are more than is kept."""


class FeatureBatches:
    """The batches of `batches` in its order, with what the backbone made of each photo in place of its pixels.

    Epoch n takes `views[n % len(views)]`, each (N, …): one for plain photos, several for augmented ones.
    """

    def __init__(self, batches: Batches, views: Sequence[Tensor]) -> None:
        self.batches, self.views = batches, tuple(views)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.epoch(0)

    def epoch(self, n: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `n`, counted from 0, from the batch `first` on: features (B, …), labels (B,)."""
        view = self.views[n % len(self.views)]
        for piece, labels in self.batches.pieces(n, first):
            yield self.batches.picked(view, piece), labels


@dataclass(frozen=True)
class Sources:
    """What training and validation take in, a sentence where it is not just photos, and how many threads it needs.

    `threads` is None for all there are.
    """

    train: Source
    val: Source
    note: str = ""
    threads: int | None = None


def sources(
    state: TrainState,
    config: RunConfig,
    train: Batches,
    val: Batches,
    about: dict[str, Any],
    folder: Path,
    decoded: Decoded,
    should_stop: Callable[[], bool],
) -> Generator[Preparing, None, Sources | None]:
    """Photos, or where that gives the same result sooner, what the frozen backbone of `state` sees in them.

    For the latter `state.learner` becomes the head; `state.model` stays the whole network. `about` is what decides
    the pixels; `decoded` is gone through before the first photo is looked at. None when asked to stop.
    """
    arch = catalog.arch(config.model.arch)
    backbone = Backbone(state.model, state.model.get_submodule(arch.head), state.compute, state.device)
    keys: list[dict[str, Any]] = [{}]
    note = "The frozen backbone sees every photo once; its head trains on what it saw."
    if train.augment is not None:
        augmentation, views = config.augment.model_dump(mode="json"), config.compute.feature_views
        keys = [{**augmentation, "seed": config.training.seed, "view": n} for n in range(views)]
        note = f"The frozen backbone sees {views} augmented views of every photo; its head trains on them in turn."
    against = _against(config, backbone)
    if against is None:
        cache = Cache(folder, backbone, {**about, "arch": arch.id}, decoded, should_stop)
        try:
            seen_train = yield from cache.batches(train, "train", keys)
            seen_val = None if seen_train is None else (yield from cache.batches(val, "val", [{}]))
        except TooLarge:
            against = f"{arch.name}'s features of all photos are too large to be kept."
    if against is not None:
        yield from decoded()
        return Sources(train, val, against)
    if seen_train is None or seen_val is None:
        return None
    state.learner = state.compute.learner(backbone.head)
    light = seen_train.views[0][0].numel() <= LIGHT
    return Sources(seen_train, seen_val, note, threads=1 if light else None)


def for_test(
    model: nn.Module,
    config: RunConfig,
    test: Batches,
    about: dict[str, Any],
    folder: Path,
    decoded: Decoded,
    should_stop: Callable[[], bool],
) -> Generator[Preparing, None, tuple[nn.Module, Source] | None]:
    """What a finished `model` is measured with: its head and what its frozen backbone sees in the `test` photos.

    In float32, as the report is, and computed once as well, so that other heads are tested in no time; the whole
    network and the photos where that would be too much to keep. The rest as in `sources`.
    """
    arch, device = catalog.arch(config.model.arch), next(model.parameters()).device
    backbone = Backbone(model, model.get_submodule(arch.head), Compute(), device)
    cache = Cache(folder, backbone, {**about, "arch": arch.id}, decoded, should_stop)
    try:
        seen = yield from cache.batches(test, "test", [{}])
    except TooLarge:
        return model, test
    return None if seen is None else (backbone.head, seen)


def _against(config: RunConfig, backbone: Backbone) -> str | None:
    """Why features are not kept, in a sentence; an empty one where nobody would expect them to be."""
    arch, wish = catalog.arch(config.model.arch), config.compute
    if not (wish.feature_cache and parts.head_alone(config.parts, arch, config.training.epochs)):
        return ""
    if config.augment.steps and not wish.feature_views:
        return "Photos are augmented anew in every epoch, so the frozen backbone computes all of them every time."
    if config.training.mix != "off":
        return "Photos are mixed anew in every epoch, so the frozen backbone computes all of them every time."
    if backbone.draws:
        return f"{arch.name} draws at random before its head, so its features cannot be kept."
    return None


@dataclass(frozen=True)
class Backbone:
    """All of a network but its head: photos in, the head's input out, always as in evaluation."""

    model: nn.Module
    head: nn.Module
    compute: Compute
    device: torch.device

    def __call__(self, images: Tensor) -> Tensor:
        """Features of images (B, 3, S, S), on the CPU; in halves where memory runs out."""
        try:
            return self._features(images)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or len(images) == 1:
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return torch.cat([self(half) for half in images.tensor_split(2)])

    def _features(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            self.model.eval()
            with torch.no_grad(), self.compute.autocast(self.device):
                self.model(self.compute.moved(images, self.device))
        finally:
            hook.remove()
        return seen[0].cpu().contiguous()

    @property
    def draws(self) -> bool:
        """Whether it draws at random while the head trains: GoogLeNet and Inception drop out before the head."""
        train_mode(self.model)
        ours = set(self.head.modules())
        others = (part for part in self.model.modules() if part not in ours and part.training)
        return any("drop" in type(part).__name__.lower() and _rate(part) > 0 for part in others)

    def identity(self) -> str:
        """A hash of all its weights and statistics, the same wherever they lie and in whatever memory format."""
        within = {id(tensor) for tensor in (*self.head.parameters(), *self.head.buffers())}
        found = hashlib.sha256()  # processors have instructions for it: twice as quick as blake2b
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            if id(tensor) not in within:
                found.update(name.encode())
                found.update(_bytes(tensor.detach().cpu()))
        return found.hexdigest()


@dataclass(frozen=True)
class Cache:
    """The features of one backbone for the photos of one dataset in one shape, in `folder`.

    `about` is everything else that decides what they are, as plain values; `decoded` is gone through before a photo
    is looked at.
    """

    folder: Path
    backbone: Backbone
    about: dict[str, Any]
    decoded: Decoded
    should_stop: Callable[[], bool]

    def batches(
        self, batches: Batches, split: str, view_keys: Sequence[dict[str, Any]]
    ) -> Generator[Preparing, None, FeatureBatches | None]:
        """`batches` as features, a view for each of `view_keys`; None when asked to stop, at the next chunk.

        Raises TooLarge when the photos are decoded and the first of them seen.
        """
        views: list[Tensor] = []
        for number, key in enumerate(view_keys):
            counted = f", view {number + 1} of {len(view_keys)}" if len(view_keys) > 1 else ""
            what = f"Computing what the frozen backbone sees in the {split} photos{counted}"
            view = yield from self._view(self.path(split, key), batches, number, what)
            if view is None:
                return None
            views.append(view)
        if batches.seed is None:  # what is only measured may come in larger batches: a head is through in no time
            batches = batches.by(max(batches.batch_size, TOGETHER // views[0][0].nbytes))
        return FeatureBatches(batches, views)

    def path(self, split: str, key: dict[str, Any]) -> Path:
        """Where the features of `split` lie; `key` says which view of it."""
        text = json.dumps({**self.about, **self._made_by, "split": split, "view": key}, sort_keys=True)
        return self.folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.safetensors"

    @functools.cached_property
    def _made_by(self) -> dict[str, str]:
        made_by = self.backbone
        return {
            "weights": made_by.identity(),
            "precision": made_by.compute.precision,
            "device": made_by.device.type,
        }

    def _view(self, path: Path, batches: Batches, view: int, what: str) -> Generator[Preparing, None, Tensor | None]:
        """The features in `path`, computed first where they are not there; by one process, while others wait."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"), timeout=0, thread_local=False)
        while (found := read(path, batches.samples)) is None and not self.should_stop():
            try:
                with lock:
                    found = read(path, batches.samples)  # by whoever held the lock until now
                    if found is None:
                        found = yield from self._computed(batches, view, what)
                        if found is not None:
                            write(path, found)
                            tidy(self.folder)
                    return found
            except Timeout:
                yield Preparing(what=f"Waiting for another run: {what[0].lower()}{what[1:]}")
                time.sleep(WAIT)
        return found

    def _computed(self, batches: Batches, view: int, what: str) -> Generator[Preparing, None, Tensor | None]:
        """The features of all photos of `batches` in their own order, as epoch `view` would show them."""
        once = batches.once(CHUNK)
        yield from self.decoded()
        features, done = None, 0
        for (piece, _), (images, _) in zip(once.pieces(view), once.epoch(view), strict=True):
            if self.should_stop():
                return None
            some = self.backbone(images)
            if features is None:
                if some[0].nbytes * batches.samples > LARGEST:
                    raise TooLarge
                features = some.new_empty(batches.samples, *some.shape[1:])
            features[piece] = some
            done += len(piece)
            yield Preparing(what=what, done=done, total=batches.samples, unit="photos")
        return features


def read(path: Path, samples: int) -> Tensor | None:
    """The features of `samples` photos in `path`; None where they are missing, torn or changed."""
    try:
        with safe_open(path, "pt") as file:
            features: Tensor = file.get_tensor("features")
            promised = (file.metadata() or {}).get("crc32")
    except (SafetensorError, OSError):
        return None
    if len(features) != samples or promised != str(zlib.crc32(_bytes(features))):
        return None
    with suppress(OSError):
        os.utime(path)  # used now
    return features


def write(path: Path, features: Tensor) -> None:
    """Keep `features` in `path`, whole or not at all; raises StorageError when the disk refuses."""
    with atomic(path) as temporary:
        saved.write({"features": features}, temporary, {"crc32": str(zlib.crc32(_bytes(features)))})


def tidy(folder: Path, budget: int | None = None) -> None:
    """Remove the features not used for longest until the rest fits into `budget` bytes; the newest always stay.

    A run that reads them at this moment goes on: the system keeps an open file until its last reader is gone.
    """
    left = BUDGET if budget is None else budget
    for number, (_, size, path) in enumerate(sorted(_files(folder), reverse=True)):
        left -= size
        if left < 0 and number:
            with suppress(OSError):
                path.unlink()


def _files(folder: Path) -> Iterable[tuple[float, int, Path]]:
    for path in folder.glob("*.safetensors"):
        with suppress(OSError):
            about = path.stat()
            yield about.st_mtime, about.st_size, path


def _bytes(tensor: Tensor) -> Any:
    """The bytes of a tensor on the CPU as an array, without a copy where it is contiguous."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()


def _rate(dropout: nn.Module) -> float:
    return float(getattr(dropout, "p", None) or getattr(dropout, "drop_prob", None) or 0.0)
