"""A run's events as TensorBoard scalars: `tensorboard --logdir <workspace>/runs` compares runs side by side."""

from __future__ import annotations

import os
import socket
import time
from itertools import count
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from catfish_core.errors import storage_faults
from catfish_core.events import BatchEnd, EpochEnd, Event, Resumed, Tested

_numbers = count()  # two files of one process in one second have different names


class TensorBoard:
    """Writes the scalars of each event into `folder`, one record an event; raises StorageError as the disk refuses.

    On the thread that trains: tensorboard's own writers hand each record to a thread of theirs, and two threads that
    take the interpreter from each other at every step cost a short step twenty times what the writing does.
    """

    def __init__(self, folder: Path) -> None:
        self._path = (
            folder / f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        )
        with storage_faults(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = RecordWriter(open(self._path, "wb"))  # noqa: SIM115 - lives as long as the training
        self._write(Record(wall_time=time.time(), file_version="brain.Event:2"))
        self._flush()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, BatchEnd):
            self._add(event.step, event, {"batch/loss": event.loss, "batch/learning_rate": event.lr})
        elif isinstance(event, EpochEnd):
            names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "images_per_second")
            self._add(event.epoch, event, {f"epoch/{name}": getattr(event, name) for name in names})
            self._flush()
        elif isinstance(event, Tested):
            self._add(0, event, {"test/loss": event.loss, "test/accuracy": event.accuracy})
        elif isinstance(event, Resumed):  # whatever lies at this step or later will be written again
            start = SessionLog(status=SessionLog.START)
            self._write(Record(wall_time=event.time, step=event.step, session_log=start))

    def _add(self, step: int, event: Event, values: dict[str, float]) -> None:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Record(wall_time=event.time, step=step, summary=Summary(value=scalars)))

    def _write(self, record: Record) -> None:
        with storage_faults(self._path):
            self._file.write(record.SerializeToString())

    def _flush(self) -> None:
        with storage_faults(self._path):
            self._file.flush()

    def close(self) -> None:
        """Write what is left."""
        with storage_faults(self._path):
            self._file.close()
