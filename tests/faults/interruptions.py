"""The ways in which a training is interrupted. Each strikes whatever is under way, and knows whether it hit."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from catfish_core import events, runs
from catfish_core.events import NotSaved
from catfish_core.jobs import queue
from catfish_core.runs import Run
from catfish_core.workspace import Workspace
from tests.faults.disk import SmallDisk
from tests.faults.processes import App, Process, living

Hit = bool | None  # None: not known yet
LEFT = (0, 2**15, 2**20)  # bytes that a full disk takes all the same: nothing, a few lines of a log, no checkpoint
HELD = (0.5, 3.5)  # seconds for which a disk stays full, from and to
PATIENCE = 30.0  # seconds in which an interruption must have shown


@dataclass(frozen=True)
class Attempt:
    """What a run was doing when it was struck: which attempt it was, and how much it had told."""

    run: Run
    folder: Path
    told: int

    @classmethod
    def of(cls, run: Run) -> Attempt:
        """That which is under way now."""
        return cls(run, run.attempt, run.events_path.stat().st_size if run.events_path.exists() else 0)

    def interrupted(self) -> Hit:
        """Whether it has ended before the run was done; None while it lives."""
        if self.run.attempt != self.folder:
            return True
        status = runs.status(self.run)
        return None if status in runs.ACTIVE else status != "completed"

    def refused(self) -> bool:
        """Whether the disk refused it something: it says so, or it ended of it."""
        said = events.read(self.run.events_path, self.told)[0]
        return any(isinstance(event, NotSaved) for event in said) or bool(self.interrupted())


@dataclass
class Interruption:
    """One that was made: `hit` is asked until it is known; `runs` are the ids of those it struck."""

    kind: str
    runs: tuple[str, ...]
    hit: Callable[[], Hit]
    made: float = field(default_factory=time.monotonic)


@dataclass
class Scene:
    """What there is to strike. `later` holds what is due at a later moment: a disk that is freed again."""

    workspace: Workspace
    disk: SmallDisk
    app: App
    rng: random.Random
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    full: bool = False

    def soon(self, action: Callable[[], object]) -> None:
        """Have `action` done in a while."""
        self.later.append((time.monotonic() + self.rng.uniform(*HELD), action))

    def tick(self) -> None:
        """Do what is due."""
        due = [action for at, action in self.later if at <= time.monotonic()]
        self.later = [(at, action) for at, action in self.later if at > time.monotonic()]
        for action in due:
            action()


@dataclass(frozen=True)
class Target:
    """A run that is under way, with its worker and its shim."""

    scene: Scene
    run: Run
    worker: Process
    shim: Process | None

    def made(self, kind: str, hit: Callable[[], Hit]) -> Interruption:
        """An interruption of this run."""
        return Interruption(kind, (self.run.id,), hit)


def targets(scene: Scene) -> list[Target]:
    """The runs that have a worker now."""
    there = living(scene.workspace)
    shims = {process.pid: process for process in there if process.kind == "shim"}
    return [
        Target(scene, Run(scene.workspace.runs / process.about), process, shims.get(process.parent))
        for process in there
        if process.kind == "worker"
    ]


def _killed(target: Target, kind: str, *processes: Process | None) -> Interruption:
    """SIGKILL for all `processes`; it hit where one was there and the run is not done all the same."""
    there = [process.kill() for process in processes if process is not None]
    hit = any(there) and runs.status(target.run) != "completed"
    return target.made(kind, lambda: hit)


def kill_worker(target: Target) -> Interruption:
    """As the system does where memory runs out."""
    return _killed(target, "worker killed", target.worker)


def kill_shim(target: Target) -> Interruption:
    """The worker has to die with it."""
    return _killed(target, "shim killed", target.shim)


def kill_both(target: Target) -> Interruption:
    """The shim and its worker, in any order."""
    order = [target.worker, target.shim]
    target.scene.rng.shuffle(order)
    return _killed(target, "shim and worker killed", *order)


def terminate_worker(target: Target) -> Interruption:
    """SIGTERM, as at a shutdown."""
    before = Attempt.of(target.run)
    sent = target.worker.send(signal.SIGTERM)
    return target.made("worker told to end by SIGTERM", before.interrupted if sent else lambda: False)


def terminate_shim(target: Target) -> Interruption:
    """SIGTERM for the shim: it ends its worker."""
    before = Attempt.of(target.run)
    sent = target.shim is not None and target.shim.send(signal.SIGTERM)
    return target.made("shim told to end by SIGTERM", before.interrupted if sent else lambda: False)


def pause(target: Target) -> Interruption:
    """Somebody presses Pause."""
    before = Attempt.of(target.run)
    queue.pause(target.scene.workspace, target.run)
    return target.made("paused", before.interrupted)


def stop(target: Target) -> Interruption:
    """Somebody presses Stop, and later lets it go on."""
    before = Attempt.of(target.run)
    queue.stop(target.scene.workspace, target.run)
    return target.made("stopped", before.interrupted)


def pause_and_kill(target: Target) -> Interruption:
    """The worker is killed while it does what Pause asks of it."""
    queue.pause(target.scene.workspace, target.run)
    time.sleep(target.scene.rng.uniform(0, 0.25))
    return _killed(target, "killed while pausing", target.worker)


def kill_worker_then_dispatcher(target: Target) -> Interruption:
    """The dispatcher dies while it sees the attempt off and starts the next."""
    scene = target.scene
    made = _killed(target, "worker killed, and the dispatcher a moment later", target.worker)
    time.sleep(scene.rng.uniform(0, 0.5))
    killed = any([process.kill() for process in living(scene.workspace) if process.kind == "dispatcher"])
    return target.made(made.kind, lambda: bool(made.hit() and killed))


def kill_twice(target: Target) -> Interruption:
    """The next attempt is killed as well, while it is about to begin."""
    scene, before = target.scene, target.run.attempt
    made = _killed(target, "killed, and its next attempt as it began", target.shim, target.worker)
    until = time.monotonic() + 1
    while target.run.attempt == before and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(scene.rng.uniform(0, 0.4))
    for process in living(scene.workspace):
        if process.about == target.run.id:
            process.kill()
    return target.made(made.kind, lambda: bool(made.hit() and target.run.attempt != before))


def tear_checkpoint(target: Target) -> Interruption | None:
    """The worker is killed, and the newest checkpoint is torn; now and then the one before as well."""
    rng, kind = target.scene.rng, "killed, and the last checkpoint torn"
    last, previous = (target.run.checkpoints / name for name in ("last.pt", "previous.pt"))
    if not last.exists():
        return None
    made = _killed(target, kind, target.shim, target.worker)
    if not made.hit():  # it was done at that very moment: nobody reads its checkpoint any more
        return made
    torn = [_tear(path, rng) for path in ([last, previous] if rng.random() < 0.2 else [last])]
    return target.made(kind, lambda: torn[0])


def _tear(path: Path, rng: random.Random) -> bool:
    """Cut `path` off, make its end nothing but zeros, or change a byte, as bad disks do; False where it is empty."""
    with suppress(FileNotFoundError), open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return False
        place, way = rng.randrange(size), rng.choice(("cut", "zeros", "byte", "empty"))
        file.seek(place)
        if way == "byte":
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << rng.randrange(8)]))
        else:
            file.truncate(0 if way == "empty" else place)
            if way == "zeros":
                file.truncate(size)
        return True
    return False


def tear_log(target: Target) -> Interruption:
    """The worker is killed in the middle of a line of its log."""
    line = json.dumps({"type": "BatchEnd", "time": time.time(), "epoch": 0, "batch": 0, "step": 10**9, "loss": 0.0})
    made = _killed(target, "killed, and half a line left in its log", target.shim, target.worker)
    if made.hit():
        with suppress(OSError), open(target.run.events_path, "ab") as log:
            log.write(line.encode()[: target.scene.rng.randrange(1, len(line))])
    return made


def refuse_worker(target: Target) -> Interruption:
    """The disk takes no large file from this one worker for a while, as where a quota is used up, or nothing more."""
    before, kind = Attempt.of(target.run), "quota used up"

    def limit(size: int) -> bool:
        with suppress(ProcessLookupError):
            if target.worker.lives():
                hard = resource.prlimit(target.worker.pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(target.worker.pid, resource.RLIMIT_FSIZE, (size, hard))
                return True
        return False

    if not limit(target.scene.rng.choice(LEFT)):
        return target.made(kind, lambda: False)
    target.scene.soon(lambda: limit(resource.RLIM_INFINITY))
    return target.made(kind, lambda: True if before.refused() else before.interrupted())


def fill_disk(scene: Scene, there: list[Target]) -> Interruption:
    """Hardly a byte is free for a while: for checkpoints, logs, models, the queue, and what people do."""
    struck = [Attempt.of(target.run) for target in there]
    scene.disk.fill(scene.rng.choice(LEFT))
    scene.full = True

    def free() -> None:
        scene.disk.free()
        scene.full = False

    scene.soon(free)
    return Interruption(
        "disk full",
        tuple(one.run.id for one in struck),
        lambda: True if any(one.refused() for one in struck) else None,
    )


def kill_dispatcher(scene: Scene, there: list[Target]) -> Interruption:
    """Whoever finds out starts another."""
    killed = any([process.kill() for process in living(scene.workspace) if process.kind == "dispatcher"])
    return Interruption("dispatcher killed", tuple(target.run.id for target in there), lambda: killed)


def kill_app(scene: Scene, there: list[Target]) -> Interruption:
    """The server dies; somebody starts it again."""
    killed = scene.app.kill()
    return Interruption("app killed", tuple(target.run.id for target in there), lambda: killed)


def kill_everything(scene: Scene, there: list[Target]) -> Interruption:
    """All at once, as when the machine is reset."""
    scene.app.kill()
    order = living(scene.workspace)
    scene.rng.shuffle(order)
    for process in order:
        process.send(signal.SIGKILL)
    while any(process.lives() for process in order):
        time.sleep(0.001)
    struck = tuple(target.run.id for target in there if runs.status(target.run) != "completed")
    return Interruption("everything killed at once", struck, lambda: bool(struck))


OF_ONE: dict[Callable[[Target], Interruption | None], int] = {
    kill_worker: 4, kill_shim: 2, kill_both: 2, terminate_worker: 2, terminate_shim: 1, pause: 2, stop: 2,
    pause_and_kill: 2, kill_worker_then_dispatcher: 2, kill_twice: 2, tear_checkpoint: 3, tear_log: 1,
    refuse_worker: 2,
}  # fmt: skip
OF_ALL: dict[Callable[[Scene, list[Target]], Interruption], int] = {
    kill_dispatcher: 3, kill_app: 2, kill_everything: 2, fill_disk: 2,
}  # fmt: skip
Card = Callable[[Target], Interruption | None] | Callable[[Scene, list[Target]], Interruption]


class Deck:
    """The kinds of interruptions, shuffled and dealt to the last one before they are shuffled again."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.cards: list[Card] = []

    def strike(self, spared: set[str]) -> Interruption | None:
        """Make the next interruption; None where it has nothing to strike. Who is `spared` is left alone.

        Raises CatfishError where a wish cannot be written to a full disk.
        """
        there = targets(self.scene)
        single = [target for target in there if target.run.id not in spared]
        if not self.cards:
            self.cards = [card for kinds in (OF_ONE, OF_ALL) for card, often in kinds.items() for _ in range(often)]
            self.cards = [card for card in self.cards if card is not fill_disk or self.scene.disk.own]
            self.scene.rng.shuffle(self.cards)
        card = self.cards.pop()
        made = None
        if card in OF_ONE and single:
            made = card(self.scene.rng.choice(single))
        elif card in OF_ALL and there and not (card is fill_disk and self.scene.full):
            made = card(self.scene, there)
        if made is None:
            self.cards.insert(0, card)
        return made
