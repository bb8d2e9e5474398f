"""`python -m tests.faults`: interrupt trainings in every way there is, and see that nothing comes of it.

They run in a queue, a dispatcher, shims and workers of their own, beside a real app, in a temporary workspace. It
ends with 0 where none was lost, none ran twice at the same time, and all ended as they would have, to the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from catfish_core.workspace import HOME
from tests.faults import disk, trainings
from tests.faults.trial import SLOTS, Outcome, Trial


def main(arguments: list[str]) -> int:
    """Do what the command line says; 0 where all went well."""
    options = _options(arguments)
    if sys.platform != "linux":
        raise SystemExit("This test looks for processes in /proc: it runs on Linux only.")
    if disk.INSIDE not in os.environ:
        disk.go_where_mounting_is_allowed(arguments)
    began = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="catfish-faults-"))
    os.environ[HOME] = str(folder)
    print(f"Seed {options.seed}; the workspace is {folder}", flush=True)
    trial = Trial(folder, options.interruptions, options.seed, options.minutes * 60, options.every)
    try:
        _prepare(trial)
        print(
            f"{len(trial.wholes)} trainings without interruption took {time.monotonic() - began:.0f} s.", flush=True
        )
        trial.interrupt(lambda line: print(line, flush=True) if options.verbose else None)
    finally:
        trial.end()
    outcome = trial.outcome
    print(report(outcome, trial.disk.own, time.monotonic() - began))
    if (few := outcome.interruptions) < options.interruptions:
        print(f"{few} of {options.interruptions} interruptions hit in {options.minutes:g} minutes: too few to tell.")
    if options.json:
        print(json.dumps(summary(outcome)))
    wrong = outcome.lost or outcome.doubled or outcome.not_identical or outcome.interruptions < options.interruptions
    return 1 if wrong else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--interruptions", type=int, default=200, metavar="N", help="as many have to hit")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the dice")
    parser.add_argument("--minutes", type=float, default=40, metavar="M", help="after which no more are made")
    parser.add_argument("--every", type=float, default=3.0, metavar="S", help="seconds between two, on average")
    parser.add_argument("--json", action="store_true", help="the last line is an object with the counts")
    parser.add_argument("--verbose", action="store_true", help="tell each of them")
    return parser.parse_args(arguments)


def _prepare(trial: Trial) -> None:
    """The dataset, the places, the app, and the trainings that nobody interrupts."""
    (trial.workspace.root / "lab.json").write_text(json.dumps({"slots": {"cpu": SLOTS}}))
    trial.scene.app.start()
    trial.reference(trainings.configurations(trainings.drawn(trial.workspace)))


def summary(outcome: Outcome) -> dict[str, int]:
    """The counts that a machine asks for."""
    return {
        "interruptions": outcome.interruptions,
        "lost": len(outcome.lost),
        "doubled": len(outcome.doubled),
        "not_identical": len(outcome.not_identical),
    }


def report(outcome: Outcome, mounted: bool, seconds: float) -> str:
    """What a person reads."""
    full = "a small disk of its own was filled" if mounted else "no disk could be mounted: by a quota alone"
    lines = [
        "",
        f"{outcome.interruptions} interruptions of {outcome.finished} trainings in {seconds / 60:.1f} minutes",
        *(f"  {count:4}  {kind}" for kind, count in outcome.counts.most_common()),
        f"  ({sum(outcome.missed.values())} more came when there was nothing left to interrupt)",
        f"Disk full: {full}. {outcome.torn} torn checkpoints were noticed and put aside.",
        f"The trainings took {outcome.attempts} attempts; {outcome.most_strikes} interruptions were the most for one",
        f"  of them, and {outcome.untouched} came through without any.",
        f"People let a training go on {outcome.pressed} times, started the app {outcome.starts_of_app} times,",
        f"  and were told {outcome.refused} times that something cannot be done now.",
        f"At most {outcome.workers_at_once} workers lived at once in {SLOTS} places: {outcome.looks} looks at the",
        f"  processes say so, never more than {outcome.longest_look:.2f} s apart.",
        *_wrong("lost", outcome.lost),
        *_wrong("run twice at the same time", outcome.doubled),
        *_wrong("ended otherwise than without interruption", outcome.not_identical),
    ]
    if outcome.kept is not None:
        lines.append(f"What went wrong was kept in {outcome.kept}")
    return "\n".join(lines)


def _wrong(what: str, cases: list[str]) -> list[str]:
    return [f"{len(cases) or 'None'} {what}{':' if cases else '.'}", *(f"  {case}" for case in cases[:20])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
