"""The event log: what is written comes back, whatever happened in between."""

import dataclasses
import errno
import json
import math

import pytest

from catfish_core import events
from catfish_core.errors import StorageError
from catfish_core.events import (
    BatchEnd,
    Completed,
    EarlyStop,
    EpochEnd,
    EventLog,
    Preparing,
    Resumed,
    Started,
    Stopped,
    Tested,
    Unfrozen,
)


def batch(step, loss=0.5):
    return BatchEnd(epoch=0, batch=step, step=step, loss=loss, lr=1e-3, images_per_second=10.0)


def test_what_is_written_comes_back_equal(tmp_path):
    started = Started(
        classes=("cat", "fi\nsh 🐟"), samples={"train": 4}, batches=1, epochs=2, parameters=9, trained=9,
        device="cpu", dataset_version="abc",
    )  # fmt: skip
    said = [Preparing(what="Drawing"), started, batch(0), Completed(best_epoch=0, best_val_accuracy=1.0, seconds=2.0)]
    with EventLog(tmp_path / "events.jsonl") as log:
        for event in said:
            log.append(event)
    found, offset = events.read(tmp_path / "events.jsonl")
    assert found == said
    assert offset == (tmp_path / "events.jsonl").stat().st_size


def test_an_infinite_loss_is_null_on_disk_and_nan_when_read(tmp_path):
    with EventLog(tmp_path / "log") as log:
        log.append(batch(0, math.inf))
        log.append(batch(1, math.nan))
    for line in (tmp_path / "log").read_text().splitlines():
        assert json.loads(line)["loss"] is None
    found, _ = events.read(tmp_path / "log")
    assert all(math.isnan(event.loss) for event in found)


def test_half_a_line_is_left_for_the_next_time(tmp_path):
    path = tmp_path / "log"
    whole = events.to_json(batch(0)).encode() + b"\n"
    half = events.to_json(batch(1)).encode()
    path.write_bytes(whole + half[:20])
    first, offset = events.read(path)
    assert [e.step for e in first] == [0] and offset == len(whole)
    path.write_bytes(whole + half + b"\n")
    assert [e.step for e in events.read(path, offset)[0]] == [1]


def test_a_line_torn_by_a_crash_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'{"type": "BatchEnd", "epo')
    with EventLog(path) as log:
        log.append(batch(3))
    assert [e.step for e in events.read(path)[0]] == [3]


def test_unknown_and_damaged_lines_are_passed_over(tmp_path):
    path = tmp_path / "log"
    lines = ['{"type": "FromTheFuture", "x": 1}', "not json", "[]", '{"type": "BatchEnd"}', events.to_json(batch(7))]
    path.write_text("\n".join(lines) + "\n")
    assert [e.step for e in events.read(path)[0]] == [7]


def test_a_log_that_is_not_there_has_no_events(tmp_path):
    assert events.read(tmp_path / "none", 5) == ([], 5)
    assert events.tail(tmp_path / "none") == []


def test_the_tail_of_a_long_log_is_its_end(tmp_path):
    with EventLog(tmp_path / "log") as log:
        for step in range(2000):
            log.append(batch(step))
    end = events.tail(tmp_path / "log", size=4096)
    assert end[-1].step == 1999 and 10 < len(end) < 100


def test_the_last_event_alone(tmp_path):
    path = tmp_path / "log"
    assert events.last(path) == []
    with EventLog(path) as log:
        log.append(batch(1))
        log.append(Preparing(what="x" * 10_000))
    assert (
        events.last(path) == events.tail(path)[-1:] == [Preparing(what="x" * 10_000, time=events.last(path)[0].time)]
    )
    with open(path, "ab") as file:
        file.write(b"no event\n{}\n\xff\n" + b'{"type": "Prepar')  # the last line is being written
    assert events.last(path) == events.tail(path)[-1:] != []
    path.write_bytes(b"\n" * 200_000)
    assert events.last(path) == []


@pytest.mark.parametrize("separator", "\u2028\u2029\x85\x0b\x0c\x1c\r")
def test_a_line_ends_where_the_line_ends(tmp_path, separator):
    """Names and messages may hold what Python takes for an end of a line."""
    with EventLog(tmp_path / "log") as log:
        log.append(batch(1))
        log.append(Preparing(what=f"a{separator}b"))
    for told in (events.last(tmp_path / "log"), events.read(tmp_path / "log")[0]):
        assert told[-1].what == f"a{separator}b"


STARTED = Started(
    classes=("cat", "fish"), samples={"train": 4}, batches=2, epochs=3, parameters=9, trained=9, device="cpu",
    dataset_version="abc",
)  # fmt: skip


def step(number, loss=0.5):
    return BatchEnd(
        epoch=number // 2, batch=number % 2, step=number, loss=loss, lr=1e-3, images_per_second=10.0, time=0.0
    )


def epoch(number, loss=0.5):
    return EpochEnd(
        epoch=number, train_loss=loss, train_accuracy=1.0, val_loss=loss, val_accuracy=1.0, lr=1e-3, seconds=1.0,
        images_per_second=10.0, improved=False, best_epoch=0, best_val_accuracy=1.0, time=0.0,
    )  # fmt: skip


def resumed(number):
    return Resumed(epoch=number // 2, batch=number % 2, step=number, time=0.0)


TESTED = Tested(loss=0.5, accuracy=1.0, low=0.9, high=1.0, samples=4)
DONE = Completed(best_epoch=0, best_val_accuracy=1.0, seconds=2.0)
STOPPED = Stopped(epoch=1, kept_epoch=0, seconds=1.0)
UP = Preparing(what="Starting up")
WHOLE = [
    UP,
    STARTED,
    step(0),
    step(1),
    epoch(0),
    step(2),
    step(3),
    epoch(1),
    step(4),
    step(5),
    epoch(2),
    TESTED,
    DONE,
]


@pytest.mark.parametrize(
    "told",
    [
        WHOLE,
        [UP, STARTED, step(0), step(1, 9), STOPPED, UP, STARTED, resumed(1), *WHOLE[3:]],
        [UP, STARTED, *WHOLE[2:6], step(3, 9), epoch(1, 9), UP, STARTED, UP, STARTED, resumed(3), *WHOLE[6:]],
        [*WHOLE[:11], UP, TESTED, UP, STARTED, resumed(6), TESTED, DONE],
        [UP, UP, STARTED, step(0, 9), UP, STARTED, resumed(0), *WHOLE[2:]][1:],
        [*WHOLE[:6], step(3, 9), STOPPED, UP, STARTED, *WHOLE[5:]],  # a log older than Resumed
    ],
    ids=["whole", "stopped", "killed twice", "killed in the test", "killed before the first checkpoint", "old"],
)
def test_a_log_with_interruptions_folds_into_that_of_an_uninterrupted_run(told):
    assert events.effective(told) == WHOLE


def test_a_run_that_was_told_to_go_on_has_its_new_number_of_epochs_and_no_end_in_the_middle():
    longer = dataclasses.replace(STARTED, epochs=4)
    stop = EarlyStop(epoch=2, patience=1)
    told = [*WHOLE[:-2], stop, *WHOLE[-2:], UP, longer, resumed(6), step(6), step(7), epoch(3), TESTED, DONE]
    assert events.effective(told) == [UP, longer, *WHOLE[2:11], step(6), step(7), epoch(3), TESTED, DONE]


def test_what_a_part_thawed_within_an_epoch_said_stands_unless_the_epoch_begins_anew():
    thawed = Unfrozen(epoch=1, parts={"fc": 0.1}, trained=3)
    told = [UP, STARTED, *WHOLE[2:5], thawed, step(2), step(3, 9)]
    assert thawed in events.standing([*told, STARTED, resumed(3)])
    assert thawed not in events.standing([*told, STARTED, resumed(2)])


def test_where_it_was_interrupted_can_still_be_seen():
    told = [UP, STARTED, step(0), step(1, 9), STOPPED, UP, STARTED, resumed(1), step(1)]
    assert events.standing(told) == [UP, STARTED, step(0), STOPPED, UP, STARTED, resumed(1), step(1)]


def test_a_log_that_tells_of_a_start_is_known(tmp_path):
    assert not events.began(tmp_path / "log")
    with EventLog(tmp_path / "log") as log:
        log.append(UP)
        assert not events.began(tmp_path / "log")
        log.append(STARTED)
    assert events.began(tmp_path / "log")


def test_a_line_for_which_there_is_no_room_leaves_no_half_behind(tmp_path):
    """As on a disk that is full: the system takes some bytes, then none."""
    path = tmp_path / "log"
    with EventLog(path) as log:
        log.append(batch(0))
        real = log._file

        class Full:
            seek, truncate = real.seek, real.truncate
            room = 20

            def write(self, content):
                if not self.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                taken, self.room = real.write(content[: self.room]), 0
                return taken

        log._file = Full()
        with pytest.raises(StorageError, match="full"):
            log.append(batch(1))
        log._file = real
        log.append(batch(2))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 2]
