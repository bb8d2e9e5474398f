"""`datasets list | prepare | add | remove`.  [no torch]"""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Generator
from pathlib import Path
from typing import Any

from catfish_core import catalog
from catfish_core.cli.terminal import Bar, remark, say, say_json, table
from catfish_core.data import library
from catfish_core.data.library import DatasetInfo
from catfish_core.errors import DatasetError
from catfish_core.events import Preparing, drain
from catfish_core.workspace import Workspace, write_text

SHOWN_PROBLEMS = 10
ORIGIN = "origin.json"  # in a dataset's folder: what the command line imported it from


def show_all(asked: Namespace) -> int:
    """Every dataset that is ready, then the built-in ones that could be."""
    workspace = Workspace.default()
    ready = library.listing(workspace)
    known = {info.id for info in ready}
    waiting = [builtin for builtin in catalog.BUILTIN_DATASETS if builtin.id not in known]
    if asked.json:
        say_json([as_plain(info) for info in ready] + [_waiting(builtin) for builtin in waiting])
        return 0
    rows: list[tuple[object, ...]] = [(i.id, i.name, i.total, _classes(i.classes), "ready") for i in ready]
    rows += [(b.id, b.name, "–", _classes(b.classes), f"`datasets prepare {b.id}`") for b in waiting]
    table(("ID", "NAME", "PHOTOS", "CLASSES", ""), rows)
    return 0


def prepare(asked: Namespace) -> int:
    """Draw or fetch a built-in dataset; nothing to do where it is ready."""
    workspace = Workspace.default()
    with Bar() as bar:
        for step in library.prepare(workspace, asked.id):
            bar.show(step.what, step.done, step.total, step.unit)
    return _report(asked, library.info(workspace, asked.id))


def add(asked: Namespace) -> int:
    """Import a zip or folder."""
    return _report(asked, bring(Workspace.default(), asked.name, asked.source))


def remove(asked: Namespace) -> int:
    """Remove a dataset."""
    workspace = Workspace.default()
    library.info(workspace, asked.id)  # says so where there is none
    library.delete(workspace, asked.id)
    if asked.json:
        say_json({"removed": asked.id})
    else:
        say(f"Removed {asked.id}.")
    return 0


def bring(workspace: Workspace, name: str, source: Path) -> DatasetInfo:
    """Import `source` as `name`, with a bar."""
    if not source.exists():
        raise DatasetError(f"There is nothing at {source}.", "Give the path of a zip or of a folder with photos.")
    origin = _origin(source)
    info = _finish(library.add(workspace, name, source))
    write_text(workspace.datasets / info.id / ORIGIN, json.dumps(origin) + "\n")
    return info


def imported_before(workspace: Workspace, source: Path) -> str | None:
    """Id of the dataset that was imported from `source` as it is now; None where there is none."""
    origin = _origin(source)
    for info in library.listing(workspace):
        try:
            if json.loads((workspace.datasets / info.id / ORIGIN).read_text(encoding="utf-8")) == origin:
                return info.id
        except (OSError, ValueError):
            continue
    return None


def _origin(source: Path) -> dict[str, str]:
    """Where `source` is and a fingerprint of the sizes and times of its files: another one, once any changed."""
    source = source.resolve()
    digest = hashlib.sha256()
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        about = file.lstat()
        digest.update(
            f"{file.relative_to(source)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "replace")
        )
    return {"path": str(source), "fingerprint": digest.hexdigest()[:16]}


def _finish(steps: Generator[Preparing, None, DatasetInfo]) -> DatasetInfo:
    with Bar() as bar:
        return drain(steps, lambda step: bar.show(step.what, step.done, step.total, step.unit))


def as_plain(info: DatasetInfo) -> dict[str, Any]:
    """A dataset as plain values."""
    return {
        "id": info.id,
        "name": info.name,
        "about": info.about,
        "ready": True,
        "source": info.source,
        "classes": info.classes,
        "counts": info.counts,
        "total": info.total,
        "version": info.version,
        "created": info.created,
        "problems": [{"file": problem.file, "reason": problem.reason} for problem in info.problems],
    }


def _waiting(builtin: catalog.BuiltinDataset) -> dict[str, Any]:
    plain = {"id": builtin.id, "name": builtin.name, "about": builtin.about, "ready": False}
    return {**plain, "classes": builtin.classes, "megabytes": builtin.megabytes}


def _report(asked: Namespace, info: DatasetInfo) -> int:
    if asked.json:
        say_json(as_plain(info))
        return 0
    say(f"{info.name} is ready as “{info.id}”: {info.total:,} photos, {_classes(info.classes)}.")
    table(("", *library.SPLITS), _counts(info))
    for problem in info.problems[:SHOWN_PROBLEMS]:
        remark(f"left out: {problem.file}: {problem.reason}")
    if len(info.problems) > SHOWN_PROBLEMS:
        remark(f"… and {len(info.problems) - SHOWN_PROBLEMS} more; `datasets list --json` names them all.")
    return 0


def _counts(info: DatasetInfo) -> list[tuple[object, ...]]:
    shown = list(enumerate(info.classes))[:20]
    return [(name, *(info.counts[split][i] for split in library.SPLITS)) for i, name in shown]


def _classes(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more classes"
