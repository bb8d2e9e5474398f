"""From seconds to rows, and from rows to a table and JSON.  [no torch]"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from benchmarks.rows import Plan, Row


@dataclass(frozen=True)
class Seconds:
    """Medians of the three sides; None for an engine that cannot do it yet."""

    course: float
    engine: float | None
    limit: float


@dataclass(frozen=True)
class Result:
    """One row of latest.json.

    `speedup`: how many times as fast as the course's loop; `of_limit`: the part of the bare limit's speed that is
    reached, 1 being all of it; `peak_mb`: the largest resident memory of a process that does the engine's side alone.
    """

    name: str
    course_s: float
    engine_s: float | None
    limit_s: float
    speedup: float | None
    of_limit: float | None
    peak_mb: float | None


def result(name: str, seconds: Seconds, peak_mb: float | None) -> Result:
    """The ratios are those of the medians."""
    engine = seconds.engine
    return Result(
        name=name,
        course_s=seconds.course,
        engine_s=engine,
        limit_s=seconds.limit,
        speedup=seconds.course / engine if engine else None,
        of_limit=seconds.limit / engine if engine else None,
        peak_mb=peak_mb,
    )


def to_json(results: Sequence[Result]) -> str:
    """A list of objects, one a row."""
    return json.dumps([asdict(result) for result in results], indent=2) + "\n"


_HEADINGS = {
    "name": "row", "course_s": "course s", "engine_s": "engine s", "limit_s": "limit s",
    "speedup": "speedup", "of_limit": "of limit", "peak_mb": "peak MB",
}  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """The rows as aligned text."""
    lines = [[_HEADINGS[field.name] for field in fields(Result)]]
    lines += [
        [r.name, _seconds(r.course_s), _seconds(r.engine_s), _seconds(r.limit_s),
         _number(r.speedup, ".1f", "×"), _number(r.of_limit, ".2f"), _number(r.peak_mb, ",.0f")]
        for r in results
    ]  # fmt: skip
    return _aligned(lines)


def rates(results: Sequence[Result], photos: dict[str, int]) -> str:
    """Photos a second of each side: what makes sense of a device by itself."""
    lines = [["row", "course photos/s", "engine photos/s", "limit photos/s"]]
    for r in results:
        sides = (r.course_s, r.engine_s, r.limit_s)
        lines.append([r.name, *(_number(photos[r.name] / s if s else None, ",.0f") for s in sides)])
    return _aligned(lines)


def explained(rows: Sequence[Row], plan: Plan) -> str:
    """What each row compares, a sentence or two each."""
    said = {"epochs": plan.epochs, "steps": plan.steps, "repeats": plan.repeats}
    return "\n".join(f"{row.name}: {row.compares.format(**said)}" for row in rows)


def _seconds(value: float | None) -> str:
    return _number(value, ".4f" if value is not None and value < 1 else ".2f")


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Names to the left, numbers to the right."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )
