"""Models that stay loaded, so that only the first prediction waits for the disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from catfish_core.errors import ModelError
from catfish_core.models import saved
from catfish_core.models.saved import Saved
from catfish_core.runs import Run

MAX_MODELS = 8
MAX_BYTES = 2 * 2**30  # of parameters and buffers

Key = tuple[str, int]  # the run's id, and when its weights were written: a run trained on is another model


@dataclass
class _Place:
    """Room for one model; whoever uses it holds the lock, since hooks and gradients belong to the model."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    model: Saved | None = None


class WarmModels:
    """The models used last, at most `max_models` of them and at most `max_bytes` heavy in all."""

    def __init__(
        self,
        max_models: int = MAX_MODELS,
        max_bytes: int = MAX_BYTES,
        load: Callable[[Path], Saved] = saved.load,
    ) -> None:
        self._max_models, self._max_bytes, self._load = max_models, max_bytes, load
        self._places: OrderedDict[Key, _Place] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, run: Run) -> Iterator[Saved]:
        """The model of `run`, loaded if need be, for one user at a time; raises ModelError where there is none."""
        key = _key(run)
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
        with place.lock:
            if place.model is None:
                place.model = self._load(run.path)
                self._make_room(key)
            yield place.model

    def _make_room(self, newest: Key) -> None:
        """Let go of what is outdated or was used longest ago; its users, if any, keep it until they are done."""
        with self._lock:
            for key in [key for key in self._places if key[0] == newest[0] and key != newest]:
                del self._places[key]
            while len(self._places) > 1 and (len(self._places) > self._max_models or self._bytes() > self._max_bytes):
                oldest = next(iter(self._places))
                if oldest == newest:
                    break
                del self._places[oldest]

    def _bytes(self) -> int:
        return sum(weight(place.model.model) for place in self._places.values() if place.model is not None)

    def __len__(self) -> int:
        return len(self._places)


def weight(model: nn.Module) -> int:
    """Bytes of the numbers that `model` holds."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def _key(run: Run) -> Key:
    try:
        return run.id, run.model_path.stat().st_mtime_ns
    except OSError:
        raise ModelError(
            f"The run “{run.id}” has no model yet.", "It gets one when its first epoch is over; wait for that."
        ) from None
