"""`python -m benchmarks`: measure, print one table, write it down."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import machine, photos, report
from benchmarks.peak import peak
from benchmarks.report import Result
from benchmarks.rows import BY_NAME, ROWS, Plan, Row
from catfish_core.errors import CatfishError
from catfish_core.workspace import Workspace, write_text

LATEST = Path(__file__).parent / "results" / "latest.json"
QUICK, QUICK_PHOTOS = Plan(rounds=1, epochs=2, steps=10, repeats=2), 16


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 where the photos are missing or cannot be used."""
    asked = _parser().parse_args(arguments)
    plan = QUICK if asked.quick else Plan()
    if asked.rounds is not None:
        plan = dataclasses.replace(plan, rounds=asked.rounds)
    rows = [row for row in ROWS if row.name in asked.rows]
    try:
        with photos.imported(photos.source(), QUICK_PHOTOS if asked.quick else None) as workspace:
            _run(rows, plan, workspace, asked.json, asked.quick)
    except CatfishError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(rows: Sequence[Row], plan: Plan, workspace: Workspace, path: Path, quick: bool) -> None:
    peaks = {}
    for row in rows:  # all of them before torch is imported: see `peak`
        _tell(row.name, "memory")
        peaks[row.name] = peak(row, plan, workspace)
    before = machine.Work.now()
    results, counts = _timed(rows, plan, workspace, peaks)
    disturbed = machine.disturbed(before, machine.Work.now())
    _show(rows, plan, results, counts, quick)
    if disturbed:
        print(disturbed)
    write_text(path, report.to_json(results))
    print(f"\nWritten to {path}")


def _timed(
    rows: Sequence[Row], plan: Plan, workspace: Workspace, peaks: dict[str, float | None]
) -> tuple[list[Result], dict[str, int]]:
    """The results, and how many photos a unit of each row looks at."""
    from benchmarks.measure import measure
    from benchmarks.sides import sides

    results, counts = [], {}
    for row in rows:
        made = sides(row, plan, workspace)
        seconds = measure(made, plan.rounds, partial(_tell, row.name))
        results.append(report.result(row.name, seconds, peaks[row.name]))
        counts[row.name] = made.photos
    return results, counts


def _show(rows: Sequence[Row], plan: Plan, results: list[Result], counts: dict[str, int], quick: bool) -> None:
    import torch

    from benchmarks import engine

    print(f"\n{machine.line()}\n\n{report.table(results)}")
    if torch.cuda.is_available():
        print(f"\n{report.rates(results, counts)}")
    notes = ["Medians of {} rounds, sides in turn; speedup = course / engine, of limit = limit / engine.", _SCOPE]
    print("\n" + "\n".join(notes).format(plan.rounds))
    print(report.explained(rows, plan))
    names = {row.name for row in rows}
    if {"lite0_frozen_cold", "lite0_frozen_warm"} & names and (warning := engine.missing_features()):
        print(warning)
    if quick:
        print(f"--quick: at most {QUICK_PHOTOS} photos a folder. It shows that all works; its numbers mean nothing.")


_SCOPE = (
    "Left out on every side: building the network, saving weights, the report on the test photos. The limit has the "
    "engine's optimizer, precision and memory format, as observed in the warm-up."
)


def _tell(name: str, what: str) -> None:
    print(f"{name}: {what}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="The course's loop, the engine and the bare limit of this machine, side by side.",
        epilog=f"The photos: {photos.VARIABLE}, a folder or zip; else {photos.DEFAULT}.",
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="counted rounds (5)")
    parser.add_argument(
        "--rows", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), metavar="ROW",
        help=f"only these: {', '.join(BY_NAME)}",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help="where to write the rows")
    parser.add_argument("--quick", action="store_true", help="few photos, one round: to see that it works")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
