"""What a terminal shows: a bar that rewrites its line, tables, one sentence for a fault.  [no torch]

Results go to stdout; bars, remarks and complaints to stderr, so that a pipe carries results only.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from catfish_core.errors import CatfishError
from catfish_core.events import finite

BAR = 24  # characters
REFRESH = 0.08  # seconds


class Usage(CatfishError):
    """The command line asks for something that cannot be meant: exit code 2."""


def plain(text: object) -> str:
    """`text` on one line and without characters that would steer a terminal: names come from strangers."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def say(text: str = "") -> None:
    """A line of the result."""
    print(plain(text), flush=True)


def remark(text: str) -> None:
    """A line beside the result."""
    print(plain(text), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """What went wrong, in one line."""
    remark(f"catfish: {text}")


def say_json(data: Any) -> None:
    """`data` as one line of JSON, in ASCII: whatever reads it needs to agree on nothing."""
    print(json.dumps(finite(data), allow_nan=False), flush=True)


def percent(part: float | None) -> str:
    """`part` of one as a percentage; a dash for none."""
    return "–" if part is None or not math.isfinite(part) else f"{100 * part:.1f} %"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need to be; numbers and their heads to the right."""
    texts = [[plain(cell) for cell in row] for row in rows]
    right = [bool(texts) and all(_numeric(row[i]) for row in texts) for i in range(len(head))]
    widths = [max(len(row[i]) for row in [list(head), *texts]) for i in range(len(head))]
    for row in [list(head), *texts]:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        say("  ".join(cells).rstrip())


def _numeric(text: str) -> bool:
    return text.replace(",", "").removesuffix(" %").replace(".", "", 1).isdigit() or text == "–"


class Bar:
    """A progress line on a terminal, rewritten in place; silent where stderr is none."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._on = self._stream.isatty()
        self._drawn = 0
        self._when = 0.0

    def show(self, text: str, done: int, total: int, unit: str = "") -> None:
        """`done` of `total` (0: not known)."""
        now = time.monotonic()
        if not self._on or (now - self._when < REFRESH and done != total):
            return
        self._when = now
        filled = round(BAR * min(1.0, done / total)) if total else 0
        bar = "█" * filled + "░" * (BAR - filled) + f" {100 * done / total:3.0f} %" if total else ""
        count = f"{_amount(done, unit)} of {_amount(total, unit)}" if total else _amount(done, unit) if done else ""
        line = "  ".join(filter(None, (plain(text), bar, count)))[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def clear(self) -> None:
        """Take the line away, for something else to be written."""
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


def _amount(number: int, unit: str) -> str:
    return f"{number / 1e6:.1f} MB" if unit == "bytes" else f"{number:,} {unit}".rstrip()
