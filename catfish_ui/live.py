"""The moving part of a run's page: how it stands, what the curves mean, the four curves."""

from __future__ import annotations

import json
from dataclasses import dataclass

import streamlit as st

from catfish_core import runs
from catfish_core.runs import Run, Status
from catfish_ui import cache, charts, controls, guard, places, reading, settings, status, waiting
from catfish_ui.components import chart
from catfish_ui.progress import Progress
from catfish_ui.text import duration, hits, pace, percent, plain
from catfish_ui.waiting import Wait

HEIGHT = 240  # pixels of a curve, and of what stands there before it
BOXES = {"wait": st.info, "good": st.success, "warn": st.warning, "bad": st.error}
ICONS = {
    "wait": ":material/hourglass_empty:",
    "good": ":material/trending_up:",
    "warn": ":material/warning:",
    "bad": ":material/trending_flat:",
}


def show(run: Run) -> Status:
    """Draw the run as it is now; while it is active, again every second."""
    now = runs.summary(run).status
    active = now in runs.ACTIVE
    cache.run_log(run).refresh()  # what is drawn at first, and of a run that has ended for good, is the latest
    st.fragment(_tick, run_every=1.0 if active else None)(run, active)
    return now


def _tick(run: Run, was_active: bool) -> None:
    with guard.page_guard():
        progress, now = cache.standing(run)
        if was_active and now not in runs.ACTIVE:
            st.rerun()
        waits = waiting.of(run) if now == "queued" else None
        with st.container(border=True, key="run_panel"):
            _panel(run, now, progress, waits)
        if progress.batch is not None or now in runs.ACTIVE and not (waits and waits.long):
            _curves(run, now, cache.run_log(run).made(_drawn, now in runs.ACTIVE))


def _panel(run: Run, now: Status, progress: Progress, waits: Wait | None) -> None:
    line = waits.line if waits else status.line(now, progress)
    with st.container(horizontal=True, vertical_alignment="center", key="run_head"):
        with st.container(gap="xxsmall", key="run_status"):
            if now == "completed" and progress.tested:
                _verdict(progress)
            elif now not in runs.ACTIVE or waits:
                word = status.WORDS[now]
                st.badge(word.text, color=word.color, icon=word.icon)  # type: ignore[arg-type]
            st.markdown(f"**{plain(line.text)}** {plain(line.hint)}".strip())
        _buttons(run, now, progress, waits is not None and waits.long)
    if now in runs.ACTIVE and not (waits and waits.long):
        st.progress(line.fraction)
    if waits and waits.long and not progress.started:
        st.caption("It starts by itself when its turn comes. This page may be closed, and the app too.")
        st.page_link(places.LAB, label="See the whole queue", icon=":material/format_list_numbered:")
        return
    _figures(now, progress)
    if progress.started:
        how = f"{status.training(progress)} {status.computing(progress.started)}".strip()
        if how:
            st.caption(plain(how))


def _verdict(progress: Progress) -> None:
    tested = progress.tested
    assert tested is not None
    st.subheader(f"{hits(tested.accuracy, tested.samples).capitalize()}", anchor=False)
    low, high = percent(tested.low), percent(tested.high)
    st.caption(
        f"On other photos of this kind, expect between {low} and {high} to be right: with {tested.samples:,} test "
        "photos, that is as exact as it gets (95 % confidence)."
    )


def _buttons(run: Run, now: Status, progress: Progress, waits: bool) -> None:
    with st.container(horizontal=True, width="content", vertical_alignment="center"):
        if now == "failed" and st.button("Change settings", key="run_change", icon=":material/tune:"):
            settings.train_like(run.config())
        controls.show(run, now, waits=waits)
        if now == "completed":
            controls.longer(run, progress.started.epochs // 2 if progress.started else 5)
        if (
            now not in runs.ACTIVE
            and run.model_path.exists()
            and st.button("Try it on a photo", key="run_predict", type="primary", icon=":material/add_a_photo:")
        ):
            places.go_to_predict(run.id)


def _figures(now: Status, progress: Progress) -> None:
    """Four numbers, in the same places whatever the state."""
    best, speed, started = progress.best, progress.images_per_second, progress.started
    cells = st.grid(4, min_column_width=140)
    epoch = f"{len(progress.epochs)} of {started.epochs}" if started else "–"
    cells.metric("Epochs done", epoch, help="An epoch is one round through all training photos.")
    cells.metric(
        "Best on validation",
        percent(best.best_val_accuracy) if best else "–",
        help="Right answers on photos kept aside to check on while it learns.",
    )
    shown = f"{speed:,.0f} /s" if speed is not None else "–"
    cells.metric("Photos a second", shown, help="How fast it learns on this computer.")
    if now in runs.ACTIVE:
        left = progress.seconds_left
        cells.metric(
            "Time left", duration(left) if left is not None else "–", help="At its pace so far, checks included."
        )
    else:
        spent = sum(e.seconds for e in progress.epochs)
        cells.metric("Time to train", (pace if spent < 9.5 else duration)(spent) if spent else "–")


@dataclass(frozen=True)
class _Curve:
    """A chart with what it is about; its figure is JSON, None while there is nothing to draw."""

    title: str
    about: str
    figure: str | None


def _drawn(progress: Progress, active: bool) -> tuple[reading.Reading, list[_Curve]]:
    """What the curves mean, and the four of them."""
    meaning, epochs = _meaning(progress, active), progress.epochs
    planned = max(1, len(epochs))
    if progress.started and active:
        planned = charts.horizon(progress.done, progress.started.epochs)
    several = len({value for value in progress.parts.values() if value}) > 1
    figures = [
        charts.batch_loss(progress.loss, planned, progress.breaks) if progress.batch else None,
        charts.losses(epochs, planned, meaning.overfitting) if epochs else None,
        charts.accuracies(epochs, planned) if epochs else None,
        charts.learning_rate(progress.rate, planned) if progress.batch else None,
    ]
    words = [
        ("Loss of each batch", "How wrong it is on each handful of photos. It jumps about; the trend counts."),
        ("Loss of each epoch", "How wrong it is after each round. Validation photos are never learned from."),
        ("Accuracy", "How many answers are right. The star marks the weights that are kept."),
        (
            "Learning rate",
            "How big the steps of the head are; other parts keep their proportion to it."
            if several
            else "How big the steps are in which it learns.",
        ),
    ]
    curves = [_Curve(*told, _json(figure)) for told, figure in zip(words, figures, strict=True)]
    return meaning, curves


def _json(figure: charts.Figure | None) -> str | None:
    """Written once for everybody: to write thousands of numbers is most of what a look at a long run costs."""
    return None if figure is None else json.dumps(figure, separators=(",", ":"))


def _meaning(progress: Progress, active: bool) -> reading.Reading:
    planned = progress.started.epochs if progress.started else 0
    classes = len(progress.started.classes) if progress.started else 2
    return reading.read(progress.epochs, planned, classes, active)


def _curves(run: Run, now: Status, drawn: tuple[reading.Reading, list[_Curve]]) -> None:
    meaning, curves = drawn
    with st.container(key="run_reading"):
        BOXES[meaning.mood](f"**What the curves mean.** {meaning.text}", icon=ICONS[meaning.mood])
    cells = [place for _ in range(2) for place in st.columns(2)]
    for place, curve in zip(cells, curves, strict=True):
        with place, st.container(border=True, gap="xsmall"):
            st.markdown(f"##### {curve.title}")
            st.caption(curve.about)
            if curve.figure is not None:
                chart(curve.figure, f"{run.id}-{curve.title}", name=curve.title, height=HEIGHT)
            elif now in runs.ACTIVE:
                st.skeleton(HEIGHT)
            else:
                st.container(height=HEIGHT, border=False).caption("Nothing to draw: it ended before that.")
