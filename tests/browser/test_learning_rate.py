"""The learning-rate finder in a real browser: sweep, drag, use, train with that rate."""

import json
import re
import time

import pytest

from catfish_core import runs, sweeps
from catfish_core.events import EpochEnd

# How long after the hand let go the page names the rate the line is at, in milliseconds; -1: not within 20 s.
FOLLOWED = """async () => {
  const rate = document.querySelector(".catfish-sweep input").value;
  const use = () => document.querySelector(".st-key-sweep_use button")?.innerText ?? "";
  while (!use().includes(`Use ${rate}`)) {
    if (performance.now() - window.released > 20000) return -1;
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - window.released;
}"""

# A number field shows its least value for a frame before the one it was given.
SHOWN = """([label, wanted]) => {
  const shown = Number(document.querySelector(`input[aria-label="${label}"]`)?.value);
  return Math.abs(shown / wanted - 1) < 1e-6;
}"""


def fill(page, label, value):
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def line(page):
    return page.get_by_role("slider", name="Learning rate")


def drag(page, part):
    """Take the line by its handle to that part of the axis; how long the page took to follow, in milliseconds."""
    handle = line(page)
    handle.scroll_into_view_if_needed()
    box, area = handle.bounding_box(), page.locator(".catfish-sweep .nsewdrag").first.bounding_box()
    page.evaluate("window.addEventListener('pointerup', () => { window.released = performance.now(); }, true)")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 30)
    page.mouse.down()
    page.mouse.move(area["x"] + part * area["width"], box["y"] + box["height"] - 30, steps=12)
    page.mouse.up()
    return page.evaluate(FOLLOWED)


@pytest.fixture
def swept(app, page, shot):
    """A sweep of 60 steps started from the Train form, and its page."""
    page.goto(f"{app.url}/train")
    fill(page, "Batch size", 16)
    page.get_by_role("link", name="Find a good one").click()
    page.get_by_text("Range, steps and more").click()
    fill(page, "Steps", 60)
    fill(page, "Steps of such a training", 10)
    page.locator(".st-key-sweep_start button").click()
    page.wait_for_url(re.compile("sweep="))
    page.locator(".st-key-sweep_panel", has_text="Step").wait_for(timeout=120_000)
    line(page).wait_for(timeout=60_000)
    shot("sweeping")
    page.locator(".st-key-sweep_panel", has_text="Done in").wait_for(timeout=200_000)
    shot("swept")
    return sweeps.find(app.workspace, re.search(r"sweep=([0-9a-z-]+)", page.url)[1])


@pytest.mark.timeout(500)
def test_sweep_drag_use_and_train_with_that_rate(app, page, shot, swept):
    advised = sweeps.summary(swept).advised
    assert sweeps.status(swept) == "completed" and advised.rate is not None

    waits = [drag(page, part) for part in (0.3, 0.55, 0.97)]
    print(f"\nthe page followed the line after {', '.join(f'{wait:.0f}' for wait in waits)} ms")
    assert min(waits) >= 0
    page.locator(".st-key-sweep_meaning", has_text="Too big: the loss explodes").wait_for()
    page.get_by_text(re.compile("Thrown out of the valley|from side to side")).wait_for()
    shot("exploded")

    line(page).press("Home")
    page.locator(".st-key-sweep_meaning", has_text="Too small").wait_for()
    assert line(page).get_attribute("aria-valuenow") == "0.000001"
    line(page).press("ArrowRight")
    assert float(line(page).get_attribute("aria-valuenow")) == pytest.approx(1.1e-6)

    rate = float(f"{advised.rate:.2g}")
    page.get_by_role("button", name=re.compile(f"{advised.recommended}:", re.I)).click()
    page.locator(".st-key-sweep_use button", has_text=f"Use {rate:g}").click()
    page.get_by_role("heading", name="Train a network").wait_for()
    page.wait_for_function(SHOWN, arg=["Learning rate", rate])
    shot("used")
    page.locator(".st-key-train_submit button").click()
    page.wait_for_url(re.compile(r"/run\?.*run="))
    run = runs.find(app.workspace, re.search(r"run=([0-9a-z-]+)", page.url)[1])
    deadline = time.monotonic() + 120
    while not any(isinstance(event, EpochEnd) for event in run.events()[0]):
        assert time.monotonic() < deadline and runs.status(run) in runs.ACTIVE
        time.sleep(0.1)
    config = json.loads((run.path / "config.json").read_text())
    assert config["optimizer"]["lr"] == pytest.approx(rate) and config["training"]["batch_size"] == 16
    run.stop()


@pytest.mark.timeout(400)
def test_a_sweep_outlives_a_reload_and_can_be_stopped(app, page):
    page.goto(f"{app.url}/learning-rate")
    page.locator(".st-key-sweep_start button").click()
    page.wait_for_url(re.compile("sweep="))
    sweep = sweeps.find(app.workspace, re.search(r"sweep=([0-9a-z-]+)", page.url)[1])
    page.locator(".st-key-sweep_panel", has_text="Step").wait_for(timeout=120_000)
    page.reload()
    page.locator(".st-key-sweep_stop button").first.click(timeout=60_000)
    page.locator(".st-key-sweep_panel", has_text="Stopped, as you asked").wait_for(timeout=60_000)
    assert sweeps.status(sweep) == "stopped"
    line(page).wait_for()
