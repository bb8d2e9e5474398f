"""Whether a run that was interrupted ended as the one that was not: to the last bit, in all that it left."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from catfish_core import events
from catfish_core.errors import UNREADABLE_TENSORS
from catfish_core.events import BatchEnd, Event, NotSaved, Preparing, Resumed, Started
from catfish_core.jobs.directory import told
from catfish_core.runs import Run
from catfish_core.training import session
from catfish_core.workspace import Workspace

MEASURED = ("time", "seconds", "test_seconds", "images_per_second")  # by the clock


def differences(run: Run, whole: Run) -> list[str]:
    """In what `run` differs from `whole`, which was never interrupted: curve, weights, answers, last checkpoint."""
    found = []
    if curve(run) != curve(whole):
        found.append(_first(curve(run), curve(whole)))
    for name in ("model.safetensors", "report.json"):
        if (run.path / name).read_bytes() != (whole.path / name).read_bytes():
            found.append(f"{name} is another")
    try:
        states = [torch.load(each.checkpoints / "last.pt", weights_only=True) for each in (run, whole)]
    except (OSError, *UNREADABLE_TENSORS) as error:
        return [*found, f"last.pt cannot be read: {error!r}"]
    if states[0]["step"] < states[1]["step"] and _refused(run):
        states[0] = _gone_on(run)  # there was no room for a newer one: from the older it must come to the same
    return found + _unlike("last.pt", *states)


def _refused(run: Run) -> bool:
    """Whether the last attempt of `run` told that the disk refused its state."""
    log = run.events()[0]
    begun = max(n for n, event in enumerate(log) if isinstance(event, Started))
    return any(isinstance(event, NotSaved) for event in log[begun:])


def _gone_on(run: Run) -> dict[str, Any]:
    """The last checkpoint of a copy of `run`, trained from the one that is there to its end."""
    workspace = Workspace(run.path.parents[1])
    with tempfile.TemporaryDirectory(prefix="catfish-faults-") as folder:
        elsewhere = Workspace(Path(folder))
        elsewhere.datasets.symlink_to(workspace.datasets)
        copy = Run(shutil.copytree(run.path, elsewhere.runs / run.id))
        for _ in session.train(copy, lambda: False):
            pass
        state: dict[str, Any] = torch.load(copy.checkpoints / "last.pt", weights_only=True)
        return state


def curve(run: Run) -> list[dict[str, Any]]:
    """What `run` says once what was told twice is folded away, without what the clock decides."""
    return [
        {"type": type(event).__name__, **{k: v for k, v in vars(event).items() if k not in MEASURED}}
        for event in events.effective(run.events()[0])
        if not isinstance(event, Preparing)
    ]


def _first(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            return f"the curve differs first in {a}, which was {b}"
    return f"the curve has {len(ours)} events, which were {len(theirs)}"


def _unlike(where: str, a: Any, b: Any) -> list[str]:
    """The places at which two things made of dictionaries, lists, tensors and plain values differ."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        alike = a.dtype == b.dtype and a.shape == b.shape and bytes(_raw(a)) == bytes(_raw(b))
    elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [place for key in a for place in _unlike(f"{where}/{key}", a[key], b[key])]
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [place for n in range(len(a)) for place in _unlike(f"{where}/{n}", a[n], b[n])]
    else:
        alike = a == b
    return [] if alike else [f"{where} is another"]


def _raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def two_at_once(run: Run) -> list[str]:
    """Signs in what `run` wrote down that two of its attempts were under way at the same time.

    Each attempt's steps follow one another, so that two writers would be seen in one log; and none was started
    before the one before it had said how it ended, where it could say so.
    """
    found = [f"{run.id}: {fault}" for fault in _strange(run.events()[0])]
    spans = [
        (told(folder / "started.json").get("time"), told(folder / "exit.json").get("ended"))
        for folder in sorted(_attempts(run), key=lambda path: int(path.name))
    ]
    known = [(began, ended) for began, ended in spans if began is not None]
    for (_, ended), (began, _) in zip(known, known[1:], strict=False):
        if ended is not None and began < ended:
            found.append(f"{run.id}: an attempt was started {ended - began:.2f} s before the one before it ended")
    return found


def _attempts(run: Run) -> list[Path]:
    return [path for path in (run.path / "attempts").iterdir() if path.name.isdigit()]


def _strange(log: list[Event]) -> list[str]:
    """Steps that do not follow the one before them, within one attempt."""
    found, expected = [], None
    for event in log:
        if isinstance(event, Started):
            expected = None
        elif isinstance(event, Resumed):
            expected = event.step
        elif isinstance(event, BatchEnd):
            if expected is not None and event.step != expected:
                found.append(f"step {event.step} was told where {expected} had to come")
            expected = event.step + 1
    return found
