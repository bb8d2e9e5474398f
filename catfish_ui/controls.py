"""What can be done with a run or a sweep as it stands: the buttons at the top of its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from catfish_core.jobs.directory import ACTIVE, Job, Status
from catfish_core.runs import Run
from catfish_ui import identity

Action = Literal["pause", "stop", "resume"]
MOST = 10_000  # epochs more at once


@dataclass(frozen=True)
class Control:
    """A button: what it does, what it says, and what comes of it; `off` while that is being done already."""

    action: Action
    label: str
    icon: str
    help: str
    off: bool = False


def offered(status: Status, *, sweep: bool = False, waits: bool = False, kept: bool = True) -> list[Control]:
    """The controls of a job; `waits`: it has no place yet, `kept`: it has something to go on from."""
    if waits:
        return [Control("stop", "Cancel", ":material/close:", "Takes it out of the queue. It can be put back.")]
    if status in ACTIVE:
        return _running(status, sweep)
    if status == "completed":
        return []
    if status == "failed" or sweep or not kept:
        label = "Go on" if status == "paused" else "Try again"
        return [Control("resume", label, ":material/play_circle:", "Starts it again with the same settings.")]
    return [Control("resume", "Go on", ":material/play_circle:", "Goes on exactly where it was, curves and all.")]


def _running(status: Status, sweep: bool) -> list[Control]:
    stopping, pausing = status == "stopping", status == "pausing"
    ends = (
        "Ends the sweep at once; what it has measured is kept and used."
        if sweep
        else "Ends the training within two seconds and keeps the best weights so far."
    )
    stop = Control("stop", "Stopping…" if stopping else "Stop", ":material/stop_circle:", ends, stopping)
    rests = "Writes everything down and frees the machine; it can go on exactly from there."
    pause = Control(
        "pause", "Pausing…" if pausing else "Pause", ":material/pause_circle:", rests, stopping or pausing
    )
    return [stop] if sweep else [pause, stop]


def show(job: Job, status: Status, *, waits: bool = False) -> None:
    """Draw the controls, dead for whoever may not use them; to be called in a horizontal container."""
    sweep, prefix = not isinstance(job, Run), "run" if isinstance(job, Run) else "sweep"
    if status in ("queued", "running"):  # a wish may have been left that nobody has seen yet
        status = "stopping" if job.wished("stop") else "pausing" if job.wished("pause") else status
    kept = isinstance(job, Run) and can_go_on(job)
    forbidden, desk = identity.why_not("change", job.owner()), identity.desk()
    does = {"pause": desk.pause, "stop": desk.stop, "resume": desk.again}
    for control in offered(status, sweep=sweep, waits=waits, kept=kept):
        pressed = st.button(
            control.label,
            key=f"{prefix}_{control.action}",
            icon=control.icon,
            help=forbidden or control.help,
            disabled=control.off or forbidden is not None,
            on_click=does[control.action] if control.action != "resume" else None,
            args=(job,) if control.action != "resume" else None,
        )
        if pressed and control.action == "resume":
            desk.again(job)
            st.rerun()


def can_go_on(run: Run) -> bool:
    """Whether there is a checkpoint to go on from."""
    return any(run.checkpoints.glob("*.pt"))


def longer(run: Run, epochs: int) -> None:
    """For a run that has ended and can go on: how many epochs more, and the button; `epochs` is a first guess."""
    if not can_go_on(run):
        return
    if forbidden := identity.why_not("change", run.owner()):
        st.button("Train longer", key="run_longer", icon=":material/more_time:", disabled=True, help=forbidden)
        return
    with st.popover("Train longer", icon=":material/more_time:", key="run_longer"):
        more = st.number_input("Epochs more", 1, MOST, max(1, epochs), key="run_more_epochs")
        st.caption("It goes on from where it ended, with everything it has learned and in the same stride.")
        if st.button("Train", key="run_extend", type="primary", icon=":material/play_arrow:"):
            identity.desk().extend(run, int(more))
            st.rerun()
