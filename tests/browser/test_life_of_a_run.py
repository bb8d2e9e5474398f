"""What a run lives through, in a real browser: reloads, closed tabs, a rest, a killed server, others before it."""

import re
import time

import pytest

from catfish_core import runs
from catfish_core.config import parse
from catfish_core.events import BatchEnd, Paused, Resumed, Stopped
from catfish_core.jobs import queue
from catfish_core.lab import messages

LONG = {"name": "A long run", "training": {"epochs": 400}}


def panel(page):
    return page.locator(".st-key-run_panel")


def until(said, seconds=30):
    """Wait until `said()` is true."""
    deadline = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def training(run):
    return lambda: runs.status(run) == "running" and any(isinstance(e, BatchEnd) for e in run.events()[0])


def press(page, key):
    page.locator(f".st-key-{key} button").first.click(timeout=30_000)


@pytest.fixture
def run(app):
    """A run of many epochs, in the queue of the app."""
    return queue.submit(app.workspace, parse(LONG))


def test_reload_close_pause_kill_resume_and_stop(app, browser, page, run, shot):
    link = f"{app.url}/run?run={run.id}"
    page.goto(link)
    panel(page).get_by_text("Training: epoch").wait_for(timeout=60_000)
    page.reload()
    panel(page).get_by_text("Training: epoch").wait_for()
    page.close()
    until(training(run))  # nobody looks, and it trains on

    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(link)
    press(page, "run_pause")
    panel(page).get_by_text("Paused in epoch").wait_for()
    assert isinstance(run.events()[0][-1], Paused)
    until(lambda: not run.alive())

    press(page, "run_resume")
    until(lambda: any(isinstance(event, Resumed) for event in run.events()[0]), 60)
    app.kill()
    seen = len(run.events()[0])
    until(lambda: len(run.events()[0]) > seen)  # it does not notice
    app.start()
    page.goto(link)
    panel(page).get_by_text("Training: epoch").wait_for(timeout=60_000)

    press(page, "run_stop")
    panel(page).get_by_text("Stopped in epoch").wait_for()
    assert isinstance(run.events()[0][-1], Stopped)
    until(lambda: not run.alive())  # its last event comes a moment before its end
    page.get_by_role("button", name="Go on").wait_for()
    page.close()


def test_a_finished_run_trains_longer(app, page, finished):
    run = queue.submit(app.workspace, parse({"name": "Short", "training": {"epochs": 2}}))
    finished(run.id)
    page.goto(f"{app.url}/run?run={run.id}")
    press(page, "run_longer")
    page.locator(".st-key-run_more_epochs input").fill("1")
    page.keyboard.press("Tab")
    press(page, "run_extend")
    until(lambda: runs.status(run) in runs.ACTIVE)
    finished(run.id)
    page.get_by_text("3 of 3", exact=True).wait_for()


def test_who_waits_is_told_why_and_can_be_moved_and_cancelled(app, page, run, shot):
    until(training(run), 60)
    second, third = (queue.submit(app.workspace, parse({"name": name})) for name in ("<b>Second</b>", "Third"))
    page.goto(f"{app.url}/run?run={third.id}")
    panel(page).get_by_text(re.compile(r"Second in line\..*“A long run” needs about")).wait_for(timeout=60_000)
    shot("waiting")
    panel(page).get_by_text("See the whole queue").click()
    page.get_by_role("heading", name="This computer").wait_for()
    page.get_by_role("button", name="Sooner: Third").click()
    until(lambda: [entry.id for entry in queue.overview(app.workspace).waiting] == [third.id, second.id])
    page.get_by_role("button", name="Cancel: <b>Second</b>").click()
    until(lambda: runs.status(second) == "stopped")
    page.get_by_role("button", name="Stop: A long run").click()
    until(lambda: runs.status(run) == "stopped")
    until(training(third), 60)
    shot("queue")


def test_the_end_of_a_run_is_told_once_wherever_one_is(app, page, shot):
    page.goto(f"{app.url}/data")
    page.get_by_role("heading", level=1).wait_for()
    until(lambda: any((app.workspace.root / "lab" / "told").glob("*.json")))
    run = queue.submit(app.workspace, parse({"name": "Quick one", "training": {"epochs": 1}}))
    toast = page.get_by_test_id("stToast").filter(has_text="Quick one is done")
    toast.wait_for(timeout=90_000)
    shot("toast")
    page.reload()
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(6000)
    assert toast.count() == 0
    page.goto(f"{app.url}/lab")
    page.get_by_role("heading", name="News").wait_for()
    page.get_by_role("link", name="Quick one").click()
    page.wait_for_url(re.compile(run.id))


def test_a_message_to_all_stands_until_it_is_put_away(app, page, shot):
    message = messages.post(app.workspace, "Maintenance at <b>5 pm</b>", "root", None)
    page.goto(f"{app.url}/train")
    banner = page.locator(f".st-key-banner_{message.id}")
    banner.get_by_text("Maintenance at <b>5 pm</b>").wait_for()
    shot("banner")
    banner.locator("button").first.click()
    banner.wait_for(state="detached")
    page.reload()
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(1000)
    assert banner.count() == 0
