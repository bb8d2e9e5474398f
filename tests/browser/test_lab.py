"""A lab in a real browser on a real server: sign in, be somebody, be nobody again."""

import json
import urllib.error
import urllib.request

import pytest

from catfish_core.lab import accounts, sessions

GOOD = "four words that nobody guesses"


@pytest.fixture
def lab(workspace, monkeypatch):
    monkeypatch.setenv("CATFISH_LAB", "1")
    for name, role in (("ada", "admin"), ("bob", "member"), ("eve", "viewer")):
        accounts.add(workspace, name, role, GOOD)
    return workspace


@pytest.fixture
def app(lab, app):
    return app


def status(url):
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def sign_in(page, name, password=GOOD):
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.click("button")


def test_a_day_in_the_lab(app, lab, page, shot):
    page.goto(f"{app.url}/train")
    page.wait_for_selector("text=Sign in to CatFish")  # no page before one has said who one is
    sign_in(page, "bob", "not the password")
    page.wait_for_selector("text=Name or password is not right.")
    shot("wrong")
    sign_in(page, "bob")
    page.wait_for_selector("h1:has-text('Train a network')")  # the page that was asked for
    assert page.evaluate("document.cookie") == "" or "catfish_session" not in page.evaluate("document.cookie")
    assert page.locator(".st-key-train_submit button").is_enabled()
    shot("member")

    picture = page.locator("img").first.get_attribute("src")
    seen = [status(f"{app.url}{path}") for path in ("/media/x.jpg", "/_stcore/host-config", "/_stcore/metrics")]
    assert seen == [401, 401, 401] and picture

    page.click(".st-key-identity button")
    page.click("text=Password and sign-ins")
    page.wait_for_selector("text=In 1 browser, this one included.")
    shot("account")
    page.goto(f"{app.url}/runs")
    page.wait_for_selector("h1:has-text('Runs')")
    accounts.set_disabled(lab, "bob", True)
    page.click("a:has-text('Train')")
    page.wait_for_selector("text=You are no longer signed in.")
    assert page.locator("h1").count() == 0
    shot("signed-out")
    page.click("a:has-text('Sign in')")

    sign_in(page, "eve")
    page.wait_for_selector("h1:has-text('Train a network')")
    assert page.locator(".st-key-train_submit button").first.is_disabled()
    shot("viewer")
    page.click(".st-key-identity button")
    page.click(".st-key-identity_out button")
    page.wait_for_selector("text=You are no longer signed in.")
    assert sessions.count(lab, "eve") == 0
    page.reload()
    page.wait_for_selector("text=Sign in to CatFish")
    log = app.log.read_text()
    kept = b"".join(path.read_bytes() for path in lab.root.rglob("*") if path.is_file())
    assert GOOD not in log and GOOD.encode() not in kept and "catfish_session" not in log


def test_visitors_watch_and_change_nothing(app, lab, page):
    (lab.root / "lab.json").write_text(json.dumps({"shared": True, "visitors": True}))
    page.goto(f"{app.url}/")
    page.wait_for_selector("h1:has-text('Teach your computer')")
    assert page.locator(".st-key-home_train button").first.is_disabled()  # a help comes twice
    page.click(".st-key-identity a:has-text('Sign in')")
    sign_in(page, "ada")
    page.wait_for_selector(".st-key-home_train button:not([disabled])")
