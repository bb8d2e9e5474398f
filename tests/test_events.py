"""The event log: what is written comes back, whatever happened in between."""

import json
import math

from catfish_core import events
from catfish_core.events import BatchEnd, Completed, EventLog, Preparing, Started


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
