"""One run from its config.json to its report: prepare, build, fit, keep the best, measure on the test split."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

import catfish_core
from catfish_core import augment, catalog, events, parts
from catfish_core.analysis.evaluate import Report, evaluate
from catfish_core.catalog import Statistics
from catfish_core.config import RunConfig
from catfish_core.data import library, pixels
from catfish_core.data.library import Dataset
from catfish_core.data.loader import Batches, Indices, Photos, Pictures
from catfish_core.data.mixing import Mixed
from catfish_core.data.pixels import Pixels
from catfish_core.errors import DatasetError, RunError, StorageError
from catfish_core.events import BatchEnd, Completed, EpochEnd, Event, Preparing, Resumed, Started, Tested, drain
from catfish_core.models import build, saved, weights
from catfish_core.process import cores
from catfish_core.runs import Run
from catfish_core.tracking.tensorboard import TensorBoard
from catfish_core.training import checkpoint, features, optim
from catfish_core.training.average import Average
from catfish_core.training.compute import Compute, decide, keep_memory, threads
from catfish_core.training.distributed import ALONE, Team
from catfish_core.training.features import FeatureBatches, Sources
from catfish_core.training.loop import ShouldStop, Source, TrainState, fit, whole
from catfish_core.workspace import Workspace, write_text

T = TypeVar("T")


@dataclass
class Session:
    """What a run is made of once its configuration has met the photos and the device.

    `pixels` are the photos of those splits that are `decoded` by now; each look at any other decodes it.
    """

    config: RunConfig
    dataset: Dataset
    device: torch.device
    mean: Statistics
    std: Statistics
    workspace: Workspace
    pixels: Pixels | None = None
    team: Team = ALONE

    def decoded(self, *splits: str) -> Generator[Preparing, None, None]:
        """Decode what is not decoded yet of `splits`, which are those that are looked at from here on.

        Where there is no room for it, training is only slower.
        """
        if self.pixels is not None and all(map(self.pixels.holds, splits)):
            return
        data = self.config.data
        try:
            found = yield from pixels.prepare(self.workspace, self.dataset, data.image_size, data.resize, splits)
            self.close()
            self.pixels = found
        except StorageError as error:
            yield Preparing(what=f"{error.what} The photos are read anew in every epoch, which takes longer.")

    def close(self) -> None:
        """Let go of the photos; each look at one decodes it from here on."""
        if self.pixels is not None:
            self.pixels.close()
            self.pixels = None

    def batches(self, split: str, channels_last: bool = False) -> Batches:
        """The photos of `split` as the network wants them: the training split shuffled and augmented.

        Several processes share training and validation; the test is the first one's alone.
        """
        data, training = self.config.data, split == "train"
        photos = self.dataset.splits[split]

        def cached(indices: Indices) -> Photos | None:
            return self.pixels.take(split, indices) if self.pixels and self.pixels.holds(split) else None

        return Batches(
            Pictures(photos.paths, data.image_size, data.resize, photos.names, cached),
            photos.labels,
            self.config.training.batch_size,
            self.mean,
            self.std,
            augment=augment.build(self.config.augment.steps, data.image_size) if training else None,
            seed=self.config.training.seed if training else None,
            channels_last=channels_last,
            ahead=_ahead(self.device),
            share=ALONE.part if split == "test" else self.team.part,
        )

    def describe(self) -> dict[str, Any]:
        """What decides the pixels that a network sees, as plain values."""
        data, splits = self.config.data, self.dataset.splits
        names = {split: list(photos.names) for split, photos in splits.items()}
        return {
            "dataset": self.dataset.info.version,
            "names": hashlib.blake2b(json.dumps(names).encode(), digest_size=16).hexdigest(),
            "shape": [data.image_size, data.resize, self.mean, self.std],
            "decoding": pixels.FORMAT,
        }

    def evaluate(self, model: nn.Module, test: Source, should_stop: ShouldStop) -> Report | None:
        """`model` on the `test` split, photos or what a backbone saw in them; None when asked to stop."""
        loss = optim.loss_function(self.config.training)
        names = self.dataset.splits["test"].names
        classes = self.dataset.info.classes
        return evaluate(model, test, classes, names, loss, self.device, should_stop)


def _ahead(device: torch.device) -> int:
    """How many batches are made ready while one is at work.

    On a CPU whose cores all compute the network that is none: its threads share every step of a layer evenly, so
    all wait for the one that makes way, and that costs more than to make the next batch in between.
    """
    return int(cores() > torch.get_num_threads()) if device.type == "cpu" else min(4, cores())


def train(run: Run, should_stop: ShouldStop, team: Team = ALONE) -> Iterator[Event]:
    """Train `run`, keep its best weights as it goes, and tell all that happens.

    Of several processes, `team`, all tell the same up to the last epoch; the first one alone writes files and
    measures on the test photos. The last event is Completed, or there is none when it was asked to stop. What an
    earlier attempt left is taken up again at the batch where it was. Raises CatfishError for everything that a
    person can mend.
    """
    began = time.time()
    keep_memory()
    config, workspace = run.config(), Workspace(run.path.parents[1])
    with team.leader_first():
        session = yield from opened(config, workspace, should_stop, team)
    if session is None:
        return
    with closing(session):
        state = yield from _trained(run, session, workspace, should_stop)
    if state is not None and state.finished and not should_stop():
        yield Completed(
            best_epoch=state.best_epoch, best_val_accuracy=state.best_val_accuracy, seconds=time.time() - began
        )


def _trained(
    run: Run, session: Session, workspace: Workspace, should_stop: ShouldStop
) -> Generator[Event, None, TrainState | None]:
    """Everything from the first weights to the test report; the state is the value, None when stopped before."""
    with session.team.leader_first():  # who may have to put a torn checkpoint aside
        state = yield from _state(run, session, workspace)
    with threads(state.threads):  # of the first attempt: more or fewer would change the last digits
        return (yield from _computed(run, session, state, workspace, should_stop))


def _computed(
    run: Run, session: Session, state: TrainState, workspace: Workspace, should_stop: ShouldStop
) -> Generator[Event, None, TrainState | None]:
    """Everything after `state` is where the last attempt left it."""
    if session.team.leads:
        _write_environment(run, session, state)
    began = time.monotonic()
    with session.team.leader_first():
        sources = yield from sources_for(state, session, workspace, should_stop)
    if sources is None:
        return None
    state.learner = session.team.learner(state.learner)
    again = events.began(run.events_path)
    yield _started(session, state, sources.note, time.monotonic() - began)
    if not session.team.leads:
        with threads(sources.threads):
            yield from fit(state, sources.train, sources.val, session.config, session.team.agreed(should_stop))
        return None
    with closing(TensorBoard(run.path / "tensorboard")) as board:
        if again:
            resumed = Resumed(epoch=state.epoch, batch=state.batch, step=state.step)
            board(resumed)
            yield resumed
        for event in _fit(run, session, state, sources, should_stop):
            board(event)
            yield event
    return state


def _state(run: Run, session: Session, workspace: Workspace) -> Generator[Preparing, None, TrainState]:
    """The state that the last attempt left, the one before where that is torn, or that of the beginning."""
    if session.team.leads:
        checkpoint.tidy(run.path, "model")
        checkpoint.tidy(run.checkpoints, "*")
    left = checkpoint.newest(run.checkpoints)
    for path, older in zip_longest(left, left[1:]):
        try:
            found = checkpoint.read(path)
            state = dataclasses.replace(first_state(session, workspace, found["compute"]), extended=run.extended)
            checkpoint.restore(found, state)
        except RunError as error:
            checkpoint.set_aside(path)
            after = "The training goes on with the one before it" if older else "The training begins anew"
            yield Preparing(what=f"{error.what} {after}")
            continue
        for remark in _otherwise(found, state):
            yield Preparing(what=remark)
        return state
    return dataclasses.replace(first_state(session, workspace), extended=run.extended)


def _otherwise(found: checkpoint.Content, state: TrainState) -> Iterator[str]:
    """A sentence where this machine cannot compute as the one did on which the run began."""
    before, now = found.get("made_by"), checkpoint.made_by(state.device)
    if found["compute"] not in (None, state.compute):
        yield f"It was computed in {found['compute'].words} so far, and from here on in {state.compute.words}"
    if before not in (None, now):
        where = [f"torch {made['torch']} on {made['device']}" for made in (before, now)]
        yield f"It was computed with {where[0]} so far, and from here on with {where[1]}: the last digits may differ"


def sources_for(
    state: TrainState, session: Session, workspace: Workspace, should_stop: ShouldStop
) -> Generator[Preparing, None, Sources | None]:
    """What `state` trains and validates on; None when asked to stop before it was there."""
    train, val = (session.batches(split, state.compute.channels_last) for split in ("train", "val"))

    def decoded() -> Generator[Preparing, None, None]:
        yield from _unless(should_stop, session.decoded("train", "val"))  # those of the test wait for their turn

    found = yield from features.sources(
        state, session.config, train, val, session.describe(), workspace.features, decoded, should_stop
    )
    return None if found is None or should_stop() else _regularised(session, found)


def reevaluate(run: Run, should_stop: ShouldStop = lambda: False) -> Report:
    """Measure the kept weights of `run` on its test split again and write the report; raises RunError without any."""
    with closing(drain(_prepared(run.config(), Workspace(run.path.parents[1])))) as session:
        drain(session.decoded("test"))
        report = session.evaluate(saved.load(run.path, session.device).model, session.batches("test"), should_stop)
    if report is None:
        raise RunError("The evaluation was stopped before its end.")
    write_text(run.report_path, report.to_json())
    return report


def _fit(run: Run, session: Session, state: TrainState, sources: Sources, should_stop: ShouldStop) -> Iterator[Event]:
    """The training itself. The best weights are on disk before their epoch is told, the state after it is: an event
    that was lost would be a gap in the curve, one that is told again is not."""
    agreed = session.team.agreed(should_stop)
    keeper = checkpoint.Keeper(run.checkpoints, run.events_path, state)
    with threads(sources.threads):
        for event in fit(state, sources.train, sources.val, session.config, agreed, keeper.due):
            if isinstance(event, EpochEnd) and event.improved:
                _keep(run, session, state)
            yield event
            if isinstance(event, EpochEnd) or (isinstance(event, BatchEnd) and whole(state, event) and keeper.due()):
                yield from keeper.save()
        yield from keeper.save()
    if not run.model_path.exists():  # stopped before the first validation: what there is, is kept
        _keep(run, session, state)
    if state.finished and not should_stop():
        report = yield from _tested(run, session, sources, should_stop)
        if report is not None:
            write_text(run.report_path, report.to_json())
            yield Tested(
                loss=report.loss, accuracy=report.accuracy, low=report.low, high=report.high, samples=report.samples
            )
            keeper.done()


def _tested(
    run: Run, session: Session, sources: Sources, should_stop: ShouldStop
) -> Generator[Preparing, None, Report | None]:
    """The kept weights on the test photos, or on what the frozen backbone sees in them; None when asked to stop."""
    yield Preparing(what="Measuring on the test photos")
    best, test = saved.load(run.path, session.device).model, session.batches("test")

    def decoded() -> Generator[Preparing, None, None]:
        yield from _unless(should_stop, session.decoded("test"))

    if not isinstance(sources.val, FeatureBatches):
        yield from decoded()
        return session.evaluate(best, test, should_stop)
    folder, about = session.workspace.features, session.describe()
    found = yield from features.for_test(best, session.config, test, about, folder, decoded, should_stop)
    return None if found is None else session.evaluate(*found, should_stop)


def _prepared(config: RunConfig, workspace: Workspace, team: Team = ALONE) -> Generator[Preparing, None, Session]:
    """Fetch or draw whatever the run needs and is not here yet; the session is the generator's value."""
    if not library.is_ready(workspace, config.data.dataset):
        yield from library.prepare(workspace, config.data.dataset)
    dataset = _dataset(config, workspace)
    if config.model.pretrained:
        yield from weights.ensure(catalog.arch(config.model.arch), workspace)
    yield Preparing(what="Building the network")
    mean, std = build.normalization(config.data, config.model)
    return Session(config, dataset, optim.device(config.training.device), mean, std, workspace, team=team)


def opened(
    config: RunConfig, workspace: Workspace, should_stop: ShouldStop, team: Team = ALONE
) -> Generator[Preparing, None, Session | None]:
    """The session for `config`, with all that has to be fetched for it; None when asked to stop in between."""
    return (yield from _unless(should_stop, _prepared(config, workspace, team)))


def _unless(should_stop: ShouldStop, steps: Generator[Preparing, None, T]) -> Generator[Preparing, None, T | None]:
    """`steps` to their end, and their value; None when asked to stop in between."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        yield step
        if should_stop():
            steps.close()
            return None


def _dataset(config: RunConfig, workspace: Workspace) -> Dataset:
    """The dataset that the run was made for; raises DatasetError where it has changed."""
    dataset = library.load(workspace, config.data.dataset)
    version = config.data.version
    if version is not None and version != dataset.info.version:
        raise DatasetError(
            f"The dataset “{dataset.info.name}” is not the one this run was made for: its photos have changed.",
            "Start a new run with the dataset as it is now.",
        )
    return dataset


def first_state(session: Session, workspace: Workspace, before: Compute | None = None) -> TrainState:
    """The network at its start: the seed decides its first weights and every later draw of dropout.

    It is computed as `before` says, where a run was begun so and the device can.
    """
    config = session.config
    torch.manual_seed(config.training.seed)
    classes = len(session.dataset.info.classes)
    model = build.build(config.model, classes, config.data.image_size, workspace)
    arch = catalog.arch(config.model.arch)
    build.freeze(model, arch, parts.ever(config.parts, arch, config.training.epochs))  # the formats must suit it all
    compute = decide(config.compute, session.device, model)
    if before is not None and (before.precision != "fp16" or session.device.type == "cuda"):
        compute = before
    model = session.team.model(compute.placed(model, session.device), session.device)
    optimizer = optim.optimizer(model, config.optimizer, optim.groups(model, config))
    steps = len(session.batches("train"))
    decay = config.training.ema_decay
    return TrainState(
        model,
        optimizer,
        optim.Schedule(optimizer, config, steps),
        session.device,
        compute,
        compute.learner(model),
        GradScaler(session.device.type, enabled=compute.precision == "fp16"),
        config.compute.micro_batch,
        session.team,
        Average(model, decay) if decay else None,
    )


def _regularised(session: Session, sources: Sources) -> Sources:
    """`sources` with photos mixed where that was asked for, and a sentence on what is measured how."""
    training, train, notes = session.config.training, sources.train, [sources.note]
    if training.mix != "off":
        train = Mixed(train, training.mix, training.mix_alpha, len(session.dataset.info.classes), training.seed)
        notes.append("Of a mixed photo, the class it has most of counts as the right answer.")
    if training.ema_decay:
        notes.append("Validation, test and the kept model are those of the averaged weights.")
    return dataclasses.replace(sources, train=train, note=" ".join(filter(None, notes)))


def _started(session: Session, state: TrainState, note: str, prepared: float) -> Started:
    """`prepared` are the seconds that the photos of training and validation took."""
    parameters, trained = build.count(state.model)
    samples = {name: len(split.labels) for name, split in session.dataset.splits.items()}
    return Started(
        classes=session.dataset.info.classes,
        samples=samples,
        batches=state.schedule.steps_per_epoch,
        epochs=session.config.training.epochs,
        parameters=parameters,
        trained=trained,
        parts=optim.rates(session.config, state.epoch if state.batch else max(0, state.epoch - 1)),
        device=str(session.device),
        dataset_version=session.dataset.info.version,
        compute=state.compute.words + (f", {state.team.size} processes" if state.team.size > 1 else ""),
        note=note,
        test_seconds=prepared * samples["test"] / (samples["train"] + samples["val"]),
    )


def _keep(run: Run, session: Session, state: TrainState) -> None:
    classes = session.dataset.info.classes
    with state.kept():
        saved.save(run.path, state.model, session.config, classes, session.mean, session.std)


def _write_environment(run: Run, session: Session, state: TrainState) -> None:
    """What computed this run, for whoever wants to compute it again."""
    about = {
        "catfish": catfish_core.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": str(session.device),
        "threads": state.threads,
        "compute": state.compute.words,
        "seed": session.config.training.seed,
        "commit": _commit(),
    }
    write_text(run.path / "environment.json", json.dumps(about, indent=2) + "\n")


def _commit() -> str | None:
    """The commit this code was checked out at; None outside a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
