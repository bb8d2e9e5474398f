"""What a run says while it works: typed facts, appended one a line, read from where one last stopped.  [no torch]"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time as clock
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from catfish_core.errors import storage_faults


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact; `time` is when it was stated, in seconds since 1970."""

    time: float = field(default_factory=clock.time)


@dataclass(frozen=True, kw_only=True)
class Preparing(Event):
    """Work before the first step: `done` of `total` `unit`s (total 0: not known)."""

    what: str
    done: int = 0
    total: int = 0
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Prepared(Event):
    """A dataset is ready to train on."""

    dataset: str


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The first step is about to be made.

    `parts` are those of the network, first to head, each with its learning rate before any schedule, 0 where it is
    frozen; `trained` of `parameters` numbers learn. `compute` says in words which formats it is computed in, `note`
    in a sentence what is unusual about it. `test_seconds` is what preparing the photos of the test will take at the
    end, at the pace of the others.
    """

    classes: tuple[str, ...]
    samples: Mapping[str, int]
    batches: int
    epochs: int
    parameters: int
    trained: int
    device: str
    dataset_version: str
    compute: str = ""
    note: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    test_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Unfrozen(Event):
    """From `epoch` on more of the network is trained: `parts` with their rates and `trained` as in Started."""

    epoch: int
    parts: Mapping[str, float]
    trained: int


@dataclass(frozen=True, kw_only=True)
class MemorySaved(Event):
    """Memory ran out: batches are computed in parts of at most `micro_batch` photos from here on."""

    epoch: int
    step: int
    micro_batch: int


@dataclass(frozen=True, kw_only=True)
class BatchEnd(Event):
    """One step: `epoch` and `batch` count from 0, `step` from 0 over the whole run; `lr` is the rate it used."""

    epoch: int
    batch: int
    step: int
    loss: float
    lr: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class EpochEnd(Event):
    """Every training photo was seen once; means are over photos, accuracies from 0 to 1.

    `best_epoch` and `best_val_accuracy` belong to the weights kept so far: those of the highest validation
    accuracy, the lower loss deciding between equals; `improved` says that they are this epoch's. `seconds` is
    what this epoch took, validation included.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float
    improved: bool
    best_epoch: int
    best_val_accuracy: float


@dataclass(frozen=True, kw_only=True)
class NotSaved(Event):
    """The state after `step` could not be written down: training goes on, and what was written before is intact."""

    step: int
    what: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class EarlyStop(Event):
    """The validation loss has not fallen for `patience` epochs; training ends here, as it was asked to."""

    epoch: int
    patience: int


@dataclass(frozen=True, kw_only=True)
class Tested(Event):
    """The kept weights on the test split; the whole report is in report.json."""

    loss: float
    accuracy: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class SweepStarted(Event):
    """The first step of a learning-rate sweep is about to be made.

    `rates` says by which factor of the swept rate each part of the network that is trained learns; the last one is
    the head, whose factor is 1: the rate on the axis is its. `note` says in a sentence what is unusual.
    """

    steps: int
    seeds: int
    rates: Mapping[str, float]
    device: str
    samples: int
    batches: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepPoint(Event):
    """One step at the rate `lr`; `seed` and `step` count from 0.

    Losses that are no numbers are None, and so is a validation not made.
    """

    seed: int
    step: int
    lr: float
    loss: float | None
    val_loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class SweepEnded(Event):
    """The steps of one seed are over, after `steps` of them."""

    seed: int
    reason: Literal["finished", "diverged", "stopped"]
    steps: int


@dataclass(frozen=True, kw_only=True)
class ProbeEnd(Event):
    """`steps` were trained at the rate that `name` suggests; losses that are no numbers are None.

    `loss` is the mean of the steps made, `val_loss` and `val_accuracy` are measured afterwards.
    """

    name: str
    lr: float
    loss: float | None
    val_loss: float | None
    val_accuracy: float | None
    steps: int


@dataclass(frozen=True, kw_only=True)
class Advised(Event):
    """What the sweep says, and again what the probes say: `recommended` names one of the `suggestions`."""

    recommended: str | None
    rate: float | None
    reason: str
    suggestions: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class SweepCompleted(Event):
    """Terminal: the sweep, and the probes after it, were made to their end."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Completed(Event):
    """Terminal: the run did all it was asked to."""

    best_epoch: int
    best_val_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """Terminal: somebody asked it to stop. `kept_epoch` is whose weights were kept, None where none were."""

    epoch: int
    kept_epoch: int | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Terminal for this attempt: somebody asked it to rest. Everything is on disk, and it can go on from here."""

    epoch: int
    kept_epoch: int | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """It goes on with `batch` of `epoch`, its `step`: what was told of that step or of later ones is void."""

    epoch: int
    batch: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """Terminal: it could not go on. `what` happened and the `hint` that leads out; the traceback is in the log."""

    what: str
    hint: str = ""


TERMINAL = (Completed, SweepCompleted, Paused, Stopped, Failed)
_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        Preparing,
        Prepared,
        Started,
        Unfrozen,
        MemorySaved,
        BatchEnd,
        EpochEnd,
        NotSaved,
        EarlyStop,
        Tested,
        SweepStarted,
        SweepPoint,
        SweepEnded,
        ProbeEnd,
        Advised,
        SweepCompleted,
        Completed,
        Paused,
        Resumed,
        Stopped,
        Failed,
    )
}


def to_json(event: Event) -> str:
    """`event` as one line of JSON with its type; non-finite floats as null."""
    plain = {"type": type(event).__name__, **dataclasses.asdict(event)}
    return json.dumps(finite(plain), ensure_ascii=False, allow_nan=False)


def finite(data: Any) -> Any:
    """Plain `data` with null for the numbers that JSON does not know."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {str(key): finite(value) for key, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, (list, tuple)) else data


def from_json(line: str) -> Event | None:
    """The event in `line`; null floats come back as nan; None for a line that holds no event this version knows."""
    try:
        data = json.loads(line)
        cls = _TYPES[data.pop("type")]
        for item in dataclasses.fields(cls):
            value = data.get(item.name)
            if value is None and item.type == "float" and item.name in data:
                data[item.name] = math.nan
            elif isinstance(value, list):
                data[item.name] = tuple(value)
        return cls(**data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


E = TypeVar("E", bound=Event)
T = TypeVar("T")


class EventLog:
    """Appends events to a file, each whole and at once, so that a reader never sees half of two."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = open(path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the log
            if not _ends_a_line(path):
                self._file.write(b"\n")  # a line torn by an earlier crash must not swallow ours

    def append(self, event: Event) -> None:
        """Write `event` as one line; raises StorageError when the disk refuses, and then nothing of it is there."""
        with storage_faults(self.path):
            before, line = self._file.seek(0, os.SEEK_END), to_json(event).encode() + b"\n"
            try:
                while line:  # a disk that is almost full takes a part and says so only when asked again
                    line = line[self._file.write(line) :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(before)
                raise

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ends_a_line(path: Path) -> bool:
    """Whether `path` is empty or its last byte is a newline."""
    with open(path, "rb") as file:
        if not file.seek(0, 2):
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def read(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """The events in `path` from byte `offset`, and the offset to go on from; ([], offset) where there is no file.

    A last line without newline is still being written and is left for the next time.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            text = file.read()
    except FileNotFoundError:
        return [], offset
    whole = text.rfind(b"\n") + 1
    lines = text[:whole].decode("utf-8", errors="replace").split("\n")  # U+2028 is text, and no end of a line
    return [event for line in lines if (event := from_json(line)) is not None], offset + whole


def drain(steps: Generator[E, None, T], tell: Callable[[E], object] = lambda event: None) -> T:
    """Run `steps` to their end, telling each event; their value."""
    while True:
        try:
            tell(next(steps))
        except StopIteration as end:
            value: T = end.value
            return value


def tail(path: Path, size: int = 65_536) -> list[Event]:
    """The events in the last `size` bytes of `path`: enough to know how a run stands without reading it all."""
    try:
        length = path.stat().st_size
    except FileNotFoundError:
        return []
    return read(path, max(0, length - size))[0]


def last(path: Path) -> list[Event]:
    """The last event in `path`, alone in a list: all that a status needs, and a hundred times quicker than `tail`.

    Lines that are no events are passed over, as `read` does; [] where there is none in the last bytes.
    """
    for size in (4096, 65_536):
        try:
            with open(path, "rb") as file:
                length = file.seek(0, os.SEEK_END)
                file.seek(max(0, length - size))
                text = file.read()
        except FileNotFoundError:
            return []
        for line in reversed(text[: max(0, text.rfind(b"\n"))].decode("utf-8", errors="replace").split("\n")):
            if (event := from_json(line)) is not None:
                return [event]
        if length <= size:
            break
    return []


def began(path: Path) -> bool:
    """Whether the log in `path` tells of a start: what follows is another attempt."""
    try:
        with open(path, "rb") as file:
            return any(b'"type": "Started"' in line for line in file)  # near the beginning, if it is there
    except FileNotFoundError:
        return False


def standing(told: Iterable[Event]) -> list[Event]:
    """Those of `told` that no later attempt took back: what came of the step with which it went on, or later.

    Each attempt's Started, Resumed and end stay, so that it can be seen where it was interrupted. Logs older than
    Resumed get one wherever steps were made again.
    """
    kept: list[Event] = []
    step = -1
    for event in told:
        if isinstance(event, BatchEnd):
            if event.step <= step:
                again = Resumed(epoch=event.epoch, batch=event.batch, step=event.step, time=event.time)
                kept = [*_before(kept, again), again]
            step = event.step
        elif isinstance(event, Resumed):
            kept, step = _before(kept, event), event.step - 1
        kept.append(event)
    return kept


def _before(told: list[Event], resumed: Resumed) -> list[Event]:
    return [event for event in told if not _void(event, resumed)]


def _void(event: Event, resumed: Resumed) -> bool:
    """Whether `event` will be told again, or something else in its place, after `resumed`."""
    if isinstance(event, (BatchEnd, MemorySaved)):
        return event.step >= resumed.step
    if isinstance(event, EpochEnd):
        return event.epoch >= resumed.epoch
    if isinstance(event, Unfrozen):
        return event.epoch > resumed.epoch or (event.epoch == resumed.epoch and resumed.batch == 0)
    return isinstance(event, (EarlyStop, Tested))


def effective(told: Iterable[Event]) -> list[Event]:
    """What a run that was never interrupted would have said in place of `told`, the log of one that was.

    Only the times differ, and what is measured by the clock. What later attempts said while they prepared
    themselves is left out, and so is what the disk refused; the number of epochs is the last one planned.
    """
    kept: list[Event] = []
    start: int | None = None  # where Started is in `kept`
    for event in standing(told):
        if isinstance(event, (Resumed, NotSaved)):
            continue
        if isinstance(event, Started):
            kept = [e for n, e in enumerate(kept) if not isinstance(e, TERMINAL) and not _preparing(e, n, start)]
            if start is None:
                start = len(kept)
                kept.append(event)
            else:
                first = kept[start]
                assert isinstance(first, Started)
                kept[start] = dataclasses.replace(first, epochs=event.epochs)
            continue
        kept.append(event)
    return [e for n, e in enumerate(kept, 1) if n == len(kept) or not isinstance(e, TERMINAL)]


def _preparing(event: Event, number: int, start: int | None) -> bool:
    return isinstance(event, Preparing) and start is not None and number > start
