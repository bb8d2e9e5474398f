"""The moving part of the learning-rate page: how a sweep stands, its curve, and what the rate on the line means."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from catfish_core.config import OptimizerConfig, RunConfig
from catfish_core.jobs.directory import ACTIVE, Status
from catfish_core.sweeps import Sweep, SweepSummary, status
from catfish_core.training.lr_finder import Curve
from catfish_ui import cache, controls, guard, places, sweep_charts, sweep_reading, sweep_status, sweep_table, waiting
from catfish_ui.components import Column, Row, chart, rate_line, table
from catfish_ui.sweep_progress import Findings, SweepProgress
from catfish_ui.sweep_reading import ABOUT, Meaning, rate
from catfish_ui.text import percent, plain

HEIGHT = 400  # pixels of the curve, and of what stands there before it
VALLEY = 190  # pixels of the ball in its valley
TICK = 0.7  # seconds between two looks at a sweep that moves
TONES = {"too small": "gray", "learning": "green", "edge": "orange", "diverging": "red"}


def show(sweep: Sweep, config: RunConfig, others: Sequence[SweepSummary], same: bool) -> None:
    """Draw the sweep as it is now; while it is active, again and again.

    `others` are sweeps it can be compared with; `same` says that the training form describes what was swept.
    """
    now = status(sweep)
    active = now in ACTIVE
    st.fragment(_tick, run_every=TICK if active else None)(sweep, config, others, same, active)


def _tick(sweep: Sweep, config: RunConfig, others: Sequence[SweepSummary], same: bool, was_active: bool) -> None:
    with guard.page_guard():
        progress = cache.sweep_log(sweep).refresh()
        now = status(sweep, [progress.last] if progress.last else [])
        if was_active and now not in ACTIVE:
            st.rerun()
        with st.container(border=True, key="sweep_panel"):
            _panel(sweep, now, progress)
        if not progress.made and now not in ACTIVE:
            return
        found = progress.findings
        at = _curve(sweep, config, progress, found, others)
        _meaning(sweep, config, found, at, now in ACTIVE, same)
        _tried(progress)
        _suggestions(found)


def _panel(sweep: Sweep, now: Status, progress: SweepProgress) -> None:
    """A headline, a sentence and a detail in the same places whatever the state."""
    waits = waiting.of(sweep) if now == "queued" else None
    line = waits.line if waits else sweep_status.line(now, progress)
    word, advice = sweep_status.word(now), progress.advised
    told = f"{plain(line.text)} {plain(line.hint)}".strip()
    headline, sentence, detail = f"{word.icon} {word.text.capitalize()}", told, ""
    if advice is not None:
        headline = f"Take {rate(advice.rate)}" if advice.rate is not None else "No rate to recommend"
        sentence, detail = plain(sweep_reading.upper(advice.reason)), told
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(gap="xxsmall", key="sweep_status"):
            st.subheader(headline, anchor=False)
            st.markdown(sentence)
            st.caption(detail)
        controls.show(sweep, now, waits=waits is not None and waits.long)
    if now in ACTIVE and not (waits and waits.long):
        st.progress(line.fraction)


def _curve(
    sweep: Sweep, config: RunConfig, progress: SweepProgress, found: Findings, others: Sequence[SweepSummary]
) -> float:
    """The curve with its line; the rate the line is at."""
    settings = progress.settings
    low, high, kept = settings.init, settings.final, f"sweep_rate_{sweep.id}"
    start = st.session_state.get(kept) or _short(found.advice.rate or config.optimizer.lr)
    start = min(high, max(low, start))
    with st.container(border=True, gap="xsmall"):
        st.markdown("##### How the loss answers to bigger and bigger steps")
        st.caption(
            "From left to right the steps grow. Drag the line, or press anywhere on the curve, to ask what a rate "
            "would mean. " + plain(sweep_reading.noted(progress.started))
        )
        place = st.container(gap=None)
        earlier = sweep_table.compared(others)
        with place:
            moved = rate_line(
                sweep_charts.curve(found, settings, {name: _known(other) for name, other in earlier.items()}),
                f"sweep_line_{sweep.id}",
                rate=start,
                span=(low, high),
                zones=[(name, min(high, until)) for name, until in sweep_reading.zones(found)],
                chips=[
                    (name.capitalize(), value, name == found.advice.recommended)
                    for name, value in found.advice.suggestions.items()
                    if value is not None
                ],
                name="Loss over learning rate",
                height=HEIGHT,
            )
    if moved is not None:
        st.session_state[kept] = moved  # the line stays there when somebody comes back
    return moved or start


def _known(other: Sweep) -> Curve:
    return cache.sweep_log(other).refresh().findings.curve


def _short(value: float) -> float:
    """A rate with the two digits that a person reads off a curve."""
    return float(f"{value:.2g}")


def _meaning(sweep: Sweep, config: RunConfig, found: Findings, at: float, active: bool, same: bool) -> None:
    told = sweep_reading.meaning(at, found, config.optimizer, active)
    left, right = st.columns([3, 2], gap="small")
    with left, st.container(border=True, gap="small", height="stretch", key="sweep_meaning"):
        _words(told, at)
        bad = told.zone == "diverging"
        if st.button(
            f"Use {rate(at)}{' all the same' if bad else ''}",
            key="sweep_use",
            type="secondary" if bad else "primary",
            icon=":material/check:",
        ):
            use(config, at, same)
        st.caption(
            "Puts this rate into the Train form."
            if same
            else "The Train form has other settings by now: this fills it with those of this sweep, and the rate."
        )
    with right, st.container(border=True, gap="xsmall", height="stretch", key="sweep_valley"):
        _valley(sweep, config.optimizer, found, at, active)


def _words(told: Meaning, at: float) -> None:
    badge = f" :{TONES[told.zone]}-badge[{told.zone}]" if told.zone in TONES else ""
    st.markdown(f"##### {rate(at)}{badge}")
    st.markdown(f"**{told.title}.** {plain(told.text)}")


def _valley(sweep: Sweep, optimizer: OptimizerConfig, found: Findings, at: float, active: bool) -> None:
    edge, adaptive = found.phases.diverges_from, optimizer.name != "sgd"
    st.markdown("##### A ball in a valley")
    if edge is None:
        st.container(height=VALLEY, border=False).caption(
            "Once the sweep has seen where the loss explodes, this shows how far steps of this size would carry."
            if active
            else "The sweep has not seen where the loss explodes, so it cannot be said how far a step would carry."
        )
        return
    chart(
        sweep_charts.valley(at, edge, adaptive),
        f"sweep_ball_{sweep.id}",
        name="A ball making steps of this size in a valley",
        height=VALLEY,
    )
    st.caption(
        f"{sweep_charts.landed(at / edge, adaptive)} Simplified: the height is the loss, and this valley is "
        f"as wide as the sweep found it, so that steps at {rate(edge)} reach across."
    )


def use(config: RunConfig, at: float, same: bool) -> None:
    """Carry the rate into the training form, with what was swept where the form has something else, and go there."""
    if same:
        st.session_state["train_rate"] = at
    else:
        optimizer = config.optimizer.model_copy(update={"lr": at})
        st.session_state["train_like"] = config.model_copy(update={"optimizer": optimizer})
    st.switch_page(places.TRAIN)


def _tried(progress: SweepProgress) -> None:
    if not progress.probes:
        return
    best = sweep_reading.best_probe(progress.probes)
    with st.container(border=True, gap="xsmall", key="sweep_probes"):
        st.markdown("##### Tried out")
        st.caption(plain(sweep_reading.probed(progress.probes)))
        columns = [Column("Suggestion"), Column("Rate", True), Column("Training loss", True),
                   Column("Validation loss", True), Column("Right", True)]  # fmt: skip
        rows = [
            Row(probe.name, [
                probe.name.capitalize(), rate(probe.lr), _loss(probe.loss),
                {"text": _loss(probe.val_loss), "tone": "green"} if probe is best else _loss(probe.val_loss),
                percent(probe.val_accuracy),
            ])
            for probe in progress.probes
        ]  # fmt: skip
        table(columns, rows, "sweep_tried", cards=True)


def _loss(loss: float | None) -> str:
    return "no number" if loss is None else f"{loss:.3g}"


def _suggestions(found: Findings) -> None:
    with st.expander("How the suggestions read the curve", icon=":material/school:"):
        columns = [Column("Suggestion"), Column("Rate", True), Column("How it reads the curve")]
        rows = [
            Row(name, [name.capitalize(), rate(at) if at is not None else "none", ABOUT.get(name, "")])
            for name, at in found.advice.suggestions.items()
        ]
        table(columns, rows, "sweep_suggestions")
        st.caption("None: the curve has no such place, because the loss never fell or never rose enough.")
