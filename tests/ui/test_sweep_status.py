from typing import get_args

import pytest

from catfish_core.config import SweepConfig
from catfish_core.events import Failed, Preparing, Stopped, SweepEnded
from catfish_core.jobs.directory import Status
from catfish_ui import sweep_status
from catfish_ui.sweep_progress import SweepProgress


def told(events, settings=None):
    progress = SweepProgress(settings or SweepConfig())
    for event in events:
        progress.take(event)
    return progress


@pytest.mark.parametrize("status", get_args(Status))
def test_every_state_is_a_word_and_a_sentence(status, sweeping):
    assert sweep_status.word(status).text
    for progress in (told([]), told(sweeping(made=3))):
        assert sweep_status.line(status, progress).text


def test_the_way_up_is_told():
    assert "Waking up" in sweep_status.line("queued", told([])).text
    drawing = Preparing(what="Drawing the photos", done=3, total=600, unit="photos")
    assert sweep_status.line("running", told([drawing])).text == "Drawing the photos, 3 of 600 photos."


def test_the_step_and_its_rate_are_told(sweeping):
    assert "Step 1 of 100, at a rate of 1e-06" in sweep_status.line("running", told(sweeping(made=1))).text
    again = SweepConfig(seeds=2)
    assert "sweep 2 of 2" in sweep_status.line("running", told(sweeping(again, made=4), again)).text


def test_the_end_says_how_it_came(whole_sweep):
    done = told(whole_sweep(SweepConfig()))
    line = sweep_status.line("completed", done)
    assert line.text == "Done in 14 s. It stopped where the loss exploded." and line.fraction == 1


def test_a_stop_says_what_is_left(sweeping):
    stop = Stopped(epoch=0, kept_epoch=None, seconds=1)
    assert "below" in sweep_status.line("stopped", told([*sweeping(made=5), stop])).hint
    assert "not measured anything" in sweep_status.line("stopped", told([stop])).hint


def test_a_failure_is_said_in_its_own_words():
    line = sweep_status.line("failed", told([Failed(what="No photos.", hint="Add some.")]))
    assert (line.text, line.hint) == ("No photos.", "Add some.")


def test_a_crash_has_a_way_out(sweeping):
    assert "Try again" in sweep_status.line("crashed", told(sweeping(made=5))).hint


def test_progress_counts_what_an_early_end_saves(sweeping):
    settings = SweepConfig(probes=0)
    progress = told(sweeping(settings, made=50), settings)
    assert sweep_status.fraction(progress) == 0.5
    progress.take(SweepEnded(seed=0, reason="diverged", steps=50))
    assert sweep_status.fraction(progress) == 1
