"""What the pages ask: what is on these photos, where did the network look, what would augmentation make of this?

Nothing here needs torch: the service computes, in a process of its own.  [no torch]
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catfish_core.errors import CatfishError, PhotoError
from catfish_core.serving import connection
from catfish_core.workspace import Workspace

AT_ONCE = 16  # photos in one request: enough to compute together, few enough to answer in time
BYTES_AT_ONCE = 64 * 2**20
MAX_PHOTO = 128 * 2**20  # bytes of one file

Photo = tuple[str, bytes]  # the name it came with, the file's content

_warming: dict[Workspace, threading.Thread] = {}


@dataclass(frozen=True)
class Answer:
    """What the network says about one photo, and where it looked.

    `photo_jpeg` is the photo upright, at most 720 px long; `heatmap_png` the coloured heatmap in the same size
    (None when not asked for, or when nothing in the photo spoke for the class). `probabilities` are by class
    name, from 0 to 1. `layer` is where the heatmap was taken (None for input gradients), `target` the class it
    explains, `method` "grad-cam" or "input-gradients".
    A photo that cannot be read has its `error`, a sentence, and nothing else.
    """

    name: str
    error: str | None = None
    label: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    photo_jpeg: bytes = b""
    heatmap_png: bytes | None = None
    layer: str | None = None
    target: str | None = None
    method: str | None = None


def predict(
    workspace: Workspace,
    run_id: str,
    photos: Sequence[Photo],
    *,
    layer: str | None = None,
    target: int | None = None,
    heatmaps: bool = True,
) -> list[Answer]:
    """One answer for each of `photos`, in their order.

    `layer` is one of `layers`, None the architecture's usual; `target` the index of the class to explain, None
    the predicted one. Raises RunError or ModelError where the run has no usable model, ServiceError when the
    service cannot answer.
    """
    wish = {"run": run_id, "layer": layer, "target": target, "heatmaps": heatmaps}
    answers: list[Answer | None] = [_too_large(name) if len(data) > MAX_PHOTO else None for name, data in photos]
    for places in _portions(photos):
        names = [photos[place][0] for place in places]
        head, blobs = connection.ask(
            workspace, "/predict", {**wish, "names": names}, [photos[place][1] for place in places]
        )
        for place, answer in zip(places, _answers(head, blobs), strict=True):
            answers[place] = answer
    return [answer for answer in answers if answer is not None]


def layers(workspace: Workspace, run_id: str) -> list[str]:
    """Names of the layers whose heatmap can be asked for, first to last; empty for a network without any."""
    head, _ = connection.ask(workspace, "/layers", {"run": run_id})
    return [str(name) for name in head["layers"]]


def augmented(
    workspace: Workspace, photo: bytes, steps: Sequence[Mapping[str, Any]], size: int, seed: int, count: int = 9
) -> list[bytes]:
    """`count` draws of what `steps` make of `photo` at `size` px, as JPEG; the same for the same seed.

    Raises ConfigError for steps that cannot be meant and PhotoError for a photo that cannot be read.
    """
    if len(photo) > MAX_PHOTO:
        raise PhotoError(_too_large("This photo").error or "")
    wish = {"steps": [dict(step) for step in steps], "size": size, "seed": seed, "count": count}
    return connection.ask(workspace, "/augmented", wish, [photo])[1]


def warm_up(workspace: Workspace) -> None:
    """Have the service started in the background, so that the first prediction need not wait for torch."""
    running = _warming.get(workspace)
    if running is None or not running.is_alive():
        thread = threading.Thread(target=_warm, args=(workspace,), daemon=True, name="warm-up")
        _warming[workspace] = thread
        thread.start()


def _warm(workspace: Workspace) -> None:
    with contextlib.suppress(CatfishError):  # whoever asks first will be told
        connection.connect(workspace)[1].close()


def _portions(photos: Sequence[Photo]) -> Iterator[list[int]]:
    """The places of photos that travel together; those too large for any request are left out."""
    places: list[int] = []
    weight = 0
    for place, (_, data) in enumerate(photos):
        if len(data) > MAX_PHOTO:
            continue
        if places and (len(places) == AT_ONCE or weight + len(data) > BYTES_AT_ONCE):
            yield places
            places, weight = [], 0
        places.append(place)
        weight += len(data)
    if places:
        yield places


def _answers(head: Mapping[str, Any], blobs: Sequence[bytes]) -> Iterator[Answer]:
    """The answers in a message; "photo_jpeg" and "heatmap_png" in it are places among the blobs."""
    for plain in head["answers"]:
        pictures = {key: blobs[plain.pop(key)] for key in ("photo_jpeg", "heatmap_png") if key in plain}
        yield Answer(**plain, **pictures)


def _too_large(name: str) -> Answer:
    return Answer(name, error=f"{name} is larger than {MAX_PHOTO // 2**20} MB: save it smaller, then try again.")
