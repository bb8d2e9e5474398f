import math
from types import SimpleNamespace

import pytest

from catfish_core.events import (
    BatchEnd,
    Completed,
    EarlyStop,
    EpochEnd,
    Paused,
    Preparing,
    Resumed,
    Started,
    Stopped,
    Tested,
)
from catfish_ui.progress import Break, Log, Progress, Thinned


def started(epochs=4, batches=2, time=0.0, samples=None, test_seconds=0.0):
    return Started(
        classes=("cat", "fish"),
        samples=samples or {"train": 4},
        batches=batches,
        epochs=epochs,
        parameters=1,
        trained=1,
        device="cpu",
        dataset_version="v",
        test_seconds=test_seconds,
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


def test_the_photos_of_the_test_are_part_of_what_is_left():
    run = told(started(time=10, test_seconds=5.0), batch(0, 0, time=12))
    assert run.seconds_left == pytest.approx(3.5 * 4 + 5)


def whole_run(began=100.0, epochs=6, step=1.0, validation=0.5, saving=0.2, first_step=3.0, batches=4, from_epoch=0):
    """The log of a run by a simulated clock, each event at its time; and when the run was over."""
    clock, log = began, [started(epochs, batches, began, samples={"train": 40, "val": 10, "test": 20})]
    for epoch in range(from_epoch, epochs):
        for number in range(batches):
            clock += first_step if (epoch, number) == (from_epoch, 0) else step
            log.append(batch(epoch, number, time=clock, batches=batches))
        clock += validation
        log.append(epoch_end(epoch, time=clock))
        clock += saving
    return log, clock + 2 * validation  # twice as many test photos


def errors(log, end, progress):
    """How far the time left is off after each event from the first EpochEnd on, as parts of what really is left.

    Of the last five seconds, as parts of five: a second more or less is right enough there.
    """
    found, known = [], False
    for event in log:
        progress.take(event)
        known = known or isinstance(event, EpochEnd)
        if known:
            left = end - event.time
            found.append((progress.seconds_left - left) / max(left, 5.0))
    return found


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"first_step": 1.0, "saving": 0.0},
        {"validation": 4.0},
        {"step": 0.01, "validation": 0.004, "first_step": 0.3, "saving": 0.002, "epochs": 400},
        {"saving": 0.9, "epochs": 30},
    ],
    ids=["usual", "even", "long validation", "quick", "slow disk"],
)
def test_time_left_is_right_within_a_fifth_after_the_first_epoch(shape):
    log, end = whole_run(**shape)
    found = errors(log, end, Progress())
    assert len(found) > 5 and max(map(abs, found)) < 0.2


def test_one_step_an_epoch_is_right_from_the_second_epoch_on():
    """The first takes three times as long and is all there is to judge from until then."""
    log, end = whole_run(batches=1, epochs=40)
    progress = Progress()
    for event in log[:5]:
        progress.take(event)
    assert max(map(abs, errors(log[5:], end, progress)[8:])) < 0.2


def test_preparation_is_no_part_of_the_pace():
    log, end = whole_run(began=100.0)
    waited = Preparing(what="Preparing the photos", time=0.0)
    assert max(map(abs, errors([waited, *log], end, Progress()))) < 0.2


def test_time_left_follows_a_pace_that_changes():
    slow, _ = whole_run(epochs=20, step=2.0)
    progress = told(*[e for e in slow if getattr(e, "epoch", 0) < 10])
    quick, end = whole_run(began=progress.last.time, epochs=20, from_epoch=10, first_step=1.0)
    wrong = errors(quick[1:], end, progress)
    assert abs(wrong[0]) > 0.3 and max(map(abs, wrong[25:])) < 0.2  # five epochs of five events later


def test_a_resumed_attempt_keeps_the_pace_and_not_the_night_between():
    log, _ = whole_run(epochs=6)
    stopped = log[: log.index(next(e for e in log if isinstance(e, EpochEnd) and e.epoch == 2)) + 3]  # in epoch 3
    progress = told(*stopped)
    again, end = whole_run(began=stopped[-1].time + 30_000, epochs=6, from_epoch=3)
    progress.take(again[0])
    assert progress.done == 3  # the steps of the torn epoch are made again
    assert progress.seconds_left == pytest.approx(end - again[0].time, rel=0.2)
    assert max(map(abs, errors(again[1:], end, progress))) < 0.2


def test_time_left_is_never_negative():
    log, _ = whole_run(epochs=3)
    progress = Progress()
    for event in [*log, EarlyStop(epoch=2, patience=1), *log]:
        progress.take(event)
        assert progress.seconds_left is None or progress.seconds_left >= 0


def test_after_an_early_stop_only_the_test_is_left():
    log, _ = whole_run(epochs=50)
    run = told(*log[:11], EarlyStop(epoch=1, patience=1))
    assert run.seconds_left == pytest.approx(2 * 0.5)


def test_photos_a_second_are_those_of_recent_epochs():
    assert told(Preparing(what="x")).images_per_second is None
    assert told(started(), batch(0, 0)).images_per_second == 10
    run = told(started(), batch(0, 0), epoch_end(0, images_per_second=20.0), epoch_end(1, images_per_second=60.0))
    assert run.images_per_second == pytest.approx(30)  # as long at 20 as at 60: 2 / (1/20 + 1/60)


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


def test_a_run_that_trains_further_is_no_longer_at_its_end():
    over = [started(2, time=0), batch(0, 0, time=1), batch(0, 1, time=2), epoch_end(0, time=3)]
    over += [EarlyStop(epoch=0, patience=1), Tested(loss=1.0, accuracy=0.5, low=0.4, high=0.6, samples=4)]
    further = told(*over, started(4, time=100), Resumed(epoch=1, batch=0, step=2), batch(1, 0, time=101))
    assert further.early_stop is None and further.tested is None and further.done == 1.5
    assert further.seconds_left == pytest.approx(2.5 * 2 + 3 * 1)  # two seconds of steps, one of validation an epoch


def test_steps_that_were_lost_leave_the_curve_before_they_are_made_again():
    lost = told(
        started(), batch(0, 0), batch(0, 1), epoch_end(0), batch(1, 0), started(), Resumed(epoch=0, batch=1, step=1)
    )
    assert list(lost.loss.x) == [0.5] and lost.epochs == []


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ([Paused(epoch=1, kept_epoch=0, seconds=1)], "paused"),
        ([Stopped(epoch=1, kept_epoch=0, seconds=1)], "stopped"),
        ([Completed(best_epoch=0, best_val_accuracy=0.5, seconds=1)], "trained longer"),
        ([], "interrupted"),
    ],
)
def test_where_it_was_interrupted_and_why(end, why):
    before = [started(), batch(0, 0), batch(0, 1), epoch_end(0), batch(1, 0)]
    again = [*before, *end, started(), Resumed(epoch=1, batch=1, step=3), batch(1, 1)]
    assert told(*again).breaks == [Break(1.5, why)]
    assert told(*again, started(), Resumed(epoch=1, batch=0, step=2)).breaks == [Break(1.0, "interrupted")]


def test_time_left_of_an_attempt_that_began_within_an_epoch():
    """Of the first four batches three were made before; this one took two seconds."""
    run = told(started(1, batches=8, time=100, samples={"train": 8}), batch(0, 3, time=102, batches=8))
    assert run.seconds_left == pytest.approx(4 * 2)


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


def test_twenty_who_watch_a_run_read_and_draw_once(tmp_path, monkeypatch):
    from catfish_core.events import EventLog
    from catfish_core.runs import Run
    from catfish_ui import progress as module

    clock, made = [100.0], []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def done(progress, factor):
        made.append(factor)
        return progress.done * factor

    log = Log(Run(tmp_path), Progress())
    with EventLog(log.job.events_path) as sink:
        sink.append(started())
        log.refresh(within=0.25)
        sink.append(batch(0, 0))
        assert [log.refresh(within=0.25).done, log.made(done, 2), log.made(done, 2)] == [0, 0, 0]
        assert log.made(done, 4) == 0 and made == [2, 4]
        clock[0] += 0.25
        assert [log.refresh(within=0.25).done, log.made(done, 2)] == [0.5, 1.0] and made == [2, 4, 2]
        sink.append(batch(0, 1))
        assert log.refresh().done == 1.0  # whoever must not be late is not
        assert log.made(done, 2) == 2.0
