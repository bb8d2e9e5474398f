"""Who did what, and who was refused: `audit.jsonl` in the workspace, one line a deed.  [no torch]

Only its owner can read the file. Lines are appended whole, also by several processes at once. No line holds a
password, a token or a photo.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from catfish_core.workspace import Workspace

Outcome = Literal["done", "refused", "failed"]
LONGEST = 300  # characters of one value

_log = logging.getLogger("catfish")


@dataclass(frozen=True)
class Deed:
    """One line: when (UTC), who (empty: the local person or a visitor), what, to what, and what came of it."""

    time: str
    user: str
    action: str
    object: str
    outcome: Outcome


def path(workspace: Workspace) -> Path:
    """The log."""
    return workspace.root / "audit.jsonl"


def write(workspace: Workspace, user: str, action: str, object: str, outcome: Outcome) -> None:
    """Append a line. A disk that takes none is told to the server's log: it must keep nobody from stopping a run."""
    when = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    deed = Deed(when, user[:LONGEST], action[:LONGEST], object[:LONGEST], outcome)
    line = json.dumps(asdict(deed)) + "\n"
    try:
        workspace.root.mkdir(parents=True, exist_ok=True)
        file = os.open(path(workspace), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
    except OSError as error:
        _log.error("The audit log takes no line (%s): %s", error, line.rstrip())


def read(workspace: Workspace) -> Iterator[Deed]:
    """All deeds, oldest first; a torn line is passed over."""
    try:
        lines = path(workspace).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    names = [field.name for field in fields(Deed)]
    for line in lines:
        try:
            data = json.loads(line)
            yield Deed(*(data[name] for name in names))
        except (ValueError, KeyError, TypeError):
            continue
