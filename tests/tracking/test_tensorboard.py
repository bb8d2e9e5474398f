"""The files for TensorBoard: what they hold, and that a disk that takes none of it ends no training."""

import threading

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.summary.writer.record_writer import RecordWriter

from catfish_core.events import BatchEnd, EpochEnd, Tested
from catfish_core.tracking import tensorboard
from catfish_core.tracking.tensorboard import TensorBoard


def batch(step):
    return BatchEnd(epoch=0, batch=step, step=step, loss=0.5, lr=0.1, images_per_second=10.0)


def epoch(number):
    return EpochEnd(
        epoch=number, train_loss=0.5, train_accuracy=0.7, val_loss=0.6, val_accuracy=0.6, lr=0.1, seconds=1.0,
        images_per_second=10.0, improved=True, best_epoch=number, best_val_accuracy=0.6,
    )  # fmt: skip


def scalars(folder):
    """(tag, step) of all that the files in `folder` hold."""
    return [
        (value.tag, record.step)
        for path in sorted(folder.iterdir())
        for record in EventFileLoader(str(path)).Load()
        for value in record.summary.value
    ]


@pytest.fixture
def quiet(monkeypatch):
    """The writer's thread may end with a fault, and has ended when the test is over."""
    there = threading.enumerate()
    monkeypatch.setattr(threading, "excepthook", lambda about: None)
    yield
    for thread in set(threading.enumerate()).difference(there):
        thread.join(5)


def test_each_event_is_a_record(tmp_path):
    board = TensorBoard(tmp_path)
    for event in (batch(0), batch(1), epoch(0), Tested(loss=0.5, accuracy=0.7, low=0.5, high=0.8, samples=10)):
        board(event)
    board.close()
    found = scalars(tmp_path)
    assert [step for tag, step in found if tag == "batch/loss"] == [0, 1]
    assert ("epoch/val_accuracy", 0) in found and ("test/accuracy", 0) in found


def test_a_full_disk_ends_nothing_and_another_file_is_begun_later(tmp_path, monkeypatch, quiet):
    now, full, real = [0.0], [False], RecordWriter.write
    monkeypatch.setattr(tensorboard.time, "monotonic", lambda: now[0])

    def write(self, data):
        if full[0]:
            raise OSError(28, "No space left on device")
        real(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)
    board = TensorBoard(tmp_path)
    board(batch(0))
    board(epoch(0))
    full[0] = True
    board(batch(1))
    board(epoch(1))
    full[0] = False
    board(epoch(2))  # a moment later: it is not tried yet
    now[0] += tensorboard.AGAIN
    board(epoch(3))
    board.close()
    assert sorted({step for tag, step in scalars(tmp_path) if tag.startswith("epoch/")}) == [0, 3]


def test_a_disk_that_is_full_from_the_start_is_no_fault_either(tmp_path, monkeypatch, quiet):
    def write(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", write)
    board = TensorBoard(tmp_path)
    board(epoch(0))
    board.close()
