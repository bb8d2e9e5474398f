"""Runs that look finished, broken or busy without any training, and pages opened by Streamlit's test runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from catfish_core import runs, sweeps
from catfish_core.config import RunConfig, SweepConfig, parse, parse_sweep
from catfish_core.events import (
    BatchEnd,
    Completed,
    EpochEnd,
    Event,
    EventLog,
    Preparing,
    Started,
    Tested,
)
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace, write_text

ROOT = Path(__file__).parents[2]
NASTY = ("<img src=x onerror=alert(1)>", "**bold** :smile: [a](http://b)", "🐟 $x^2$ `code`", "a/b\"'&amp;")


@pytest.fixture
def open_page(workspace: Workspace) -> Callable[..., AppTest]:
    """open_page("runs", run=...): that page through the router, run once; nothing may have gone wrong in it."""

    def open_it(name: str = "home", **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "catfish_ui" / "main.py"), default_timeout=30).run()
        for key, value in query.items():
            app.query_params[key] = value
        if name != "home":
            app.switch_page(f"../pages/{name}.py").run()
        assert not app.exception, app.exception
        return app

    return open_it


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Pages may start nothing here; what they would have started is listed."""
    from catfish_core.data import library
    from catfish_core.jobs import queue
    from catfish_core.lab import usage
    from catfish_core.serving import client

    started: list[Any] = []
    submit, submit_sweep, again = queue.submit, queue.submit_sweep, queue.again

    def noted(job: Any) -> Any:
        started.append(job)
        return job

    monkeypatch.setattr(queue, "submit", lambda *given: noted(submit(*given)))
    monkeypatch.setattr(queue, "submit_sweep", lambda *given: noted(submit_sweep(*given)))
    monkeypatch.setattr(queue, "again", lambda ws, job, *first: again(ws, noted(job), *first))
    monkeypatch.setattr(queue, "ensure_dispatcher", lambda ws: None)
    monkeypatch.setattr(client, "warm_up", lambda ws: None)
    monkeypatch.setattr(usage, "spawn", lambda *given, log: None)
    monkeypatch.setattr(library, "start_prepare", lambda ws, id: started.append(id))
    yield started


def curve(epochs: int, classes: tuple[str, ...] = ("cat", "fish"), planned: int | None = None) -> Iterator[Event]:
    """What a run of `epochs` epochs of two batches says; the validation loss turns up in the second half."""
    samples = {"train": 400, "val": 100, "test": 100}
    yield Preparing(what="Starting up")
    yield Started(
        classes=classes,
        samples=samples,
        batches=2,
        epochs=planned or epochs,
        parameters=1000,
        trained=1000,
        device="cpu",
        dataset_version="v",
    )
    for epoch in range(epochs):
        train = 0.7 * 0.8**epoch
        for batch in range(2):
            step = epoch * 2 + batch
            yield BatchEnd(
                epoch=epoch, batch=batch, step=step, loss=train + 0.05 * batch, lr=1e-3, images_per_second=900
            )
        half = epochs / 2
        val = 0.7 * 0.85 ** min(epoch, half) * (1 + 0.12 * max(0.0, epoch - half))
        yield EpochEnd(
            epoch=epoch,
            train_loss=train,
            train_accuracy=min(0.99, 0.6 + 0.05 * epoch),
            val_loss=val,
            val_accuracy=min(0.85, 0.6 + 0.05 * epoch),
            lr=1e-3,
            seconds=1.5,
            images_per_second=900,
            improved=epoch <= half,
            best_epoch=int(min(epoch, half)),
            best_val_accuracy=min(0.85, 0.6 + 0.05 * epoch),
        )


def report(classes: tuple[str, ...], samples: int = 20) -> dict[str, Any]:
    """A test report in which every fifth photo of a class is taken for the next one."""
    said = []
    confusion = [[0] * len(classes) for _ in classes]
    for i in range(samples):
        label = i % len(classes)
        predicted = (label + 1) % len(classes) if i % 5 == 0 else label
        confusion[label][predicted] += 1
        rest = 0.1 / max(1, len(classes) - 1)
        said.append(
            {
                "name": f"test/{i}.jpg",
                "label": label,
                "predicted": predicted,
                "probabilities": [0.9 if c == predicted else rest for c in range(len(classes))],
            }
        )
    support = [sum(row) for row in confusion]
    return {
        "loss": 0.3,
        "accuracy": 0.8,
        "low": 0.71,
        "high": 0.87,
        "samples": samples,
        "classes": list(classes),
        "confusion": confusion,
        "per_class": [
            {"name": name, "precision": None if n == 0 else 0.8, "recall": 0.8, "support": support[n]}
            for n, name in enumerate(classes)
        ],
        "predictions": said,
    }


class Make:
    """Run directories as a worker would leave them."""

    def __init__(self, workspace: Workspace, whole_sweep: Callable[[SweepConfig], list[Event]]) -> None:
        self.workspace, self.whole_sweep = workspace, whole_sweep

    def run(self, events: list[Event] | Iterator[Event], **settings: Any) -> Run:
        """A run that has said `events`; `settings` are sections of its configuration."""
        run = runs.create(self.workspace, parse(settings) if settings else RunConfig())
        (run.attempt / "started.json").write_text('{"pid": 0}')
        with EventLog(run.events_path) as log:
            for event in events:
                log.append(event)
        return run

    def finished(self, classes: tuple[str, ...] = ("cat", "fish"), epochs: int = 8, **settings: Any) -> Run:
        """A completed run with a report and a description of its model."""
        told = report(classes)
        ending: list[Event] = [
            Tested(loss=0.3, accuracy=0.8, low=0.71, high=0.87, samples=20),
            Completed(best_epoch=epochs // 2, best_val_accuracy=0.85, seconds=12.0),
        ]
        run = self.run([*curve(epochs, classes), *ending], **settings)
        write_text(run.report_path, json.dumps(told))
        model = {"schema_version": 1, "model": {"arch": "simple_cnn"}, "classes": classes, "image_size": 64}
        write_text(run.path / "model.json", json.dumps(model))
        run.model_path.write_bytes(b"weights")
        return run

    def sweep(
        self, events: list[Event] | Iterator[Event], settings: SweepConfig | None = None, **sections: Any
    ) -> Sweep:
        """A sweep that has said `events`; `sections` are those of its configuration."""
        config = parse(sections) if sections else RunConfig()
        sweep = sweeps.create(self.workspace, config, settings or SweepConfig())
        (sweep.attempt / "started.json").write_text('{"pid": 0}')
        with EventLog(sweep.events_path) as log:
            for event in events:
                log.append(event)
        return sweep

    def finished_sweep(self, sections: dict[str, Any] | None = None, **settings: Any) -> Sweep:
        """A completed sweep with advice and probes; `settings` are fields of its SweepConfig."""
        chosen = parse_sweep(settings)
        return self.sweep(self.whole_sweep(chosen), chosen, **(sections or {}))

    def damaged(self) -> Run:
        """A run whose configuration is not JSON and whose last event is torn."""
        run = self.finished()
        (run.path / "config.json").write_text("{ not json")
        with open(run.events_path, "ab") as file:
            file.write(b'{"type": "Compl')
        return run


@pytest.fixture
def nasty() -> tuple[str, ...]:
    """Class names that a page must show as they are."""
    return NASTY


@pytest.fixture
def events() -> Callable[..., Iterator[Event]]:
    """events(epochs): what a run of so many epochs says."""
    return curve


@pytest.fixture
def make(workspace: Workspace, whole_sweep: Callable[[SweepConfig], list[Event]]) -> Make:
    """make.finished(), make.damaged(), make.run(events): run directories; make.sweep(events): sweep directories."""
    return Make(workspace, whole_sweep)
