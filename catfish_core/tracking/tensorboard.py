"""A run's events as TensorBoard scalars: `tensorboard --logdir <workspace>/runs` compares runs side by side."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from catfish_core.events import BatchEnd, EpochEnd, Event, Resumed, Tested

AGAIN = 30.0  # seconds until another file is begun after a full disk
TOGETHER = 64  # steps
_numbers = count()  # two files of one process in one second have different names


class TensorBoard:
    """Writes the scalars of each event into `folder`, one record an event.

    On the thread that trains: tensorboard's own writers hand each record to a thread of theirs, and two threads that
    take the interpreter from each other at every step cost a short step twenty times what the writing does. Steps are
    written many at a time, because one alone, between steps that empty the processor's cache, costs as much as eight.

    A disk that refuses does not end the training: the run's own log tells all. What comes until the next file is
    begun is missing here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: RecordWriter | None = None
        self._begin_at = float("-inf")
        self._steps: list[BatchEnd] = []

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, BatchEnd):
            self._steps.append(event)
            if len(self._steps) == TOGETHER:
                self._write_steps()
        elif isinstance(event, EpochEnd):
            names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "images_per_second")
            self._write_steps()
            self._add(event.epoch, event, {f"epoch/{name}": getattr(event, name) for name in names})
            self._flush()
        elif isinstance(event, Tested):
            self._add(0, event, {"test/loss": event.loss, "test/accuracy": event.accuracy})
        elif isinstance(event, Resumed):  # whatever lies at this step or later will be written again
            start = SessionLog(status=SessionLog.START)
            self._write(Record(wall_time=event.time, step=event.step, session_log=start))

    def _write_steps(self) -> None:
        steps, self._steps = self._steps, []
        for event in steps:
            self._add(event.step, event, {"batch/loss": event.loss, "batch/learning_rate": event.lr})

    def _add(self, step: int, event: Event, values: dict[str, float]) -> None:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Record(wall_time=event.time, step=step, summary=Summary(value=scalars)))

    def _write(self, record: Record) -> None:
        if self._file is None and time.monotonic() < self._begin_at:
            return
        try:
            if self._file is None:
                self._file = RecordWriter(_opened(self._folder))
                self._file.write(Record(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
            self._file.write(record.SerializeToString())
        except OSError:
            self._refused()

    def _flush(self) -> None:
        try:
            if self._file is not None:
                self._file.flush()
        except OSError:
            self._refused()

    def _refused(self) -> None:
        """Perhaps in the middle of a record: the file cannot be gone on with."""
        self._end()
        self._begin_at = time.monotonic() + AGAIN

    def close(self) -> None:
        """Write what is left."""
        self._write_steps()
        self._end()

    def _end(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


def _opened(folder: Path) -> IO[bytes]:
    """A new file in `folder` that TensorBoard takes for one of its own."""
    folder.mkdir(exist_ok=True)  # in the run's own, which must not come back where it was moved away
    name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
    return open(folder / name, "wb")
