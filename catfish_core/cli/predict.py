"""`predict` and `evaluate`: what a trained network says. The same functions as in the service, in this process."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catfish_core.cli import runs
from catfish_core.cli.terminal import Bar, complain, percent, remark, say, say_json, table
from catfish_core.data.photos import SUFFIXES
from catfish_core.errors import ModelError, RunError, storage_faults
from catfish_core.workspace import slug

if TYPE_CHECKING:
    from catfish_core.models.saved import Saved
    from catfish_core.serving.inference import Look

OPACITY = 0.5  # of the heatmap over the photo
SHOWN_CLASSES = 3

Result = dict[str, Any]


def predict(asked: Namespace) -> int:
    """Predict each photo; 1 when any could not be read, after all the others were answered."""
    run = runs.find(asked.run, with_model=True)
    paths = list(_photos(asked.images))
    if not paths:
        complain("There are no photos in what was named.")
        return 1
    results = []
    with Bar() as bar:
        for result in _results(asked, run.path, paths):
            results.append(result)
            bar.clear()
            if "error" in result:
                complain(str(result["error"]))
            elif not asked.json:
                say(_line(result))
            bar.show("Looking", len(results), len(paths), "photos")
    if asked.json:
        say_json(results)
    elif asked.cam:
        remark(f"The heatmaps are in {asked.cam}.")
    return 1 if any("error" in result for result in results) else 0


def _results(asked: Namespace, run: Path, paths: Sequence[Path]) -> Iterator[Result]:
    """One object a photo, as the network gets through them."""
    from catfish_core.models import saved
    from catfish_core.serving.inference import look  # torch: seconds

    model = saved.load(run)
    target = _target(model, asked.explain)
    looks = look(
        model, [(str(path), path) for path in paths], layer=asked.layer, target=target, heatmaps=asked.cam is not None
    )
    for number, (path, seen) in enumerate(zip(paths, looks, strict=True), 1):
        if seen.error is not None:
            yield {"path": str(path), "label": None, "probabilities": {}, "error": seen.error}
            continue
        probabilities = dict(zip(model.classes, seen.probabilities, strict=True))
        result: Result = {"path": str(path), "label": model.classes[seen.predicted], "probabilities": probabilities}
        if asked.cam is not None:
            result["cam"] = str(_write_cam(asked.cam, f"{number:04d}-{slug(path.stem, 'photo')}.jpg", seen))
        yield result


def _photos(named: Sequence[Path]) -> Iterator[Path]:
    """What was named, folders opened; a file is taken whatever it is called."""
    for path in named:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            yield path


def _target(model: Saved, name: str | None) -> int | None:
    if name is None:
        return None
    if name not in (classes := model.classes):
        known = ", ".join(classes[:20])
        raise ModelError(f"This model knows no class called “{name}”.", f"It knows: {known}.")
    return classes.index(name)


def _write_cam(folder: Path, name: str, seen: Look) -> Path:
    """The photo under its heatmap, as `folder`/`name`; the photo's own name never decides where it goes."""
    from catfish_core.analysis.predict import overlay

    path = folder / name
    assert seen.shown is not None and seen.heatmap is not None
    with storage_faults(path):
        folder.mkdir(parents=True, exist_ok=True)
        overlay(seen.shown, seen.heatmap, OPACITY).save(path, "JPEG", quality=92)
    return path


def _line(result: Result) -> str:
    likely = sorted(result["probabilities"].items(), key=lambda item: -item[1])[:SHOWN_CLASSES]
    return f"{result['path']}: {', '.join(f'{name} {percent(p)}' for name, p in likely)}"


def evaluate(asked: Namespace) -> int:
    """Measure the kept weights on the test split again."""
    run = runs.find(asked.run, with_model=True)
    if run.alive():
        raise RunError("This run is still training.", "It measures itself when it is done; wait, or stop it first.")
    from catfish_core.training.session import reevaluate  # torch: seconds

    report = json.loads(reevaluate(run).to_json())
    if asked.json:
        say_json({"run": run.id, **report})
    else:
        _tell(run.id, report)
    return 0


def _tell(id: str, report: dict[str, Any]) -> None:
    loss = "–" if report["loss"] is None else f"{report['loss']:.4f}"
    say(f"Run {id}")
    say(
        f"Test: {percent(report['accuracy'])} of {report['samples']:,} photos right "
        f"(95 % interval: {percent(report['low'])} to {percent(report['high'])}), loss {loss}."
    )
    say()
    rows = [(c["name"], percent(c["precision"]), percent(c["recall"]), c["support"]) for c in report["per_class"]]
    table(("CLASS", "PRECISION", "RECALL", "PHOTOS"), rows)
    if len(names := report["classes"]) <= SHOWN_CLASSES * 4:
        say()
        confused = zip(names, report["confusion"], strict=True)
        table(("TRUE \\ SAID", *names), [(name, *counts) for name, counts in confused])
