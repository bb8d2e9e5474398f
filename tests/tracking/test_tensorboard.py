"""What TensorBoard reads of a run, by its own reader; and that a disk that takes none of it ends no training."""

from contextlib import closing

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from catfish_core.events import BatchEnd, EpochEnd, Resumed, Tested
from catfish_core.tracking import tensorboard
from catfish_core.tracking.tensorboard import TensorBoard


def batch(step, loss=0.5):
    return BatchEnd(epoch=0, batch=step, step=step, loss=loss, lr=0.5, images_per_second=1.0, time=1000.0 + step)


def epoch(number):
    return EpochEnd(
        epoch=number, train_loss=0.5, train_accuracy=0.75, val_loss=0.25, val_accuracy=1.0, lr=0.5, seconds=1.0,
        images_per_second=8.0, improved=True, best_epoch=0, best_val_accuracy=1.0,
    )  # fmt: skip


def scalars(folder):
    """Steps and values of each tag, as TensorBoard would draw them."""
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture
def disk(monkeypatch):
    """disk["full"] says whether records are refused."""
    state, real = {"full": False}, RecordWriter.write

    def write(self, data):
        if state["full"]:
            raise OSError(28, "No space left on device")
        real(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)
    return state


def test_every_scalar_of_a_run_is_there(tmp_path):
    with closing(TensorBoard(tmp_path)) as board:
        for event in (batch(0, 2.0), batch(1, 1.0), epoch(0)):
            board(event)
        told = scalars(tmp_path)  # an epoch that is over can be looked at while the next one runs
        board(Tested(loss=0.5, accuracy=0.75, low=0.5, high=1.0, samples=4))
    assert told["batch/loss"] == [(0, 2.0), (1, 1.0)] and told["batch/learning_rate"] == [(0, 0.5), (1, 0.5)]
    assert told["epoch/val_loss"] == [(0, 0.25)] and told["epoch/train_accuracy"] == [(0, 0.75)]
    assert scalars(tmp_path)["test/accuracy"] == [(0, 0.75)]
    assert EventAccumulator(str(tmp_path)).Reload().Scalars("batch/loss")[1].wall_time == 1001.0


def test_what_was_lost_with_an_attempt_is_drawn_once(tmp_path):
    first, again = [batch(0, 2.0), batch(1, 1.0), batch(2, 7.0)], [Resumed(epoch=0, batch=2, step=2), batch(2, 3.0)]
    for attempt in (first, again):
        with closing(TensorBoard(tmp_path)) as board:
            for event in attempt:
                board(event)
    assert len(list(tmp_path.iterdir())) == 2
    assert scalars(tmp_path)["batch/loss"] == [(0, 2.0), (1, 1.0), (2, 3.0)]


def test_a_full_disk_ends_nothing_and_another_file_is_begun_later(tmp_path, monkeypatch, disk):
    now = [0.0]
    monkeypatch.setattr(tensorboard.time, "monotonic", lambda: now[0])
    with closing(TensorBoard(tmp_path)) as board:
        board(epoch(0))
        disk["full"] = True
        board(batch(1))
        board(epoch(1))
        disk["full"] = False
        board(epoch(2))  # a moment later: it is not tried yet
        now[0] += tensorboard.AGAIN
        board(epoch(3))
    assert [step for step, _ in scalars(tmp_path)["epoch/val_loss"]] == [0, 3]


def test_a_disk_that_is_full_from_the_start_is_no_fault_either(tmp_path, disk):
    disk["full"] = True
    with closing(TensorBoard(tmp_path)) as board:
        board(epoch(0))
    (tmp_path / "file").write_text("")
    with closing(TensorBoard(tmp_path / "file" / "tensorboard")) as board:
        board(epoch(0))
