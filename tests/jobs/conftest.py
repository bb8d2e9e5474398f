"""What tests of the queue share: a shim, a clock and a launcher that are played, and processes that do little."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from catfish_core.config import DataConfig, ModelConfig, RunConfig
from catfish_core.errors import CatfishError
from catfish_core.events import Completed, Event, EventLog, Paused, to_json
from catfish_core.jobs import devices, directory, queue, shim
from catfish_core.jobs.dispatcher import Dispatcher
from catfish_core.jobs.launcher import Spec, State, environment, remains
from catfish_core.runs import Run
from catfish_core.workspace import Workspace

Wait = Callable[..., Any]
CONFIG = RunConfig(data=DataConfig(dataset="tiny", image_size=16), model=ModelConfig(arch="simple_cnn"))
DONE = Completed(best_epoch=0, best_val_accuracy=0.5, seconds=1.0)
RESTED = Paused(epoch=0, kept_epoch=None, seconds=1.0)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Submissions start no dispatcher; the modules that would have been started."""
    begun: list[str] = []
    monkeypatch.setattr(queue, "spawn", lambda module, *_, **__: begun.append(module) or 0)
    return begun


@dataclass
class Clock:
    """Time that passes when a test says so; what people's clocks show is another matter."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Played:
    """A launcher whose shims are played: they claim, hold their lock, and end when a test says so."""

    starts: list[Path] = field(default_factory=list)
    held: dict[Path, int] = field(default_factory=dict)
    killed: list[Path] = field(default_factory=list)
    claims: bool = True  # whether what is submitted is claimed at once
    dying: bool = False  # whether what is killed takes its time
    refuses: CatfishError | OSError | None = None

    def submit(self, spec: Spec) -> str:
        if self.refuses:
            raise self.refuses
        self.starts.append(spec.attempt)
        if self.claims:
            self.claim(spec.attempt, spec.environment[shim.SLOT])
        return spec.key

    def claim(self, attempt: Path, slot: str = "cpu") -> None:
        """The shim's first step."""
        held = os.open(attempt / "claim", os.O_CREAT | os.O_EXCL | os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.write(held, json.dumps({"pid": 0, "born": "", "slot": slot}).encode())
        assert attempt not in self.held
        self.held[attempt] = held

    def poll(self, keys: Iterable[str]) -> dict[str, State]:
        return {key: directory.stands(Path(key)) for key in keys}

    def stop(self, key: str, grace: float) -> None:
        raise AssertionError("the dispatcher leaves that to the queue")

    def kill(self, key: str) -> bool:
        self.killed.append(Path(key))
        self.die(Path(key))
        return self.dying

    def logs(self, key: str, offset: int, limit: int) -> tuple[bytes, int]:
        return b"", 0

    def end(self, attempt: Path, event: Event | None = DONE) -> None:
        """Its worker says `event` and ends, and the shim says so."""
        if event is not None:
            with EventLog(attempt.parents[1] / "events.jsonl") as log:
                log.append(event)
        (attempt / "exit.json").write_text(json.dumps({"code": 0, "signal": None, "reason": "ended"}))
        self.die(attempt)

    def die(self, attempt: Path) -> None:
        """Shim and worker vanish without a word."""
        if attempt in self.held:
            os.close(self.held.pop(attempt))


@dataclass
class Lab:
    """A workspace, its dispatcher and the launcher that is played, on a clock that a test sets."""

    workspace: Workspace
    clock: Clock
    launcher: Played
    dispatcher: Dispatcher
    memory: int = 64 * 2**30

    def slots(self, cpu: int, **settings: Any) -> None:
        """How many jobs the processor takes at once; other settings of lab.json."""
        self.workspace.root.mkdir(parents=True, exist_ok=True)
        (self.workspace.root / "lab.json").write_text(json.dumps({"slots": {"cpu": cpu}, **settings}))

    def submit(self, owner: str = "", priority: int = 0, key: str = "") -> Run:
        return queue.submit(self.workspace, CONFIG, owner, priority, key=key)

    def round(self, passing: float = 0.1) -> bool:
        """One round of the dispatcher, after so many seconds."""
        self.clock.now += passing
        return self.dispatcher.step()

    @property
    def started(self) -> list[str]:
        """The ids of what was started, in order."""
        return [attempt.parents[1].name for attempt in self.launcher.starts]

    @property
    def waiting(self) -> list[str]:
        return [entry.id for entry in queue.overview(self.workspace).waiting]

    @property
    def running(self) -> list[str]:
        return [entry.id for entry in queue.overview(self.workspace).running]


@pytest.fixture
def lab(workspace: Workspace, quiet: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A dispatcher in charge of an empty workspace with one slot on the processor; see `Lab`."""
    monkeypatch.setattr(devices, "cards", lambda: ())
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no power cut here, and hundreds of files
    clock, launcher = Clock(), Played()
    made = Lab(workspace, clock, launcher, Dispatcher(workspace, launcher, clock))
    there = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=made.memory))
    monkeypatch.setattr(queue, "psutil", there)
    monkeypatch.setattr(queue, "time", SimpleNamespace(monotonic=clock, time=time.time))
    made.slots(1)
    assert made.dispatcher.take_charge()
    yield made
    made.dispatcher.close()
    for attempt in list(launcher.held):
        launcher.die(attempt)


# What the real dispatcher runs in these tests in place of a worker: it writes down that it was started, and its end.
LITTLE = """
import json, os, pathlib, sys, time
job = pathlib.Path(sys.argv[1])
line = json.dumps({"id": job.name, "pid": os.getpid(), "attempt": os.environ["CATFISH_ATTEMPT"], "time": time.time()})
starts = os.open(job.parents[1] / "starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(starts, line.encode() + b"\\n")
end = time.monotonic() + SECONDS
while time.monotonic() < end and not any((job / "attempts/1" / wish).exists() for wish in ("stop", "pause")):
    time.sleep(0.01)
with open(job / "events.jsonl", "a") as log:
    log.write(DONE + "\\n")
"""
MAIN = """
import sys
from dataclasses import replace
from catfish_core.jobs import devices, dispatcher, launcher
class Little(launcher.LocalLauncher):
    def submit(self, spec):
        command = (sys.executable, "-I", "-S", "-c", sys.argv[2], spec.command[-1])
        return super().submit(replace(spec, command=command))
dispatcher.LocalLauncher = Little
sys.exit(dispatcher.main(sys.argv[1:2]))
"""


@dataclass
class Real:
    """Real dispatchers of one workspace whose workers do next to nothing."""

    workspace: Workspace
    begun: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def dispatcher(self, seconds: float = 0.0, before: str = "") -> subprocess.Popen[bytes]:
        """Start one; the workers it starts take so many seconds after they did what is `before`."""
        program = LITTLE.replace("SECONDS", str(seconds)).replace("DONE", repr(to_json(DONE)))
        program = program.replace("end = time", f"{before}\nend = time", 1)
        self.workspace.root.mkdir(parents=True, exist_ok=True)
        with open(self.workspace.root / "dispatcher.log", "ab") as log:
            command = [sys.executable, "-c", MAIN, os.fspath(self.workspace.root), program]
            self.begun.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        return self.begun[-1]

    def starts(self) -> Counter[str]:
        """How often the worker of each job was started."""
        return Counter(start["id"] for start in self.told())

    def told(self) -> list[dict[str, Any]]:
        """What workers wrote down when they were started, in order."""
        try:
            return [json.loads(line) for line in (self.workspace.root / "starts").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def log(self) -> str:
        return (self.workspace.root / "dispatcher.log").read_text()


@pytest.fixture
def real(workspace: Workspace, quiet: list[str]) -> Iterator[Real]:
    """Real dispatchers; they end with the test, and what they started ends with the workspace."""
    made = Real(workspace)
    yield made
    for process in made.begun:
        with process:
            process.kill()


@pytest.fixture
def wait_until() -> Wait:
    """wait_until(condition, seconds): its value once it is true; fails when it stays false."""

    def wait(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.01)
        pytest.fail(f"still not true after {seconds} s")

    return wait


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Path]:
    """The folder of an attempt; what is left of it is ended with the test."""
    folder = tmp_path / "job" / "attempts" / "1"
    folder.mkdir(parents=True)
    yield folder
    for process in remains(folder):
        process.kill()


@pytest.fixture
def stand_by(attempt: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """stand_by(program): a shim that runs the Python program in `attempt`."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(program: str = "") -> subprocess.Popen[bytes]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-I", "-S", shim.__file__, attempt, sys.executable, "-I", "-S", "-c", program],
                env={**os.environ, **environment(attempt)},
                start_new_session=True,
                stderr=subprocess.DEVNULL,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        with process:
            process.kill()
