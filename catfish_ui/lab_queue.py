"""What the machine is doing now: its meters, what runs, and who is next; drawn anew every two seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from catfish_core.jobs import directory, queue
from catfish_core.jobs.census import Entry
from catfish_core.jobs.directory import Job
from catfish_core.jobs.queue import Overview
from catfish_core.lab.desk import Desk
from catfish_core.lab.machine import Share
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_ui import cache, guard, lab_reading, places, status, sweep_status
from catfish_ui.components import Clicked, Column, Row, table
from catfish_ui.lab_reading import Meter
from catfish_ui.text import ago, plain, roughly, shorten

TICK = 2.0  # seconds between two looks
SHOWN = 20  # waiting runs listed; the others are counted


def show(desk: Desk, shared: bool) -> None:
    """Draw the machine and its queue; `shared` says that runs belong to people."""
    st.fragment(_tick, run_every=TICK)(desk, shared)


@dataclass(frozen=True)
class _View:
    """One look at the queue, for one person."""

    desk: Desk
    shared: bool
    seen: Overview
    jobs: dict[str, Job]

    def named(self, entry: Entry) -> list[str | dict[str, Any]]:
        """The cells that say what `entry` is, and whose."""
        note = "" if entry.kind == "run" else "looks for a learning rate"
        name: dict[str, Any] = {"text": shorten(cache.title(self.jobs[entry.id]), 60), "note": note, "link": True}
        return [name, lab_reading.person(entry.owner)] if self.shared else [name]

    def columns(self, *others: str) -> list[Column]:
        return [Column("Run"), *([Column("Person")] if self.shared else []), *(Column(name) for name in others)]


def _tick(desk: Desk, shared: bool) -> None:
    with guard.page_guard():
        ws = desk.workspace
        seen = queue.overview(ws)
        jobs = {entry.id: entry.job(ws) for entry in (*seen.running, *seen.waiting)}
        reading = cache.meter(ws).read([jobs[entry.id] for entry in seen.running])
        _meters(lab_reading.meters(reading, seen.devices))
        view = _View(desk, shared, seen, jobs)
        st.header("At work", anchor=False)
        _running(view, reading.shares)
        st.header(f"Waiting ({len(seen.waiting):,})" if seen.waiting else "Waiting", anchor=False)
        _waiting(view)


def _meters(found: Sequence[Meter]) -> None:
    grid = st.grid(3 if len(found) == 3 else 4, min_column_width=200)
    for meter in found:
        with grid.cell(), st.container(border=True, gap="xxsmall", height="stretch"):
            st.caption(plain(meter.name))
            st.markdown(f"**{plain(meter.value)}**")
            st.progress(min(1.0, max(0.0, meter.part)))
            st.caption(plain(meter.note))


def _running(view: _View, shares: dict[str, Share]) -> None:
    if not view.seen.running:
        st.caption("Nothing is being trained right now.")
        st.page_link(places.TRAIN, label="Train a network", icon=":material/model_training:")
        return
    words = {device.name: device.words for device in view.seen.devices}
    rows = [_at_work(view, entry, words, shares.get(entry.id)) for entry in view.seen.running]
    _act(view, table(view.columns("How far", "On"), rows, "lab_running", cards=True))


def _at_work(view: _View, entry: Entry, words: dict[str, str], share: Share | None) -> Row:
    job = view.jobs[entry.id]
    how, part, left = _stage(job)
    wished = job.wished("stop") or job.wished("pause")
    return Row(
        entry.id,
        [
            *view.named(entry),
            {"text": how, "note": f"about {roughly(left)} left" if left is not None else "", "part": part},
            {
                "text": ", ".join(words.get(name, name) for name in entry.device.split(",")),
                "note": lab_reading.takes(share),
            },
        ],
        href=_href(entry),
        actions={"pause": "Pause", "stop": "Stop"} if view.desk.may("change", entry.owner) and not wished else {},
    )


def _stage(job: Job) -> tuple[str, float, float | None]:
    """How far a job is: in words, as a part of the whole, and the seconds that are left."""
    if isinstance(job, Run):
        progress, now = cache.standing(job)
        line = status.line(now, progress)
        return line.text, line.fraction, progress.seconds_left
    assert isinstance(job, Sweep)
    line = sweep_status.line(directory.status(job), cache.sweep_log(job).refresh())
    return line.text, line.fraction, None


def _href(entry: Entry) -> str:
    return f"run?run={entry.id}" if entry.kind == "run" else f"learning-rate?sweep={entry.id}"


def _waiting(view: _View) -> None:
    waiting = view.seen.waiting
    if not waiting:
        st.caption("Nobody waits. What is started now begins at once, as long as there is a free place.")
        return
    fair = " Whoever has the least running goes first, so nobody has to wait for one person's hundred runs."
    st.caption(f"In the order in which they will start.{fair if view.shared else ''}")
    now = datetime.now()
    rows = [_in_line(view, entry, now) for entry in waiting[:SHOWN]]
    _act(view, table(view.columns("Why it waits", "Since"), rows, "lab_waiting", cards=True))
    if len(waiting) > SHOWN:
        st.caption(f"And {len(waiting) - SHOWN:,} more behind them.")


def _in_line(view: _View, entry: Entry, now: datetime) -> Row:
    standing = queue.standing(view.desk.workspace, view.jobs[entry.id])
    since = ago(datetime.fromtimestamp(entry.submitted), now)
    actions = {}
    if view.desk.may("change", entry.owner):
        moves = lab_reading.moves(entry, view.seen.waiting, highest(view.desk))
        actions = {name: name.capitalize() for name in moves} | {"cancel": "Cancel"}
    cells = [*view.named(entry), standing.reason if standing else "It is about to start.", since]
    return Row(entry.id, cells, href=_href(entry), actions=actions)


def highest(desk: Desk) -> int:
    """The highest priority this person may give: only an administrator puts somebody before all others."""
    return lab_reading.HIGHEST if desk.may("manage") else 0


def _act(view: _View, clicked: Clicked) -> None:
    """Do what was pressed in one of the tables."""
    if clicked.open:
        job = view.jobs.get(clicked.open)
        if isinstance(job, Sweep):
            places.go_to_sweep(job.id)
        places.go_to_run(clicked.open)
    id, action = clicked.act or ("", "")
    if (job := view.jobs.get(id)) is None:
        return
    if action == "pause":
        view.desk.pause(job)
    elif action in ("stop", "cancel"):
        view.desk.stop(job)
    else:
        entry = next(each for each in view.seen.waiting if each.id == id)
        to = lab_reading.moves(entry, view.seen.waiting, highest(view.desk)).get(action)
        if to is not None:
            view.desk.prioritise(job, to)
    st.rerun(scope="fragment")
