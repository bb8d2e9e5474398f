"""Which photo is in which class and which split, told from the folders it came in.  [no torch]"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from catfish_core.errors import DatasetError

SPLITS = ("train", "val", "test")
ALIASES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SHARE = 0.15  # of a class for validation, and as much for the test
MAX_CLASSES = 1000
MAX_NAME = 120
EXPECTED = "Expected are folders train, val and test with one folder per class inside, or just one folder per class."


@dataclass(frozen=True)
class Place:
    """Where a photo belongs: row `index` of what was listed, its class, its split (None: still to be drawn)."""

    index: int
    label: str
    split: str | None


def layout(names: Sequence[str]) -> tuple[list[Place], list[int]]:
    """Split and class of every name, and the indices of those that lie in no class folder.

    `train|val|test/<class>/…` (with the usual other names for the three), else `<class>/…`; folders that
    merely wrap the rest are stripped, and photos may lie at any depth below their class.
    Raises DatasetError when that leaves no photo in a class.
    """
    rows = [(i, name.split("/")) for i, name in enumerate(names)]
    tops = _tops(rows)
    while len(tops) == 1 and not _is_split(rows) and any(len(parts) > 2 for _, parts in rows):
        rows = [(i, parts[1:]) for i, parts in rows if len(parts) > 1]
        tops = _tops(rows)
    places = list(_split_places(rows) if _is_split(rows) else _class_places(rows))
    if not places:
        raise DatasetError("There are no photos in class folders here.", EXPECTED)
    placed = {place.index for place in places}
    return places, [i for i in range(len(names)) if i not in placed]


Rows = list[tuple[int, list[str]]]


def _tops(rows: Rows) -> set[str]:
    return {parts[0] for _, parts in rows if len(parts) > 1}


def _is_split(rows: Rows) -> bool:
    """Whether a train folder holds folders: otherwise "train" is a class, next to "bus" and "car"."""
    return any(len(parts) > 2 and ALIASES.get(parts[0].lower()) == "train" for _, parts in rows)


def _split_places(rows: Rows) -> Iterable[Place]:
    for i, parts in rows:
        split = ALIASES.get(parts[0].lower())
        if split and len(parts) > 2:
            yield Place(i, parts[1], split)


def _class_places(rows: Rows) -> Iterable[Place]:
    tops = _tops(rows)
    if len(tops) > 1 and all(top.lower() in ALIASES for top in tops):
        raise DatasetError("There are photos to validate and test with, but none to train with.", EXPECTED)
    for i, parts in rows:
        if len(parts) > 1:
            yield Place(i, parts[0], None)


def classes_of(places: Sequence[Place]) -> tuple[str, ...]:
    """The class names in order; raises DatasetError unless there are 2 to 1,000 of sensible length.

    A class counts when it has photos to train on.
    """
    classes = sorted({place.label for place in places if place.split in (None, "train")})
    if len(classes) < 2:
        raise DatasetError(
            f"There is only one class, “{classes[0][:80]}”." if classes else "There are no photos to train on.",
            "A classifier needs two or more to tell apart: one folder per class.",
        )
    if len(classes) > MAX_CLASSES:
        raise DatasetError(f"There are {len(classes):,} classes; the limit is {MAX_CLASSES:,}.", EXPECTED)
    if too_long := next((c for c in classes if len(c) > MAX_NAME), None):
        raise DatasetError(
            f"The class name “{too_long[:40]}…” is longer than {MAX_NAME} letters.", "Rename the folder."
        )
    return tuple(classes)


def assign(places: Sequence[Place], names: Sequence[str], seed: int = 0) -> list[Place]:
    """`places` with every split decided, each class drawn for itself from `seed`, in the order given.

    Photos without a split are dealt 70/15/15. Where val or test has no photo at all, 15 % of every class's
    training photos go there.
    """
    present = {place.split for place in places}
    missing = [split for split in ("val", "test") if split not in present]
    if not missing:
        return list(places)
    pool = sorted((p for p in places if p.split in (None, "train")), key=lambda p: names[p.index])
    classes: dict[str, list[int]] = {}
    for place in pool:
        classes.setdefault(place.label, []).append(place.index)
    drawn: dict[int, str] = {}
    for label, members in classes.items():
        random.Random(f"{seed}/{label}").shuffle(members)
        drawn |= _deal(members, missing)
    return [replace(p, split=drawn[p.index]) if p.index in drawn else p for p in places]


def _deal(members: list[int], missing: list[str]) -> dict[int, str]:
    """Who goes where: each missing split gets its share, at least one photo while two are left for training."""
    dealt: dict[int, str] = {}
    start = 0
    for split in missing:
        left = len(members) - start
        share = min(max(1, round(SHARE * len(members))), left - 1)
        dealt |= dict.fromkeys(members[start : start + share], split)
        start += share
    return dealt | dict.fromkeys(members[start:], "train")
