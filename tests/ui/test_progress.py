import math

import pytest

from catfish_core.events import BatchEnd, Completed, EarlyStop, EpochEnd, Preparing, Started, Tested
from catfish_ui.progress import Log, Progress, Thinned


def started(epochs=4, batches=2, time=0.0):
    return Started(
        classes=("cat", "fish"),
        samples={"train": 4},
        batches=batches,
        epochs=epochs,
        parameters=1,
        trained=1,
        device="cpu",
        dataset_version="v",
        time=time,
    )


def batch(epoch, number, loss=1.0, time=0.0, batches=2):
    step = epoch * batches + number
    return BatchEnd(epoch=epoch, batch=number, step=step, loss=loss, lr=0.1, images_per_second=10, time=time)


def epoch_end(epoch, seconds=3.0, **values):
    usual = {
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "val_loss": 1.0,
        "val_accuracy": 0.5,
        "lr": 0.1,
        "images_per_second": 10.0,
        "improved": True,
        "best_epoch": epoch,
        "best_val_accuracy": 0.5,
    }
    return EpochEnd(epoch=epoch, seconds=seconds, **(usual | values))


def told(*events):
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress


def test_a_long_curve_stays_short_and_keeps_its_mean():
    curve = Thinned(limit=100)
    for x in range(10_000):
        curve.add(x, x)
    assert len(curve.x) == len(curve.y) < 100
    assert list(curve.x) == sorted(curve.x)
    for x, y in zip(curve.x, curve.y, strict=True):
        assert y == pytest.approx(x - (curve.stride - 1) / 2)


def test_a_short_curve_is_kept_whole():
    curve = Thinned(limit=100)
    for x in range(99):
        curve.add(x, -x)
    assert list(curve.y) == [-x for x in range(99)] and curve.stride == 1


def test_a_gap_stays_a_gap():
    curve = Thinned(limit=4)
    for x in range(4):
        curve.add(x, math.nan if x == 0 else 1.0)
    assert math.isnan(curve.y[0]) and curve.y[1] == 1.0


def test_progress_in_parts_of_epochs():
    assert told().done == 0
    assert told(started(), batch(0, 0)).done == 0.5
    assert told(started(), batch(0, 0), batch(0, 1), epoch_end(0)).done == 1
    assert told(started(), batch(0, 0), batch(0, 1), epoch_end(0), batch(1, 0)).done == 1.5


def test_time_left_is_not_told_before_it_is_known():
    assert told(Preparing(what="x")).seconds_left is None
    assert told(started(time=10), batch(0, 0, time=12)).seconds_left == pytest.approx(3.5 * 4)


def test_time_left_follows_recent_epochs():
    run = told(started(), batch(0, 0), batch(0, 1), epoch_end(0, 3.0), batch(1, 0), batch(1, 1), epoch_end(1, 5.0))
    assert run.seconds_left == pytest.approx(2 * 4.0)


def test_a_resumed_run_goes_its_last_steps_again():
    run = told(
        started(),
        batch(0, 0),
        batch(0, 1),
        epoch_end(0),
        batch(1, 0, loss=9),
        started(),
        batch(1, 0, loss=2),
        batch(1, 1),
        epoch_end(1),
    )
    assert list(run.loss.x) == [0.5, 1.0, 1.5, 2.0]
    assert list(run.loss.y) == [1.0, 1.0, 2.0, 1.0]
    assert [e.epoch for e in run.epochs] == [0, 1]


def test_the_last_word_is_the_last():
    done = Completed(best_epoch=0, best_val_accuracy=0.5, seconds=1)
    assert told(started(), done).ended == done
    assert told(started(), done, started()).ended is None
    stop = EarlyStop(epoch=1, patience=2)
    tested = Tested(loss=1, accuracy=0.5, low=0.4, high=0.6, samples=10)
    assert told(stop, tested).early_stop == stop and told(stop, tested).tested == tested


def test_a_log_is_read_on_from_where_it_was(tmp_path):
    from catfish_core.events import EventLog
    from catfish_core.runs import Run

    run = Run(tmp_path)
    log = Log(run, Progress())
    with EventLog(run.events_path) as sink:
        sink.append(started())
        assert log.refresh().batch is None
        sink.append(batch(0, 0))
        assert log.refresh().done == 0.5
    with open(run.events_path, "ab") as file:
        file.write(b'{"type": "EpochEnd", "ep')
    assert log.refresh().done == 0.5
