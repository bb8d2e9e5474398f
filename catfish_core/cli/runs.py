"""`runs list | show | pause | stop | delete | note`, and what RUN means everywhere.  [no torch]"""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from catfish_core import runs
from catfish_core.cli.terminal import percent, say, say_json, table
from catfish_core.errors import RunError
from catfish_core.events import Failed, to_json
from catfish_core.jobs import queue
from catfish_core.jobs.directory import Wish
from catfish_core.runs import Run, Summary
from catfish_core.workspace import Workspace


def find(name: str, *, with_model: bool = False) -> Run:
    """The run called `name`; `latest` is the newest one, the newest that has a model where one is needed."""
    workspace = Workspace.default()
    if name != "latest":
        return runs.find(workspace, name)
    for summary in runs.listing(workspace):
        if summary.run.model_path.exists() or not with_model:
            return summary.run
    what = "There is no trained model yet." if with_model else "There are no runs yet."
    raise RunError(what, "Train one first: python -m catfish_core train --dataset sketchbook")


def show_all(asked: Namespace) -> int:
    """All runs, newest first."""
    summaries = runs.listing(Workspace.default())
    if asked.json:
        say_json([as_plain(summary) for summary in summaries])
    elif not summaries:
        say("There are no runs yet. Train one: python -m catfish_core train --dataset sketchbook")
    else:
        rows = [
            (s.run.id, s.title, s.status, percent(s.best_val_accuracy), percent(s.test_accuracy)) for s in summaries
        ]
        table(("RUN", "TITLE", "STATUS", "BEST VALIDATION", "TEST"), rows)
    return 0


def show(asked: Namespace) -> int:
    """How one run stands."""
    run = find(asked.run)
    summary = runs.summary(run)
    if asked.json:
        config = summary.config.model_dump(mode="json") if summary.config else None
        last = json.loads(to_json(summary.last)) if summary.last else None
        say_json({**as_plain(summary), "path": str(run.path), "note": run.note(), "config": config, "last": last})
        return 0
    rows = [
        ("run", run.id), ("title", summary.title), ("status", summary.status),
        ("created", f"{summary.created:%Y-%m-%d %H:%M}"), ("best validation", percent(summary.best_val_accuracy)),
        ("test", percent(summary.test_accuracy)), ("folder", run.path), ("note", run.note() or "–"),
    ]  # fmt: skip
    if isinstance(summary.last, Failed):
        rows.append(("why", f"{summary.last.what} {summary.last.hint}"))
    if summary.problem:
        rows.append(("problem", summary.problem))
    for name, value in rows:
        say(f"{name:<16} {value}")
    return 0


def stop(asked: Namespace) -> int:
    """Wish a run to stop."""
    return _wish(asked, "stop", "its best weights are kept.")


def pause(asked: Namespace) -> int:
    """Wish a run to rest."""
    return _wish(asked, "pause", "`resume` goes on with it where it was.")


def _wish(asked: Namespace, what: Wish, after: str) -> int:
    run = find(asked.run)
    if (status := runs.status(run)) not in runs.ACTIVE:
        raise RunError(f"The run {run.id} is not training: it is {status}.", f"There is nothing to {what}.")
    (queue.pause if what == "pause" else queue.stop)(Workspace.default(), run)
    if asked.json:
        say_json({"run": run.id, "status": runs.status(run)})
    else:
        say(f"{run.id} was asked to {what}; {after}")
    return 0


def delete(asked: Namespace) -> int:
    """Delete a run for good."""
    run = find(asked.run)
    runs.delete(run)
    if asked.json:
        say_json({"deleted": run.id})
    else:
        say(f"Deleted {run.id}.")
    return 0


def note(asked: Namespace) -> int:
    """Show or replace a note."""
    run = find(asked.run)
    if asked.text is not None:
        run.set_note(asked.text)
    if asked.json:
        say_json({"run": run.id, "note": run.note()})
    elif asked.text is None:
        for line in (run.note() or "–").splitlines():
            say(line)
    else:
        say(f"Noted with {run.id}.")
    return 0


def as_plain(summary: Summary) -> dict[str, Any]:
    """A run as plain values."""
    return {
        "run": summary.run.id,
        "title": summary.title,
        "status": summary.status,
        "created": summary.created.isoformat(),
        "best_val_accuracy": summary.best_val_accuracy,
        "test_accuracy": summary.test_accuracy,
        "problem": summary.problem or None,
    }
