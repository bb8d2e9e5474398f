"""Trainings side by side, whoever interrupts them, and the person who lets them go on; then what became of them."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from catfish_core import events, runs
from catfish_core.config import RunConfig
from catfish_core.errors import CatfishError
from catfish_core.events import Failed, Preparing
from catfish_core.jobs import queue
from catfish_core.runs import Run
from catfish_core.workspace import Workspace
from tests.faults.comparison import differences, two_at_once
from tests.faults.disk import SmallDisk
from tests.faults.interruptions import PATIENCE, Deck, Interruption, Scene
from tests.faults.processes import App, Watch, end_all, living

SLOTS = 4  # trainings at once,
WAITING = 1  # and so many that wait for their turn
TICK = 0.05  # seconds between two looks at how things stand
STUCK = 150.0  # seconds in which nothing becomes of a run after which it is lost
UNSEEN = 45.0  # seconds for which one that is under way may be missing where people look
ATTENTIVE = 0.2  # how often somebody does what is due, at each look


@dataclass
class Training:
    """One run under way: its uninterrupted twin, when something last became of it, how often it was struck."""

    run: Run
    whole: Run
    changed: float = field(default_factory=time.monotonic)
    seen: float = field(default_factory=time.monotonic)
    state: object = None
    struck: int = 0


@dataclass
class Outcome:
    """What came of it all. The lists say in a sentence each what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)  # kind → interruptions that hit
    missed: Counter[str] = field(default_factory=Counter)  # kind → those that came too late
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    not_identical: list[str] = field(default_factory=list)
    finished: int = 0
    attempts: int = 0
    most_strikes: int = 0
    untouched: int = 0
    torn: int = 0  # checkpoints that were found to be torn when a run went on
    pressed: int = 0  # times that somebody let a run go on
    refused: int = 0  # times that somebody was told that this cannot be done now
    starts_of_app: int = 0
    workers_at_once: int = 0
    looks: int = 0
    longest_look: float = 0.0
    kept: Path | None = None

    @property
    def interruptions(self) -> int:
        """How many hit."""
        return sum(self.counts.values())


class Trial:
    """Trainings in `folder`, interrupted until `wanted` interruptions have hit, or `seconds` are over."""

    def __init__(self, folder: Path, wanted: int, seed: int, seconds: float, every: float) -> None:
        self.disk = SmallDisk(folder)
        self.workspace = Workspace(folder)
        self.wanted, self.every = wanted, every
        self.rng = random.Random(seed)
        self.deadline = time.monotonic() + seconds
        self.scene = Scene(self.workspace, self.disk, App(self.workspace), self.rng)
        self.deck = Deck(self.scene)
        self.wholes: list[Run] = []
        self.underway: list[Training] = []
        self.open: list[Interruption] = []
        self.outcome = Outcome()
        self.next_strike = self.next_look = 0.0
        self._turns: list[Run] = []

    # -- before

    def reference(self, configurations: tuple[RunConfig, ...]) -> None:
        """Train everything once without interruption."""
        self.wholes = [queue.submit(self.workspace, config) for config in configurations]
        while any(runs.status(run) in runs.ACTIVE or run.alive() for run in self.wholes):
            time.sleep(TICK)
            if time.monotonic() > self.deadline:
                break
        for run in self.wholes:
            if (status := runs.status(run)) != "completed":
                raise SystemExit(f"{run.config().title} does not even end when nobody interrupts it: {status}.")

    # -- during

    def interrupt(self, tell: Callable[[str], object] = lambda line: None) -> None:
        """Interrupt, let go on, and compare, until enough has been seen and all that was begun is over."""
        with Watch(self.workspace) as watch:
            while True:
                now = time.monotonic()
                over = self.outcome.interruptions >= self.wanted or now > self.deadline
                if over and not self.underway and not self.scene.later:
                    break
                self.scene.tick()
                if not over and now >= self.next_strike:
                    self.strike(tell)
                self.prove()
                self.attend(more=not over)
                if now >= self.next_look:
                    self.next_look = now + 1
                    self.look(tell)
                time.sleep(TICK)
            self.see_off()
        self.outcome.doubled += watch.doubled
        self.outcome.workers_at_once, self.outcome.looks = watch.most, watch.looks
        self.outcome.longest_look = watch.longest
        self.outcome.starts_of_app = self.scene.app.starts

    def strike(self, tell: Callable[[str], object]) -> None:
        """Make an interruption; runs that one has not yet reached are spared."""
        self.next_strike = time.monotonic() + self.rng.expovariate(1 / self.every)
        try:
            made = self.deck.strike({id for one in self.open for id in one.runs if one.kind != "disk full"})
        except CatfishError:  # a wish cannot be written to a full disk
            self.outcome.refused += 1
            return
        if made is not None:
            self.open.append(made)
            tell(f"{self.outcome.interruptions:4} {made.kind}: {', '.join(id[-6:] for id in made.runs)}")

    def prove(self) -> None:
        """Count the interruptions of which it is known by now whether they hit."""
        for one in list(self.open):
            hit = one.hit()
            if hit is None and time.monotonic() - one.made < PATIENCE:
                continue
            self.open.remove(one)
            (self.outcome.counts if hit else self.outcome.missed)[one.kind] += 1
            for training in self.underway:
                training.struck += bool(hit) and training.run.id in one.runs

    def attend(self, more: bool) -> None:
        """Do what people do: let go on what does not run, look at what is done, start the app, submit the next."""
        if not self.scene.app.lives and self.rng.random() < ATTENTIVE / 5:
            with suppress(OSError):
                self.scene.app.start()
        for training in list(self.underway):
            if self.rng.random() < ATTENTIVE:
                self._attend(training)
        if more and len(self.underway) < SLOTS + WAITING:
            self._submit()

    def _attend(self, training: Training) -> None:
        run = training.run
        status = runs.status(run)
        if status == "completed":
            if not run.alive():
                self._conclude(training)
        elif status == "failed" and "disk is full" not in (said := _last_words(run)):
            self._lose(training, f"it failed: {said}")
        elif status not in runs.ACTIVE:
            try:
                queue.again(self.workspace, run)
                self.outcome.pressed += 1
            except CatfishError:
                self.outcome.refused += 1

    def _submit(self) -> None:
        """Let the next configuration wait for its turn; now and then what was computed for it before is gone."""
        if not self._turns:
            self._turns = self.rng.sample(self.wholes, len(self.wholes))
        whole = self._turns[-1]
        if self.rng.random() < 0.2:
            shutil.rmtree(self.workspace.features, ignore_errors=True)
        try:
            run = queue.submit(self.workspace, whole.config())
        except CatfishError:
            self.outcome.refused += 1
            return
        self._turns.pop()
        self.underway.append(Training(run, whole))

    def look(self, tell: Callable[[str], object]) -> None:
        """Notice runs that are no more where people look for them, and those of which nothing becomes."""
        now = time.monotonic()
        try:
            listed = {summary.run.id for summary in runs.listing(self.workspace)}
            shown = queue.overview(self.workspace)
            queued = {entry.id for entry in (*shown.running, *shown.waiting)}
        except CatfishError:  # a full disk
            return
        for training in list(self.underway):
            run = training.run
            if run.id not in listed:
                self._lose(training, "its directory has gone")
                continue
            state = (run.attempt.name, run.events_path.stat().st_size if run.events_path.exists() else 0)
            if state != training.state:
                training.state, training.changed = state, now
            status = runs.status(run)
            if run.id in queued or status not in runs.ACTIVE:
                training.seen = now
            if now - training.seen > UNSEEN:
                self._lose(training, f"it is {status}, but the queue does not know it")
            elif now - training.changed > STUCK or now > self.deadline + STUCK:
                self._lose(training, f"it is {status}, and nothing becomes of it")

    # -- what became of it

    def _conclude(self, training: Training) -> None:
        """Compare a run that is done with the one that was not interrupted."""
        run, outcome = training.run, self.outcome
        self.underway.remove(training)
        unlike = differences(run, training.whole)
        twice = two_at_once(run)
        if unlike:
            outcome.not_identical.append(f"{run.id}: {'; '.join(unlike[:3])}")
        outcome.doubled += twice
        outcome.finished += 1
        outcome.attempts += int(run.attempt.name)
        outcome.most_strikes = max(outcome.most_strikes, training.struck)
        outcome.untouched += not training.struck
        outcome.torn += sum(isinstance(event, Preparing) and "is damaged" in event.what for event in run.events()[0])
        if unlike or twice:
            self._keep(training)
        while run.path.exists():
            with suppress(CatfishError):
                runs.delete(run)

    def _lose(self, training: Training, why: str) -> None:
        self.underway.remove(training)
        self.outcome.lost.append(f"{training.run.id} ({training.run.config().title}): {why}")
        self._keep(training)
        with suppress(CatfishError):
            queue.stop(self.workspace, training.run)

    def _keep(self, training: Training) -> None:
        """Put a copy of the run's directory, and of its twin's, where it can be looked at."""
        if self.outcome.kept is None:
            self.outcome.kept = Path(tempfile.mkdtemp(prefix="catfish-faults-kept-"))
        for path in (training.run.path, training.whole.path, self.workspace.root / "dispatcher.log"):
            with suppress(OSError, shutil.Error):
                if path.is_dir():
                    shutil.copytree(path, self.outcome.kept / path.name, dirs_exist_ok=True)
                else:
                    shutil.copy(path, self.outcome.kept)

    def see_off(self) -> None:
        """All is over: a worker or shim that lives on has been forgotten by everybody."""
        until = time.monotonic() + 15
        while left := [one for one in living(self.workspace) if one.kind != "dispatcher"]:
            if time.monotonic() > until:
                self.outcome.doubled += [f"{one.about}: its {one.kind} lives on though it is over" for one in left]
                break
            time.sleep(TICK)

    def end(self) -> None:
        """End whatever still lives, and leave nothing behind."""
        self.scene.app.kill()
        end_all(self.workspace)
        self.disk.close()


def _last_words(run: Run) -> str:
    """What the run failed of; where that was the disk, a person frees some space and lets it go on."""
    failed = [event for event in events.tail(run.events_path) if isinstance(event, Failed)]
    return failed[-1].what if failed else ""
