"""What people are told: that a run of theirs has ended, and what an administrator has to say to all.  [no torch]

That a run has ended is read from its directory, so no process has to be up when it does. What somebody has been told
is kept in a file per person, so that they are told once, whatever they reload. Texts are data, never markup.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catfish_core.errors import CatfishError, StorageError
from catfish_core.jobs import directory
from catfish_core.jobs.directory import Job, Status
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace, acquired, lock_at, write_text

TOLD: tuple[Status, ...] = ("completed", "failed", "crashed")  # a stop or a pause is no news to who wished for it
FRESH = 1.5  # seconds within which everybody is told the same
KEPT = 60 * 86_400.0  # seconds for which is remembered who was told what
LENGTH = 300  # characters of a message to all


@dataclass(frozen=True)
class Ended:
    """A run or sweep that came to its end at `at` (seconds since 1970), in its attempt `attempt`."""

    id: str
    noun: str
    title: str
    owner: str
    status: Status
    at: float
    attempt: str

    @property
    def key(self) -> str:
        """What makes it one event: a run that is started again ends again."""
        return f"{self.id}/{self.attempt}"


@dataclass
class _Known:
    signature: tuple[int, int]
    status: Status
    ended: Ended | None


class Watch:
    """Which runs and sweeps have ended, looked up for everybody at once; each is read again only when it changes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._known: dict[Path, _Known] = {}
        self._looked = -FRESH

    def ended(self) -> list[Ended]:
        """All that have ended by now, the latest first."""
        with self._lock:
            if time.monotonic() - self._looked >= FRESH:
                self._look()
                self._looked = time.monotonic()
            found = [known.ended for known in self._known.values() if known.ended]
        return sorted(found, key=lambda each: each.at, reverse=True)

    def _look(self) -> None:
        ws = self._workspace
        jobs = [*directory.every(Run, ws.runs), *directory.every(Sweep, ws.sweeps)]
        self._known = {job.path: self._now(job) for job in jobs}

    def _now(self, job: Job) -> _Known:
        signature = (_changed(job.events_path), _changed(job.path / "attempts"))
        known = self._known.get(job.path)
        if known and known.signature == signature and known.status not in directory.ACTIVE:
            return known
        status = directory.status(job)
        return _Known(signature, status, _ended(job, status) if status in TOLD else None)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _ended(job: Job, status: Status) -> Ended:
    try:
        title = job.config().title
    except CatfishError:
        title = job.id
    at = _changed(job.events_path) / 1e9 or time.time()
    return Ended(job.id, job.noun, title, job.owner(), status, at, job.attempt.name)


@dataclass
class _Memory:
    """What one person was told: nothing that ended before `since` is news; `seen` says when each was told."""

    since: float
    seen: dict[str, float] = field(default_factory=dict)
    dismissed: list[str] = field(default_factory=list)

    def knows(self, ended: Ended) -> bool:
        return ended.at < self.since or ended.key in self.seen


def news(workspace: Workspace, user: str, ended: Iterable[Ended]) -> list[Ended]:
    """Those of `ended` that belong to `user` and that they are told of now, and never again: the latest first.

    Whoever comes for the first time is told of nothing that was before them. Raises StorageError.
    """
    mine = [each for each in ended if each.owner == user]
    memory = _read(workspace, user)
    if memory is not None and all(memory.knows(each) for each in mine):
        return []
    with _remembering(workspace, user) as memory:
        fresh = [each for each in mine if not memory.knows(each)]
        memory.seen |= {each.key: time.time() for each in fresh}
    return fresh


def _folder(workspace: Workspace) -> Path:
    return workspace.root / "lab" / "told"


def _file(workspace: Workspace, user: str) -> Path:
    """Named after a hash: a person's name may be anything."""
    return _folder(workspace) / f"{hashlib.blake2b(user.encode(), digest_size=12).hexdigest()}.json"


def _read(workspace: Workspace, user: str) -> _Memory | None:
    try:
        data = json.loads(_file(workspace, user).read_text(encoding="utf-8"))
        return _Memory(float(data["since"]), dict(data["seen"]), list(data["dismissed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _remembering(workspace: Workspace, user: str) -> Iterator[_Memory]:
    """What `user` was told, to be changed by one tab at a time."""
    file, now = _file(workspace, user), time.time()
    with _alone(_folder(workspace), f"{file.stem}.lock"):
        memory = _read(workspace, user) or _Memory(since=now)
        yield memory
        memory.since = max(memory.since, now - KEPT)
        memory.seen = {key: at for key, at in memory.seen.items() if at >= memory.since - KEPT}
        write_text(file, json.dumps(asdict(memory)))


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    lock = lock_at(folder, name)
    if not acquired(lock, 5):
        raise StorageError(f"{name} is held by another process.", "Try again; if it stays so, restart CatFish.")
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Message:
    """What an administrator says to all, from `at` to `until` (seconds since 1970; None: until it is taken back)."""

    id: str
    text: str
    by: str
    at: float
    until: float | None


def post(workspace: Workspace, text: str, by: str, hours: float | None) -> Message:
    """Say `text` to all for `hours` (None: until it is taken back); raises CatfishError for an empty or long one."""
    text = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    if not text:
        raise CatfishError("There is nothing in this message.", "Write what everybody should know.")
    if len(text) > LENGTH:
        raise CatfishError(f"This message is {len(text)} characters long.", f"{LENGTH} fit on the banner.")
    now = time.time()
    message = Message(secrets.token_hex(4), text, by, now, now + hours * 3600 if hours else None)
    _change(workspace, lambda kept: [*kept, message])
    return message


def withdraw(workspace: Workspace, id: str) -> None:
    """Take a message back."""
    _change(workspace, lambda kept: [each for each in kept if each.id != id])


def standing(workspace: Workspace, user: str | None = None) -> list[Message]:
    """The messages that hold now, the newest first; without those that `user` has put away."""
    memory = _read(workspace, user) if user is not None else None
    away, now = memory.dismissed if memory else [], time.time()
    kept = [each for each in _messages(workspace) if each.until is None or now < each.until]
    return [each for each in reversed(kept) if each.id not in away]


def dismiss(workspace: Workspace, user: str, id: str) -> None:
    """Never show `user` this message again."""
    holding = {each.id for each in standing(workspace)}
    with _remembering(workspace, user) as memory:
        memory.dismissed = [each for each in {*memory.dismissed, id} if each in holding]


def _messages_path(workspace: Workspace) -> Path:
    return workspace.root / "lab" / "messages.json"


def _messages(workspace: Workspace) -> list[Message]:
    try:
        data: list[dict[str, Any]] = json.loads(_messages_path(workspace).read_text(encoding="utf-8"))
        return [Message(**each) for each in data]
    except (OSError, ValueError, TypeError):
        return []


def _change(workspace: Workspace, change: Callable[[list[Message]], list[Message]]) -> None:
    file, now = _messages_path(workspace), time.time()
    with _alone(file.parent, "messages.lock"):
        kept = [each for each in _messages(workspace) if each.until is None or now < each.until]
        write_text(file, json.dumps([asdict(each) for each in change(kept)], ensure_ascii=False, indent=1))
