"""`python -m catfish_core.training.measuring ROOT KEY BEGAN`: try out a few steps of a run and note what they took.

It goes the way a run goes (`session`, `features`, `fit`) with some of its photos, so whatever makes a run quick or
slow is in the figures, the start of a process included: BEGAN is when that was, in seconds since 1970. Large
networks are tried with small batches: about two seconds of work, or two steps with two photos where those take
longer.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from catfish_core import catalog, config, estimate, parts
from catfish_core.config import RunConfig
from catfish_core.data import library, photos, sketchbook
from catfish_core.data.library import Dataset, DatasetInfo, Split
from catfish_core.data.pixels import Pixels
from catfish_core.errors import CatfishError, DatasetError, WeightsError
from catfish_core.estimate import Measured
from catfish_core.events import BatchEnd, EpochEnd, Preparing, drain
from catfish_core.models import build
from catfish_core.parts import PartsConfig
from catfish_core.process import leave
from catfish_core.training import features, optim, session
from catfish_core.training.compute import keep_memory, threads
from catfish_core.training.features import Backbone, FeatureBatches, Sources
from catfish_core.training.loop import Source, TrainState, fit
from catfish_core.training.session import Session
from catfish_core.workspace import Workspace, acquired, atomic, lock_at

BUDGET = 4.0  # seconds that one try may take
DECODING = 0.3  # seconds
BANK = 64  # photos that are decoded at most; batches are made of them
BATCHES = 3  # of an epoch that is tried; the first is left out of what a step takes
FORWARD = 3  # times as long as the forward pass alone are both, and the gradients of weights beside them
ROUNDS = 0.6  # seconds within which whole batches are tried again
SHORT = 0.2  # seconds within which a part of a batch is, so that one hiccup of the machine does not count
BLOCK = 16 * 2**20  # bytes written to learn how fast the disk is


def measure(ws: Workspace, wanted: RunConfig, began: float) -> Measured:
    """What each piece of work of a run of `wanted` takes, in a process that was started at `began` (Unix time).

    Raises CatfishError where the run could not be started either.
    """
    keep_memory()
    tried = _harmless(wanted)
    bank, photo = _bank(ws, tried)
    sample = _sample(ws, tried, bank, 2)
    state = session.first_state(sample, ws)
    ready = time.time() - began - photo * len(bank)
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(state, sample, Path(folder))
        save = _saving(state, ws.estimates)
    if not isinstance(sources.train, FeatureBatches):
        step, checked, epoch = _paces(
            state, lambda n: _pixel_sources(_sample(ws, tried, bank, n, BATCHES), state.compute.channels_last), tried
        )
        return Measured(ready, photo, 0.0, step, checked, epoch + save)
    backbone = Backbone(state.model, _head(state, tried), state.compute, state.device)
    size = tried.data.image_size
    seconds = grown(lambda n: _quickest(backbone, torch.rand(n, 3, size, size)), features.CHUNK, repeats=2)
    with threads(sources.threads):
        step, checked, epoch = _paces(
            state, lambda n: _head_sources(_sample(ws, tried, bank, n, BATCHES), sources), tried
        )
    seen = _seen(ws, wanted, state)
    return Measured(ready, photo, seconds / features.CHUNK, step, checked, epoch + save, seen)


def _harmless(wanted: RunConfig) -> RunConfig:
    """`wanted` with what could end a try early or lengthen it left out; its pace is the same.

    Of gradual unfreezing that is the pace at the end, when the most is trained.
    """
    training = wanted.training.model_copy(update={"patience": None, "epochs": 10_000})
    arch = catalog.arch(wanted.model.arch)
    return wanted.model_copy(
        update={
            "training": training,
            "parts": PartsConfig(preset="own", rates=parts.ever(wanted.parts, arch, wanted.training.epochs)),
            "optimizer": wanted.optimizer.model_copy(update={"lr": 1e-9}),
            "compute": wanted.compute.model_copy(update={"compile": False}),
        }
    )


class Bank:
    """A few decoded photos that stand for all: what a session takes for its cache of pixels."""

    def __init__(self, squares: NDArray[np.uint8]) -> None:
        self.squares = squares

    def __len__(self) -> int:
        return len(self.squares)

    def holds(self, split: str) -> bool:
        """Of every split alike."""
        return True

    def take(self, split: str, indices: Sequence[int]) -> NDArray[np.uint8]:
        """As many photos as `indices`, uint8 (n, size, size, 3)."""
        taken: NDArray[np.uint8] = self.squares[np.asarray(indices, dtype=np.int64) % len(self.squares)]
        return taken


def _bank(ws: Workspace, tried: RunConfig) -> tuple[Bank, float]:
    """Some of the photos, and the seconds that each took with all cores at work."""
    data = tried.data

    def square(source: Path | bytes) -> NDArray[np.uint8]:
        return np.asarray(photos.square(source, data.image_size, data.resize))

    cores = min(32, os.cpu_count() or 2)
    sources, drawing = _some_photos(ws, data.dataset)
    squares: list[NDArray[np.uint8]] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, len(sources), 2 * cores):
            squares += pool.map(square, sources[start : start + 2 * cores])
            if time.perf_counter() - began > DECODING:
                break
    return Bank(np.stack(squares)), (time.perf_counter() - began) / len(squares) + drawing


def _some_photos(ws: Workspace, dataset: str) -> tuple[list[Path | bytes], float]:
    """BANK photos from all over the dataset, and the seconds that drawing one takes where that is to be done."""
    if library.is_ready(ws, dataset):
        split = library.load(ws, dataset).splits["train"]
        return [split.paths[n] for n in np.linspace(0, len(split.paths) - 1, BANK).astype(int)], 0.0
    if dataset != catalog.SKETCHBOOK.id:
        raise DatasetError("The photos are not here yet.")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in range(8):
            sketchbook.draw("cat" if number % 2 else "fish", number).save(Path(folder) / f"{number}.jpg", quality=90)
        each = (time.perf_counter() - began) / 8
        drawn = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    return [drawn[n % 8] for n in range(BANK)], each / min(4, os.cpu_count() or 1)


def _sample(ws: Workspace, tried: RunConfig, bank: Bank, batch: int, batches: int = 1) -> Session:
    """A session of `batches` batches of `batch` photos, all from the bank."""
    info = _info(ws, tried.data.dataset)
    tried = tried.model_copy(update={"training": tried.training.model_copy(update={"batch_size": batch})})
    splits = {}
    for split, count in (("train", batch * batches), ("val", batch), ("test", batch)):
        names = tuple(str(n) for n in range(count))
        splits[split] = Split(tuple(map(Path, names)), tuple(n % len(info.classes) for n in range(count)), names)
    mean, std = build.normalization(tried.data, tried.model)
    device = optim.device(tried.training.device)
    return Session(tried, Dataset(info, splits), device, mean, std, ws, cast(Pixels, bank))


def _info(ws: Workspace, dataset: str) -> DatasetInfo:
    if library.is_ready(ws, dataset):
        return library.info(ws, dataset)
    row = catalog.SKETCHBOOK
    return DatasetInfo(row.id, row.name, row.about, "", row.classes, {}, "", "")


def _sources(state: TrainState, sample: Session, folder: Path) -> Sources:
    """What a run would learn from: photos, or features of these few, kept in `folder`."""
    train, val = sample.batches("train"), sample.batches("val")
    found = drain(features.sources(state, sample.config, train, val, {}, folder, sample.decoded, lambda: False))
    assert found is not None  # nobody asked it to stop
    return found


def _seen(ws: Workspace, wanted: RunConfig, state: TrainState) -> bool:
    """Whether the features of all photos are kept already; asked to stop at once, it computes none."""
    if not library.is_ready(ws, wanted.data.dataset):
        return False
    mean, std = build.normalization(wanted.data, wanted.model)
    whole = Session(wanted, library.load(ws, wanted.data.dataset), state.device, mean, std, ws)
    batches = whole.batches("train"), whole.batches("val")
    found = features.sources(state, wanted, *batches, whole.describe(), ws.features, _nothing, lambda: True)
    return drain(found) is not None


def _nothing() -> Generator[Preparing, None, None]:
    yield from ()


def _head(state: TrainState, tried: RunConfig) -> torch.nn.Module:
    return state.model.get_submodule(catalog.arch(tried.model.arch).head)


def _pixel_sources(sample: Session, channels_last: bool) -> Sources:
    train, val = (sample.batches(split, channels_last) for split in ("train", "val"))
    return session._regularised(sample, Sources(train, val))


def _head_sources(sample: Session, few: Sources) -> Sources:
    """The batches of `sample` as features: those of a `few` photos over and over."""

    def more(split: str, some: Source) -> FeatureBatches:
        batches = sample.batches(split)
        views = cast(FeatureBatches, some).views
        return FeatureBatches(batches, [view[torch.arange(batches.samples) % len(view)] for view in views])

    return dataclasses.replace(few, train=more("train", few.train), val=more("val", few.val))


def _paces(state: TrainState, sources: Callable[[int], Sources], tried: RunConfig) -> tuple[float, float, float]:
    """Seconds of a step, of validating a photo, and of an epoch beside both."""
    found: dict[int, tuple[float, float, float]] = {}

    def step(batch: int) -> float:
        budget = ROUNDS if batch == tried.training.batch_size else SHORT
        found[batch] = _rounds(state, sources(batch), tried, budget)
        return found[batch][0]

    seconds = grown(step, tried.training.batch_size, repeats=BATCHES + 1)
    largest = max(found)
    stepped, validated, rest = found[largest]
    return seconds, validated / stepped * seconds / tried.training.batch_size, rest


def _rounds(state: TrainState, sources: Sources, tried: RunConfig, budget: float) -> tuple[float, float, float]:
    """Seconds of a step, of validating a batch, and of the rest of an epoch: medians of what `budget` allows."""
    began = time.perf_counter()
    rounds: list[tuple[float, float, float]] = []
    for start, *ends, validated in _epochs(state, sources, tried):
        if len(ends) == 1:  # too long for more
            return ends[0] - start, (ends[0] - start) / FORWARD, 0.0
        step = (ends[-1] - ends[0]) / (len(ends) - 1)
        rounds.append((step, validated - ends[-1], max(0.0, ends[0] - start - step)))
        if time.perf_counter() - began > budget:
            break
    step, validation, rest = (median(values) for values in zip(*(rounds[1:] or rounds), strict=True))
    return step, validation, rest if rounds[1:] else 0.0  # in the first round it is what happens once


def _epochs(state: TrainState, sources: Sources, tried: RunConfig) -> Iterator[list[float]]:
    """The times of each epoch: of its beginning, of the end of each step, of its end; without end.

    Where the first step takes very long, it is the only one.
    """
    times = [time.perf_counter()]
    for event in fit(state, sources.train, sources.val, tried):
        if isinstance(event, (BatchEnd, EpochEnd)):
            times.append(time.perf_counter())
        if isinstance(event, EpochEnd):
            yield times
            times = [time.perf_counter()]
        elif len(times) == 2 and times[1] - times[0] > BUDGET / 2:
            yield [*times, times[1]]
            return


def grown(take: Callable[[int], float], full: int, repeats: int) -> float:
    """Seconds that `take(full)` would say, from tries that take BUDGET seconds or little more.

    A try of n photos costs `repeats` times what it says. The first has two photos and one thread, which other work
    on the computer delays least; it decides how many photos the second has. What is too large to be tried is on the
    line through two smaller tries; what is too large even for two photos is taken to use all threads to the full.
    """
    few, number = min(2, full), torch.get_num_threads()
    with threads(1):
        each = take(few) / few / number
    if repeats * each * few > BUDGET:
        return each * full
    count = full
    while count > 4 and repeats * each * count > BUDGET:
        count = -(-count // 2)
    tries = [(count, take(count))]
    if count < full:
        tries.append((other := full if repeats * line(tries, full) <= BUDGET else count // 2, take(other)))
    return line(sorted(tries), full)


def line(tries: Sequence[tuple[int, float]], count: int) -> float:
    """Seconds for `count` photos on the line through the last two (photos, seconds); through zero if there is one.

    Never less than the last: more photos are not quicker.
    """
    last, seconds = tries[-1]
    if len(tries) == 1:
        return seconds * count / last
    before, earlier = tries[-2]
    return seconds + max(0.0, seconds - earlier) / (last - before) * (count - last)


def _quickest(work: Callable[[torch.Tensor], object], images: torch.Tensor) -> float:
    """Seconds of `work` on `images` at its quickest: it is made twice, and again while it is short."""
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < 2 or time.perf_counter() - began < SHORT:
        start = time.perf_counter()
        work(images)
        found.append(time.perf_counter() - start)
    return min(found)


def _saving(state: TrainState, folder: Path) -> float:
    """Seconds to save what an epoch saves: what is trained and two moments of it, and every other time the model."""
    total, trained = build.count(state.model)
    size = 4 * (3 * trained + total // 2)
    block = torch.zeros(min(size, BLOCK) // 4 + 1)
    began = time.perf_counter()
    with atomic(folder / "block") as temporary:
        torch.save(block, temporary)
    seconds = time.perf_counter() - began
    (folder / "block").unlink(missing_ok=True)
    return seconds * max(1.0, size / BLOCK)


def _watch(ws: Workspace, key: str, until: float) -> None:
    """End this process when nobody waits for its answer any more, or it takes too long."""
    while estimate.waiting(ws.estimates / f"{key}.wish"):
        if time.time() > until:
            estimate.answer(ws, key, {"why": "It is so much work that a short try could not tell how long it takes."})
            break
        time.sleep(0.3)
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Measure the pace of the configuration in the wish called KEY, and write it down."""
    root, key, began = arguments
    ws = Workspace(Path(root))
    threading.Thread(target=_watch, args=(ws, key, time.time() + estimate.LIMIT), daemon=True).start()
    waited = time.time()
    lock = lock_at(ws.estimates, "measuring.lock")
    while not acquired(lock, 1.0):  # two at once would measure each other; the watch ends a wait that is in vain
        pass
    waited = time.time() - waited
    wish = ws.estimates / f"{key}.wish"
    if not wish.exists():  # whoever had the lock before has answered it
        return 0
    try:
        wanted = config.load(wish)
        estimate.answer(ws, key, dataclasses.asdict(measure(ws, wanted, float(began) + waited)))
        return 0
    except WeightsError:
        estimate.answer(ws, key, {"why": "How long it takes can be told once its weights are here."})
    except CatfishError as error:
        estimate.answer(ws, key, {"why": error.what})
    except Exception:  # the last line of defence of this process: the page must not wait for ever
        traceback.print_exc()
        estimate.answer(ws, key, {"why": "How long it takes could not be measured."})
    finally:
        lock.release()
    return 1


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
