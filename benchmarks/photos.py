"""The photos of a benchmark: found, imported into a workspace of its own, and laid out for the course.  [no torch]"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

from benchmarks.rows import DATASET
from catfish_core.data import library
from catfish_core.data.archive import open_source
from catfish_core.errors import DatasetError
from catfish_core.workspace import HOME, Workspace

VARIABLE = "CATFISH_BENCH_DATA"
DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "cat-vs-fish.zip"
COURSE = "course"  # the folder beside the workspace's datasets that torchvision's ImageFolder reads


def source() -> Path:
    """The folder or zip of photos; raises DatasetError with the way out where there is none."""
    named = os.environ.get(VARIABLE)
    path = Path(named).expanduser() if named else DEFAULT
    if not path.exists():
        raise DatasetError(
            f"The photos to measure with are not here: {path} does not exist.",
            f"Set {VARIABLE} to a folder or zip with train, val and test, or with one folder per class.",
        )
    return path


@contextmanager
def imported(photos: Path, most: int | None = None) -> Iterator[Workspace]:
    """A workspace with `photos` in it that is gone afterwards; `most` takes so many of every folder only.

    CATFISH_HOME points at it meanwhile, so that nothing of the person's own workspace is read or written.
    """
    before = os.environ.get(HOME)
    with tempfile.TemporaryDirectory(prefix="catfish-bench-", ignore_cleanup_errors=True) as folder:
        os.environ[HOME] = folder
        try:
            workspace = Workspace(Path(folder).resolve())
            for _ in library.add(workspace, DATASET, photos if most is None else _few(photos, most, workspace)):
                pass
            _lay_out(workspace)
            yield workspace
        finally:
            if before is None:
                del os.environ[HOME]
            else:
                os.environ[HOME] = before


def _few(photos: Path, most: int, workspace: Workspace) -> Path:
    """The first `most` files of every folder of `photos`, as a folder."""
    taken: Counter[PurePosixPath] = Counter()
    with closing(open_source(photos)) as opened:
        for entry in opened.entries():
            name = PurePosixPath(entry.name)
            taken[name.parent] += 1
            if taken[name.parent] <= most:
                path = workspace.root / "few" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.read())
    return workspace.root / "few"


def _lay_out(workspace: Workspace) -> None:
    """The imported photos once more as <split>/<class>/<file>: the very same files for the course's ImageFolder.

    Classes go by number, because ImageFolder numbers them in the order of their folders' names. All are called
    .jpg, because it passes over files whose ending it does not know; what is in them decides how they are read.
    """
    for name, split in library.load(workspace, DATASET).splits.items():
        for path, label in zip(split.paths, split.labels, strict=True):
            _link(path, workspace.root / COURSE / name / f"{label:04}" / f"{path.stem}.jpg")


@contextmanager
def untouched(workspace: Workspace) -> Iterator[Workspace]:
    """A second workspace with the same dataset and nothing else: whatever was cached is not there."""
    root = Path(tempfile.mkdtemp(prefix="cold-", dir=workspace.root))
    try:
        shutil.copytree(workspace.datasets / DATASET, root / "datasets" / DATASET, copy_function=_link)
        yield Workspace(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a file; a copy where the disk knows no second names."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
