from typing import get_args

from catfish_core.events import Completed, EarlyStop, Failed, Paused, Preparing, Resumed, Started, Stopped, Unfrozen
from catfish_core.runs import Status
from catfish_ui import status
from catfish_ui.progress import Progress


def told(*events):
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress


def test_every_status_has_its_word():
    assert set(status.WORDS) == set(get_args(Status))


def test_before_the_first_event_it_says_what_is_going_on():
    assert "Waking up" in status.line("queued", told()).text
    assert "Waking up" in status.line("running", told(Preparing(what="Starting up"))).text


def test_preparations_are_counted():
    line = status.line("running", told(Preparing(what="Drawing Sketchbook", done=150, total=600, unit="pictures")))
    assert line.text == "Getting ready: Drawing Sketchbook, 150 of 600 pictures." and line.fraction == 0.25


def test_the_time_of_a_last_attempt_is_not_told_as_that_of_the_whole_run():
    done = Completed(best_epoch=2, best_val_accuracy=1, seconds=65)
    assert status.line("completed", told(Resumed(epoch=1, batch=0, step=3), done)).text == "Done."


def test_every_end_has_a_sentence_and_a_way_on():
    done = status.line(
        "completed", told(EarlyStop(epoch=4, patience=1), Completed(best_epoch=2, best_val_accuracy=1, seconds=65))
    )
    assert (
        done.text.startswith("Done in 1 min 5 s")
        and "1 epoch without progress" in done.text
        and "epoch 3" in done.hint
    )
    assert "epoch 2 are kept" in status.line("stopped", told(Stopped(epoch=4, kept_epoch=1, seconds=1))).hint
    failed = status.line("failed", told(Failed(what="No memory.", hint="Take less.")))
    assert (failed.text, failed.hint) == ("No memory.", "Take less.")
    assert "Go on" in status.line("crashed", told()).hint


def test_photos_of_a_run():
    assert status.photos({"train": 400, "val": 100, "test": 0}) == "400 photos to learn from and 100 to check on"


def test_a_run_launched_again_gets_ready_again():
    started = Started(
        classes=("a", "b"),
        samples={},
        batches=1,
        epochs=3,
        parameters=1,
        trained=1,
        device="cpu",
        dataset_version="v",
    )
    stopped = Stopped(epoch=1, kept_epoch=0, seconds=1)
    assert "Waking up" in status.line("queued", told(started, stopped)).text
    ready = status.line("running", told(started, stopped, Preparing(what="Building the network")))
    assert ready.text == "Getting ready: Building the network."
    test = status.line("running", told(started, EarlyStop(epoch=1, patience=1), Preparing(what="Measuring")))
    assert "never seen" in test.text


def test_how_a_run_is_computed_is_said_in_words():
    started = Started(
        classes=("a", "b"), samples={}, batches=1, epochs=1, parameters=1, trained=1, device="cpu",
        dataset_version="v", compute="bf16, channels-last", note="The head trains on what the backbone saw.",
    )  # fmt: skip
    assert status.computing(started) == (
        "The head trains on what the backbone saw. "
        "Computed by the processor in half-length numbers (bf16, channels-last)."
    )


def test_a_run_from_before_formats_were_told_says_nothing():
    started = Started(
        classes=("a", "b"),
        samples={},
        batches=1,
        epochs=1,
        parameters=1,
        trained=1,
        device="cpu",
        dataset_version="v",
    )
    assert status.computing(started) == ""


def test_what_is_trained_is_said_and_follows_a_thaw():
    started = Started(
        classes=("a", "b"), samples={}, batches=1, epochs=3, parameters=1000, trained=10, device="cpu",
        dataset_version="v", parts={"conv": 0.0, "mid": 0.0, "fc": 0.001},
    )  # fmt: skip
    assert status.training(told()) == ""
    assert status.training(told(started)) == "10 of 1,000 parameters learn: fc."
    thawed = Unfrozen(epoch=1, parts={"conv": 0.0, "mid": 0.00033333, "fc": 0.001}, trained=500)
    said = status.training(told(started, thawed))
    assert said == "500 of 1,000 parameters learn: fc at 0.001 and mid at 0.000333."
    assert status.training(told(started, Unfrozen(epoch=2, parts={"fc": 1.0}, trained=1000))) == ""


def test_a_run_that_waits_or_rests_says_so():
    assert status.waiting(1, "").text == "Next in line." and status.waiting(3, "").text == "Third in line."
    assert status.waiting(12, "").text == "Number 12 in line."
    line = status.waiting(2, "One job is at work on the processor.", {"Long one": 4000.0, "My first model": 123.0})
    assert line.hint == "One job is at work on the processor. “My first model” needs about 2 min more."
    line = status.line("paused", told(Paused(epoch=1, kept_epoch=0, seconds=2.0)))
    assert line.text == "Paused in epoch 2." and "Go on" in line.hint
    assert "Pausing" in status.line("pausing", told()).text
