"""What the service answers to each question; imports torch and everything a prediction needs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from catfish_core import augment, config, runs
from catfish_core.analysis import gradcam
from catfish_core.analysis.predict import heatmap_png
from catfish_core.augment import AnyStep
from catfish_core.data.photos import square
from catfish_core.errors import ConfigError
from catfish_core.serving.inference import Look, look
from catfish_core.serving.warm import WarmModels
from catfish_core.serving.wire import Message, pack
from catfish_core.workspace import Workspace

JPEG_QUALITY = 88
MAX_DRAWS = 36
SIZES = range(8, 1025)  # px, as in a configuration

_models = WarmModels()
# Two at least, so that a large model does not hold up a small one; kept, since torch's helpers belong to a thread.
_workers = ThreadPoolExecutor(max(2, (os.cpu_count() or 2) // 4), "compute")
_steps: TypeAdapter[tuple[AnyStep, ...]] = TypeAdapter(tuple[AnyStep, ...])


def answer(workspace: Workspace, path: str, head: dict[str, Any], blobs: list[bytes]) -> bytes:
    """The answer to the question `path`, as a message.

    Raises CatfishError for what a person can mend; ValueError, KeyError or TypeError for a malformed question.
    """
    if path not in _QUESTIONS:
        raise ValueError(f"there is no question {path[:80]!r}")
    return pack(*_QUESTIONS[path](workspace, head, blobs))


def _predict(workspace: Workspace, head: dict[str, Any], blobs: list[bytes]) -> Message:
    photos = [(str(name), blob) for name, blob in zip(head["names"], blobs, strict=True)]
    wish = {"layer": head.get("layer"), "target": head.get("target"), "heatmaps": head.get("heatmaps", True)}
    pictures: list[bytes] = []
    with _models.use(runs.find(workspace, str(head["run"]))) as saved:
        looks = _workers.submit(lambda: list(look(saved, photos, **wish))).result()
    answers = [_plain(seen, saved.classes, pictures) for seen in looks]
    return {"answers": answers}, pictures


def _plain(seen: Look, classes: tuple[str, ...], pictures: list[bytes]) -> dict[str, Any]:
    """`seen` as plain values; its pictures go to the end of `pictures`, their places into the values."""
    if seen.error is not None or seen.shown is None:
        return {"name": seen.name, "error": seen.error}
    plain: dict[str, Any] = {
        "name": seen.name,
        "label": classes[seen.predicted],
        "probabilities": dict(zip(classes, seen.probabilities, strict=True)),
        "photo_jpeg": len(pictures),
    }
    pictures.append(_jpeg(seen.shown))
    if (heatmap := seen.heatmap) is not None:
        plain |= {"layer": heatmap.layer, "target": classes[heatmap.target], "method": heatmap.method}
        if heatmap.values.any():  # a map of nothing would be a dark picture that explains nothing
            plain["heatmap_png"] = len(pictures)
            pictures.append(heatmap_png(heatmap, seen.shown.size))
    return plain


def _layers(workspace: Workspace, head: dict[str, Any], blobs: list[bytes]) -> Message:
    with _models.use(runs.find(workspace, str(head["run"]))) as saved:
        return {"layers": gradcam.layers(saved)}, []


def _augmented(workspace: Workspace, head: dict[str, Any], blobs: list[bytes]) -> Message:
    size, seed, count = int(head["size"]), int(head["seed"]), int(head["count"])
    if size not in SIZES or not 1 <= count <= MAX_DRAWS:
        raise ConfigError(f"A preview shows 1 to {MAX_DRAWS} draws of {SIZES[0]} to {SIZES[-1]} px.")
    try:
        steps = _steps.validate_python(head["steps"])
    except ValidationError as error:
        raise ConfigError(config.explain(error)) from error
    (photo,) = blobs
    draws = augment.preview(np.array(square(photo, size)), steps, seed, count)
    return {}, [_jpeg(Image.fromarray(draw)) for draw in draws]


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


_QUESTIONS: dict[str, Callable[[Workspace, dict[str, Any], list[bytes]], Message]] = {
    "/predict": _predict,
    "/layers": _layers,
    "/augmented": _augmented,
}
