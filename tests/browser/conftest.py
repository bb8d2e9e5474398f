"""A real browser on a real server: `streamlit run app.py` in a process of its own, on a workspace of its own.

CATFISH_REQUIRE_BROWSER=1 makes a missing browser a failure instead of a skip. CATFISH_SCREENSHOTS names a
folder for pictures of every step; without it they go to the test's temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from catfish_core import runs
from catfish_core.errors import CatfishError
from catfish_core.jobs import queue
from catfish_core.workspace import Workspace

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a browser test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a chromium; skips, or fails where one is required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        message = f"no browser found (looked for {', '.join(NAMES)}): browser tests are skipped"
        if os.environ.get("CATFISH_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return found


class App:
    """The app as a visitor starts it, and what it leaves behind."""

    def __init__(self, workspace: Workspace, log: Path) -> None:
        self.workspace, self.log = workspace, log
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port)]
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                [*command, "--server.headless", "true"],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "CATFISH_HOME": str(self.workspace.root)},
            )
        self.wait_until_up()

    def wait_until_up(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"the app did not come up:\n{self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def clean_up(self) -> None:
        """End the app, its workers and its inference service, each by its pid."""
        self.kill()
        with contextlib.suppress(CatfishError, psutil.Error):
            if pid := queue.health(self.workspace).pid:  # before its workers, which it would start again
                psutil.Process(pid).kill()
        started = "*/attempts/*/started.json"
        workers = [*self.workspace.runs.glob(started), *self.workspace.sweeps.glob(started)]
        for file in [*workers, *self.workspace.serving.glob("*.json")]:
            end(file)


def end(file: Path) -> None:
    """End the process whose pid `file` holds, if it is still ours; it may be going this very moment."""
    import json

    with contextlib.suppress(psutil.Error, OSError, ValueError):
        process = psutil.Process(json.loads(file.read_text())["pid"])
        if "catfish_core" in " ".join(process.cmdline()):
            process.kill()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def app(workspace: Workspace, tmp_path: Path) -> Iterator[App]:
    """The app, running on an empty workspace."""
    running = App(workspace, tmp_path / "app.log")
    running.start()
    yield running
    running.clean_up()


@pytest.fixture
def browser(chromium: str) -> Iterator[object]:
    """A chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: object) -> Iterator[object]:
    """A page of 1440×900."""
    opened = browser.new_page(viewport={"width": 1440, "height": 900})  # type: ignore[attr-defined]
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


@pytest.fixture
def shot(page: object, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """shot("name"): a picture of the page as it is."""
    folder = Path(os.environ.get("CATFISH_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: page.screenshot(path=folder / f"{request.node.name}-{name}.png", full_page=True)  # type: ignore[attr-defined, return-value]


@pytest.fixture
def finished(workspace: Workspace) -> Callable[[str, float], runs.Run]:
    """finished(run_id, seconds): wait until that run has completed."""

    def wait(id: str, seconds: float = 240) -> runs.Run:
        run = runs.find(workspace, id)
        deadline = time.monotonic() + seconds
        while runs.status(run) in runs.ACTIVE and time.monotonic() < deadline:
            time.sleep(0.1)
        assert runs.status(run) == "completed", run.attempt.joinpath("log.txt").read_text()
        return run

    return wait
