"""What TensorBoard reads of a run, by its own reader."""

from contextlib import closing

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from catfish_core.errors import StorageError
from catfish_core.events import BatchEnd, EpochEnd, Resumed, Tested
from catfish_core.tracking.tensorboard import TensorBoard


def batch(step, loss):
    return BatchEnd(epoch=0, batch=step, step=step, loss=loss, lr=0.5, images_per_second=1.0, time=1000.0 + step)


def epoch(number):
    return EpochEnd(
        epoch=number, train_loss=0.5, train_accuracy=0.75, val_loss=0.25, val_accuracy=1.0, lr=0.5, seconds=1.0,
        images_per_second=8.0, improved=True, best_epoch=0, best_val_accuracy=1.0,
    )  # fmt: skip


def scalars(folder):
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


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
    for attempt in (
        [batch(0, 2.0), batch(1, 1.0), batch(2, 7.0)],
        [Resumed(epoch=0, batch=2, step=2), batch(2, 3.0)],
    ):
        with closing(TensorBoard(tmp_path)) as board:
            for event in attempt:
                board(event)
    assert len(list(tmp_path.iterdir())) == 2
    assert scalars(tmp_path)["batch/loss"] == [(0, 2.0), (1, 1.0), (2, 3.0)]


def test_a_folder_that_cannot_be_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        TensorBoard(tmp_path / "file" / "tensorboard")
