"""What tests share: a workspace of their own, tiny pictures and datasets, the real photos, a server to fetch from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import random
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catfish_core.config import SweepConfig
from catfish_core.events import (
    Advised,
    Event,
    Preparing,
    ProbeEnd,
    SweepCompleted,
    SweepEnded,
    SweepPoint,
    SweepStarted,
)
from catfish_core.training import lr_finder
from catfish_core.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = "CATFISH_TEST_PHOTOS"

MakePicture = Callable[..., Image.Image]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace in a temporary folder; CATFISH_HOME points at it, for child processes too.

    A dispatcher that was started for it, and all that one started, ends with the test.
    """
    home = tmp_path / "home"
    monkeypatch.setenv("CATFISH_HOME", str(home))
    for name in ("CATFISH_DATASET_URL", "CATFISH_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    yield Workspace.default()
    if (home / "queue.db").exists():
        end_all(home)


def end_all(home: Path) -> None:
    """End the dispatcher of the workspace `home`, its shims and their workers, known by their environment or call."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            command = process.cmdline()
            dispatches = "catfish_core.jobs.dispatcher" in command and os.fspath(home) in command
            if dispatches or process.environ().get("CATFISH_ATTEMPT", "").startswith(f"{home}{os.sep}"):
                process.kill()


@pytest.fixture(scope="session")
def photos_zip() -> Path:
    """The real photos, 866 cats and fish: CATFISH_TEST_PHOTOS, or ../shared/data/cat-vs-fish.zip."""
    named = os.environ.get(PHOTOS)
    path = Path(named) if named else ROOT.parent / "shared" / "data" / "cat-vs-fish.zip"
    if not path.is_file():
        pytest.skip(f"the real photos are not here: set {PHOTOS} to the path of cat-vs-fish.zip to run this")
    return path


def noise(
    color: tuple[int, int, int] = (200, 60, 60), size: tuple[int, int] = (32, 32), seed: int = 0
) -> Image.Image:
    """A picture of one colour with some grain, the same for the same seed."""
    rng = random.Random(f"{seed}-{color}-{size}")
    small = bytes(max(0, min(255, c + rng.randint(-30, 30))) for _ in range(64) for c in color)
    return Image.frombytes("RGB", (8, 8), small).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """`image` as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def picture() -> MakePicture:
    """picture(color, size, seed): a grainy picture of one colour."""
    return noise


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(image, "PNG", **options): the bytes of the file it makes."""
    return encoded


@pytest.fixture(scope="session")
def photo() -> bytes:
    """One small JPEG, 48×32, mostly red."""
    return encoded(noise(size=(48, 32)))


RED, BLUE = (205, 70, 60), (60, 80, 200)


def tree(counts: dict[str, int], classes: dict[str, tuple[int, int, int]]) -> dict[str, bytes]:
    """name → JPEG bytes of a dataset with `counts` pictures per split and class."""
    return {
        f"{split}/{label}/{label}-{split}-{i:02}.jpg": encoded(noise(color, (40, 32), seed=hash_of(split, i)))
        for split, count in counts.items()
        for label, color in classes.items()
        for i in range(count)
    }


def hash_of(*parts: object) -> int:
    """A seed that is the same in every process."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)


@pytest.fixture(scope="session")
def tiny_files() -> dict[str, bytes]:
    """The files of a tiny dataset: train 12, val 4, test 4 pictures for each of two easily told colours."""
    return tree({"train": 12, "val": 4, "test": 4}, {"blue": BLUE, "red": RED})


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """A zip at `path` holding `files`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[..., Path]:
    """make_zip({name: bytes}, "name.zip"): a zip in the test's folder."""
    return lambda files, name="made.zip": zipped(tmp_path / name, files)


@pytest.fixture
def tiny_zip(tmp_path: Path, tiny_files: dict[str, bytes]) -> Path:
    """The tiny dataset as a zip with train, val and test."""
    return zipped(tmp_path / "tiny.zip", tiny_files)


@pytest.fixture
def tiny_folder(tmp_path: Path, tiny_files: dict[str, bytes]) -> Path:
    """The tiny dataset as a folder with train, val and test."""
    for name, content in tiny_files.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tiny"


@pytest.fixture
def tiny_dataset(workspace: Workspace, tiny_folder: Path) -> str:
    """The tiny dataset, imported; its id."""
    from catfish_core.data import library

    for _ in library.add(workspace, "tiny", tiny_folder):
        pass
    return "tiny"


@dataclass
class Loopback:
    """A web server on this machine that knows ranges and ETags and can be told to misbehave.

    `files` is what it serves, by path. `break_after`: an answer breaks off after that many bytes,
    `breaks` answers break off so, one after the other. `ranges`, `etags`: whether it
    knows them. `status`: answer everything with that status instead.
    `requests` collects the headers of everything asked, with "path" among them.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None
    breaks: int = 1
    ranges: bool = True
    etags: bool = True
    status: int | None = None
    port: int = 0

    def url(self, path: str) -> str:
        """The address of `path`."""
        return f"http://127.0.0.1:{self.port}/{path.lstrip('/')}"

    def serve(self, path: str, content: bytes) -> str:
        """Serve `content` at `path`; its address."""
        self.files["/" + path.lstrip("/")] = content
        return self.url(path)


def _handler(server: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            server.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            target = server.redirects.get(self.path)
            content = server.files.get(self.path)
            if target or server.status or content is None:
                self.send_response(302 if target else server.status or 404)
                if target:
                    self.send_header("Location", target)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(content)

        def _send(self, content: bytes) -> None:
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range", etag)
            start = int(wanted[1]) if wanted and server.ranges and condition == etag else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.etags:
                self.send_header("ETag", etag)
            self.end_headers()
            cut = server.break_after if server.breaks > 0 else None
            server.breaks -= cut is not None
            self.wfile.write(body if cut is None else body[:cut])
            self.close_connection = True

    return Handler


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A loopback web server; see `Loopback` for what it can be told."""
    server = Loopback()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def swept(
    settings: SweepConfig | None = None, made: int | None = None, rates: dict[str, float] | None = None
) -> Iterator[Event]:
    """What a sweep says after `made` steps of each seed: flat, falling from 1e-4 on, exploding beyond 0.05."""
    settings = settings or SweepConfig()
    yield Preparing(what="Starting up")
    yield SweepStarted(
        steps=settings.steps, seeds=settings.seeds, rates=rates or {"head": 1.0}, device="cpu", samples=400, batches=7
    )
    for seed in range(settings.seeds):
        lowest, step = math.inf, 0
        for step, lr in enumerate(lr_finder.ladder(settings)[:made]):
            wobble = 0.01 * math.sin(12.9898 * step + seed)
            loss = 0.75 - 0.45 / (1 + (3e-3 / lr) ** 1.2) + (lr / 0.08) ** 2 + wobble + 0.02 * seed
            val = loss + 0.05 if settings.val_every and step % settings.val_every == 0 else None
            yield SweepPoint(seed=seed, step=step, lr=lr, loss=loss, val_loss=val)
            lowest = min(lowest, loss)
            if settings.divergence and loss > settings.divergence * lowest:
                break
        if made is None:
            yield SweepEnded(seed=seed, reason="diverged", steps=step + 1)


def whole(settings: SweepConfig) -> list[Event]:
    """What a whole sweep says: its points, the advice on them, the trials, the advice after those, the end."""
    told = list(swept(settings))
    curve = lr_finder.curve([event for event in told if isinstance(event, SweepPoint)], settings)
    advice = lr_finder.advise(curve.lrs, curve.smoothed)
    trials = [
        ProbeEnd(name=name, lr=lr, loss=0.5 + n / 10, val_loss=0.45 + n / 10, val_accuracy=0.8 - n / 10, steps=50)
        for n, (name, lr) in enumerate(lr_finder.candidates(advice, settings.probes).items())
    ]
    first, after = (Advised(**vars(each)) for each in (advice, lr_finder.judged(advice, trials)))
    return [*told, first, *trials, after, SweepCompleted(seconds=14.0)]


@pytest.fixture(scope="session")
def sweeping() -> Callable[..., Iterator[Event]]:
    """sweeping(settings, made): what a sweep says that has made so many steps."""
    return swept


@pytest.fixture(scope="session")
def whole_sweep() -> Callable[[SweepConfig], list[Event]]:
    """whole_sweep(settings): what a sweep says from its start to its end."""
    return whole


PASSWORDS = {name: f"{name[::-1]} likes correct horses" for name in ("ada", "bob", "mia", "eve")}


@dataclass
class People:
    """The people of a lab: ada administers, bob and mia are members, eve is a viewer."""

    workspace: Workspace
    passwords: dict[str, str] = field(default_factory=lambda: dict(PASSWORDS))

    def lab(self, **settings: Any) -> None:
        """Write lab.json; shared mode unless said otherwise."""
        self.workspace.root.mkdir(parents=True, exist_ok=True)
        (self.workspace.root / "lab.json").write_text(json.dumps({"shared": True, **settings}))

    def token(self, name: str) -> str:
        """A session of this person; empty for nobody."""
        from catfish_core.lab import sessions

        return sessions.begin(self.workspace, name, 12) if name else ""


@pytest.fixture
def people(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> People:
    """A lab in shared mode with four people; hashing costs nothing here."""
    from argon2 import PasswordHasher

    from catfish_core.lab import accounts

    monkeypatch.delenv("CATFISH_LAB", raising=False)
    monkeypatch.setattr(accounts, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    accounts._nobody.cache_clear()
    roles: dict[str, Any] = {"ada": "admin", "bob": "member", "mia": "member", "eve": "viewer"}
    made = People(workspace)
    made.lab()
    for name, role in roles.items():
        accounts.add(workspace, name, role, made.passwords[name])
    return made
