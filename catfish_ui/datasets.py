"""Datasets as cards, and the work on them that goes on in processes of its own."""

from __future__ import annotations

import secrets
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import streamlit as st

from catfish_core import events
from catfish_core.catalog import BUILTIN_DATASETS, BuiltinDataset
from catfish_core.data import activity, library
from catfish_core.data.library import DatasetInfo
from catfish_core.errors import DatasetError, storage_faults
from catfish_core.events import Failed, Prepared, Preparing
from catfish_core.workspace import Workspace, slug
from catfish_ui import cache, guard, identity, places, samples
from catfish_ui.components import Column, Row, gallery, table
from catfish_ui.text import count, plain, shorten

CLASSES = 12  # shown in a card; the others are counted
_BUILTIN = {row.id for row in BUILTIN_DATASETS}


def card(ws: Workspace, info: DatasetInfo) -> None:
    """A dataset that is ready: photos, counts, problems, what to do with it."""
    with st.container(border=True, gap="small", key=f"data_card_{info.id}"):
        _title(info.name, info.about or f"Imported from {info.source}.", f"{info.total:,} photos")
        gallery(samples.pictures(cache.dataset(ws, info.id)), f"data_samples_{info.id}", side=96)
        with st.container(horizontal=True):
            if st.button("Train on these", key=f"data_train_{info.id}", icon=":material/play_arrow:"):
                st.session_state["train_with"] = info.id
                st.switch_page(places.TRAIN)
            forbidden = identity.why_not("delete", info.owner)
            if st.button("Delete", key=f"data_delete_{info.id}", type="tertiary", icon=":material/delete:",
                         disabled=forbidden is not None, help=forbidden):  # fmt: skip
                _confirm(info)
        with st.expander(f"{count(len(info.classes), 'class', 'classes')}, {_parts(info)}"):
            _counts(info)
        if info.problems:
            with st.expander(f"{count(len(info.problems), 'file')} left out", icon=":material/broken_image:"):
                rows = [Row(str(n), [p.file, p.reason]) for n, p in enumerate(info.problems[:200])]
                table([Column("File"), Column("Why")], rows, f"data_problems_{info.id}")


def _title(name: str, about: str, badge: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"##### {plain(name)}")
        st.badge(badge, color="gray")
    st.caption(plain(about))


def _parts(info: DatasetInfo) -> str:
    train, val, test = (sum(info.counts[split]) for split in library.SPLITS)
    return f"{train:,} to train, {val:,} to validate, {test:,} to test"


def _counts(info: DatasetInfo) -> None:
    st.caption(
        "It learns from the training photos, is checked on validation photos, and is tested on the rest at the end."
    )
    rows = [
        Row(str(n), [shorten(name, 60), *(f"{info.counts[split][n]:,}" for split in library.SPLITS)])
        for n, name in enumerate(info.classes[:CLASSES])
    ]
    columns = [Column("Class"), Column("Training", True), Column("Validation", True), Column("Test", True)]
    table(columns, rows, f"data_counts_{info.id}")
    if len(info.classes) > CLASSES:
        st.caption(f"and {count(len(info.classes) - CLASSES, 'more class', 'more classes')}.")


@st.dialog("Delete this dataset?", icon=":material/delete:")
def _confirm(info: DatasetInfo) -> None:
    again = (
        "CatFish can make it again."
        if info.id in _BUILTIN
        else "The photos you imported it from stay where they are."
    )
    st.markdown(
        f"**{plain(info.name)}** with its {count(info.total, 'photo')} goes. {again} Trained runs keep working."
    )
    with st.container(horizontal=True), guard.page_guard():
        if st.button("Delete it", key="data_delete_yes", type="primary", icon=":material/delete:"):
            identity.desk().delete_dataset(info.id)
            st.rerun()
        if st.button("Keep it", key="data_delete_no"):
            st.rerun()


def offer(ws: Workspace, row: BuiltinDataset) -> None:
    """A built-in dataset that is not here yet, with the button that gets it."""
    with st.container(border=True, gap="small", key=f"data_card_{row.id}"):
        _title(row.name, row.about, f"{row.megabytes} MB" if row.megabytes else "built in")
        log = activity.log_path(ws, row.id)
        if activity.working(log):
            progress(log)
            return
        _last_word(log)
        label = f"Download {row.megabytes} MB" if row.megabytes else "Prepare"
        icon = ":material/download:" if row.megabytes else ":material/draw:"
        forbidden = identity.why_not("import")
        if st.button(label, key=f"data_prepare_{row.id}", icon=icon, type="primary",
                     disabled=forbidden is not None, help=forbidden):  # fmt: skip
            identity.desk().prepare(row.id)
            st.rerun()


def progress(log: Path) -> None:
    """How far the work of `log` is, twice a second; the page is drawn anew when it ends."""
    st.fragment(_progress, run_every=0.5)(log)


def _progress(log: Path) -> None:
    with guard.page_guard():
        if not activity.working(log):
            st.rerun()
        _bar(log)


def _bar(log: Path) -> None:
    last = next((e for e in reversed(events.tail(log)) if isinstance(e, Preparing)), None)
    text, part = "Starting", 0.0
    if last is not None:
        text = f"{last.what}: {last.done:,} of {last.total:,} {last.unit}".strip() if last.total else last.what
        part = min(1.0, last.done / last.total) if last.total else 0.0
    st.progress(part, plain(text))


def _last_word(log: Path) -> bool:
    """Say why the last try failed, if it did; whether there is something to say."""
    last = events.tail(log)[-1:]
    if last and isinstance(last[0], Failed):
        guard.show(DatasetError(last[0].what, last[0].hint))
        return True
    if last and not isinstance(last[0], Prepared):
        guard.show(DatasetError("It was interrupted.", "Try again: what was downloaded before is kept."))
        return True
    return False


def imports(ws: Workspace) -> None:
    """Imports under way, and those of this session that failed."""
    folder = ws.datasets / ".activity"
    for log in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
        if log.stem not in _BUILTIN and activity.working(log):
            with st.container(border=True):
                st.markdown(f"##### Importing {plain(log.stem)}")
                progress(log)
    for started in list(st.session_state.get("data_imports", [])):
        log, kept = started
        if not activity.working(log):
            if not _last_word(log):
                st.toast("Your photos are ready.", icon=":material/check_circle:")
            if kept is not None:
                shutil.rmtree(kept.parent, ignore_errors=True)
            st.session_state["data_imports"].remove(started)


class Upload(Protocol):
    """A file as the browser sent it; its name is data, never a path."""

    name: str

    def seek(self, offset: int) -> int: ...
    def read(self, size: int = -1) -> bytes: ...


def begin(name: str, source: Path, *, ours: bool) -> None:
    """Start importing `source` as a dataset called `name`; a copy of `ours` is removed when that is done."""
    log = identity.desk().add(name, source)
    st.session_state.setdefault("data_imports", []).append((log, source if ours else None))


def _place(ws: Workspace, name: str) -> Path:
    """A place of its own for an upload, under a name that is safe whatever it was called."""
    return ws.downloads / f"upload-{secrets.token_hex(6)}" / f"{slug(name, 'upload')}.zip"


def keep_zip(ws: Workspace, upload: Upload) -> Path:
    """Write an uploaded zip to the workspace under a safe name; raises StorageError."""
    target = _place(ws, Path(upload.name).stem)
    with storage_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as file:
            upload.seek(0)
            shutil.copyfileobj(upload, file, 1 << 20)
    return target


def keep_folder(ws: Workspace, uploads: Sequence[Upload]) -> Path:
    """Write an uploaded folder to the workspace as a zip whose entries keep their names; raises StorageError."""
    first = Path(uploads[0].name.replace("\\", "/")).parts[0]
    target = _place(ws, first)
    with storage_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w") as archive:
            for upload in uploads:
                upload.seek(0)
                with archive.open(upload.name.replace("\\", "/"), "w") as entry:
                    shutil.copyfileobj(upload, entry, 1 << 20)
    return target
