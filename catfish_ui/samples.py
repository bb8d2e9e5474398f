"""Photos to show: a few of a dataset, or one to try things on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import streamlit as st

from catfish_core.data import library
from catfish_core.data.library import Dataset, Split
from catfish_core.errors import DatasetError
from catfish_core.workspace import Workspace
from catfish_ui import cache
from catfish_ui.components import Picture
from catfish_ui.text import shorten


@dataclass(frozen=True)
class Photo:
    """A photo as a file's content, with what is known of it."""

    content: bytes
    name: str
    title: str = ""


def spread(split: Split, classes: int, wanted: int, turn: int = 0) -> list[int]:
    """`wanted` places in `split`, the classes taking turns, each class evenly through; `turn` gives others."""
    places_of: list[list[int]] = [[] for _ in range(min(classes, wanted))]
    for i, label in enumerate(split.labels):
        if label < len(places_of):
            places_of[label].append(i)
    by_class = [places for places in places_of if places]
    chosen: list[int] = []
    for n in range(wanted):
        if not by_class:
            break
        places = by_class[n % len(by_class)]
        at = (n // len(by_class) * 7 + turn * wanted) % len(places)
        if places[at] not in chosen:
            chosen.append(places[at])
    return chosen


def pictures(dataset: Dataset, wanted: int = 8) -> list[Picture]:
    """A few training photos with their class."""
    return list(_pictures(dataset, wanted))


def _pictures(dataset: Dataset, wanted: int) -> Iterator[Picture]:
    split, classes = dataset.splits["train"], dataset.info.classes
    for place in spread(split, len(classes), wanted):
        jpeg = cache.thumbnail(str(split.paths[place]), dataset.info.version)
        if jpeg:
            yield Picture(jpeg, note=shorten(classes[split.labels[place]], 24))


def one_photo(ws: Workspace) -> Photo:
    """Ask for a photo to try things on: one of a dataset, or a drawing while there is none."""
    ready = {info.id: info.name for info in library.listing(ws)}
    if not ready:
        st.caption("No dataset is ready yet, so here is a drawing from Sketchbook.")
        return Photo(cache.drawings()[0], "drawing.jpg", "cat")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        id = st.selectbox(
            "A photo from",
            list(ready),
            format_func=lambda id: ready[id],
            key="augment_dataset",
            persist_state="session",
        )
        if st.button("Another", key="augment_other", icon=":material/shuffle:"):
            st.session_state["augment_photo"] = st.session_state.get("augment_photo", 0) + 1
    return _training_photo(ws, id or next(iter(ready)), st.session_state.get("augment_photo", 0))


def _training_photo(ws: Workspace, id: str, turn: int) -> Photo:
    dataset = cache.dataset(ws, id)
    split = dataset.splits["train"]
    place = spread(split, len(dataset.info.classes), 1, turn)[0]
    content = _content(split, place)
    if content is None:
        raise DatasetError(
            f"A photo of “{dataset.info.name}” is gone.", "Delete the dataset and add or prepare it again."
        )
    return Photo(content, split.names[place], dataset.info.classes[split.labels[place]])


def turn_page() -> None:
    """Ask for other test photos."""
    st.session_state["predict_turn"] = st.session_state.get("predict_turn", -1) + 1


def test_photos(ws: Workspace, id: str, wanted: int, turn: int) -> tuple[list[tuple[str, bytes]], list[str]]:
    """`wanted` photos of the test split with their names, and their classes; none where they are not here."""
    try:
        dataset = cache.dataset(ws, id)
    except DatasetError:
        return [], []
    split, classes = dataset.splits["test"], dataset.info.classes
    found = [
        (split.names[place], content, classes[split.labels[place]])
        for place in spread(split, len(classes), wanted, turn)
        if (content := _content(split, place)) is not None
    ]
    return [(name, content) for name, content, _ in found], [label for _, _, label in found]


def _content(split: Split, place: int) -> bytes | None:
    try:
        return split.paths[place].read_bytes()
    except OSError:
        return None
