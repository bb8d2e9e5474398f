"""A run's events as TensorBoard scalars: `tensorboard --logdir <workspace>/runs` compares runs side by side."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from catfish_core.events import BatchEnd, EpochEnd, Event, Resumed, Tested

AGAIN = 30.0  # seconds until another file is begun after a full disk


class TensorBoard:
    """Writes the scalars of each event into `folder`.

    One record an event, by tensorboard's own writer: torch's SummaryWriter takes a tenth of SimpleNet's step.

    A disk that refuses does not end the training: the run's own log tells all. What comes until the next file is
    begun is missing here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: EventFileWriter | None = None
        self._begin_at = float("-inf")

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, BatchEnd):
            self._add(event.step, event, {"batch/loss": event.loss, "batch/learning_rate": event.lr})
        elif isinstance(event, EpochEnd):
            names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "images_per_second")
            self._add(event.epoch, event, {f"epoch/{name}": getattr(event, name) for name in names}, flush=True)
        elif isinstance(event, Tested):
            self._add(0, event, {"test/loss": event.loss, "test/accuracy": event.accuracy})
        elif isinstance(event, Resumed):  # whatever lies at this step or later will be written again
            start = SessionLog(status=SessionLog.START)
            self._write(Record(wall_time=event.time, step=event.step, session_log=start))

    def _add(self, step: int, event: Event, values: dict[str, float], flush: bool = False) -> None:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Record(wall_time=event.time, step=step, summary=Summary(value=scalars)), flush)

    def _write(self, record: Record, flush: bool = False) -> None:
        if self._writer is None and time.monotonic() < self._begin_at:
            return
        try:
            if self._writer is None:
                self._writer = EventFileWriter(str(self._folder))
            self._writer.add_event(record)
            if flush:
                self._writer.flush()
        except OSError:  # of the writer's thread, which ends with it: its file cannot be gone on with
            self.close()
            self._begin_at = time.monotonic() + AGAIN

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
            self._writer = None
