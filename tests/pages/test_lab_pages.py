"""Every page of a lab, looked at and pressed by everybody: whoever may not, reads nothing or changes nothing.

Buttons are pressed as if none were shown as disabled: that they are is for the eye, and the desk has to refuse.
"""

from pathlib import Path

import pytest

from catfish_core import runs
from catfish_core.events import Failed
from catfish_core.lab import accounts, audit, signing
from catfish_ui import identity

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
STARTING = ("data", "home", "learning_rate", "run", "train")  # pages with buttons that a viewer may not use
MINE = ("run",)  # and with some that are not for every member (a dataset is deleted in a dialog)
TITLE = "Marmalade in the moonlight"


@pytest.fixture
def lab(people, make, events, tiny_dataset, monkeypatch):
    """A lab in which bob has a run under way, one that failed, a sweep and a dataset."""
    from catfish_core.serving import client

    monkeypatch.setattr(client, "predict", lambda *args, **kwargs: [])
    monkeypatch.setattr(client, "augmented", lambda *args, **kwargs: [])
    about = people.workspace.datasets / tiny_dataset / "dataset.json"
    about.write_text(about.read_text().replace('"owner": ""', '"owner": "bob"'))
    people.going = make.run([*events(2, planned=9)], name=TITLE)
    (people.going.attempt / "started.json").unlink()  # as on its way up
    people.failed = make.run([*events(1, planned=9), Failed(what="No memory.", hint="")], name=TITLE)
    people.failed.attempt.joinpath("log.txt").write_text("Traceback of bob")
    people.nobodys = make.finished(name=TITLE)
    people.sweep = make.finished_sweep()
    for job in (people.going, people.failed, people.sweep):
        (job.path / "job.json").write_text('{"owner": "bob"}')
    return people


@pytest.fixture
def sign_in(lab, monkeypatch):
    """sign_in("bob"): this browser is bob's from now on; "" for somebody without a session."""

    def as_(name):
        token = lab.token(name)
        monkeypatch.setattr(identity, "token", lambda: token)
        return token

    return as_


def link(lab, page):
    """What stands in the address of a page that shows one run or sweep."""
    return {"run": {"run": lab.failed.id}, "predict": {"run": lab.nobodys.id},
            "learning_rate": {"sweep": lab.sweep.id}}.get(page, {})  # fmt: skip


def kept(lab, *jobs):
    """What the workspace holds, or only what these jobs hold."""
    roots = [job.path for job in jobs] or [lab.workspace.runs, lab.workspace.sweeps, lab.workspace.datasets]
    found = (path for root in roots for path in root.rglob("*"))
    return {path: path.read_bytes() for path in found if path.is_file() and path.suffix != ".lock"}


@pytest.fixture
def nothing_disabled(monkeypatch):
    """Buttons are offered to everybody."""
    monkeypatch.setattr(identity, "why_not", lambda action, owner="": None)


def told(app):
    kinds = ("title", "header", "markdown", "caption", "info", "warning", "error", "button", "html")
    return "\n".join(str(getattr(each, "value", "")) for kind in kinds for each in app.get(kind)) + str(app.main)


@pytest.mark.parametrize("page", PAGES)
def test_nobody_reads_nothing(open_page, lab, sign_in, page, no_processes):
    sign_in("")
    before = kept(lab)
    app = open_page(page, **link(lab, page))
    assert "This lab asks who you are" in app.info[0].value
    assert not app.title and not app.button and len(app.info) == 1
    for secret in (TITLE, lab.going.id, "tiny", "bob"):
        assert secret not in told(app)
    assert kept(lab) == before and not no_processes


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", ["eve", "bob", "mia", "ada"])
def test_everybody_with_an_account_reads_every_page(open_page, lab, sign_in, page, name):
    sign_in(name)
    app = open_page(page, **link(lab, page))
    assert len(app.title) == 1 and f"**{name}**" in told(app)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", ["visitor", "eve", "mia"])
def test_whoever_may_not_changes_nothing_by_any_button(
    open_page, lab, sign_in, page, name, no_processes, nothing_disabled
):
    lab.lab(visitors=name == "visitor")
    sign_in("" if name == "visitor" else name)
    jobs = (lab.going, lab.failed, lab.nobodys, lab.sweep)
    theirs = [lab.workspace.datasets / "tiny" / "dataset.json", *(job.path for job in jobs)]
    runs_to_look_at = [lab.failed, lab.going, lab.nobodys] if page == "run" else [None]
    for run in runs_to_look_at:
        query = {"run": run.id} if run else link(lab, page)
        before, everything = kept(lab, *jobs), kept(lab)
        for key in [button.key for button in open_page(page, **query).button if button.key != "identity_out"]:
            app = open_page(page, **query)
            if app.button(key=key).disabled:
                continue  # for other reasons, as there is nothing to import
            app.button(key=key).click().run()
            assert kept(lab, *jobs) == before, f"{name} changed something by {key}"
            assert all(path.exists() for path in theirs)
            if name != "mia":
                assert kept(lab) == everything and not no_processes, f"{name} started something by {key}"
    refused = [deed.action for deed in audit.read(lab.workspace) if deed.outcome == "refused"]
    assert refused or page not in (MINE if name == "mia" else STARTING)


@pytest.mark.parametrize(("name", "may"), [("eve", False), ("mia", False), ("bob", True), ("ada", True)])
def test_stop_is_for_the_owner_and_admins(open_page, lab, sign_in, name, may):
    sign_in(name)
    app = open_page("run", run=lab.going.id)
    assert app.button(key="run_stop").disabled is not may
    assert may is (
        app.button(key="run_stop").help == "Ends the training within two seconds and keeps the best weights so far."
    )


@pytest.mark.parametrize(("name", "may"), [("eve", False), ("mia", False), ("bob", True), ("ada", True)])
def test_stop_sent_by_somebody_else_is_refused_and_written_down(open_page, lab, sign_in, name, may, nothing_disabled):
    sign_in(name)
    open_page("run", run=lab.going.id).button(key="run_stop").click().run()
    assert lab.going.wished("stop") is may
    deed = list(audit.read(lab.workspace))[-1]
    assert (deed.user, deed.action, deed.outcome) == (name, "stop run", "done" if may else "refused")


def test_a_button_drawn_for_somebody_who_has_been_shut_out_since_does_nothing(open_page, lab, sign_in):
    sign_in("bob")
    app = open_page("run", run=lab.going.id)
    accounts.set_disabled(lab.workspace, "bob", True)
    app.button(key="run_stop").click().run()
    assert not lab.going.wished("stop")
    deed = list(audit.read(lab.workspace))[-1]
    assert (deed.user, deed.action, deed.outcome) == ("", "stop run", "refused")
    assert TITLE not in told(app.run()) and "no longer signed in" in app.info[0].value


def test_signing_out_in_the_header_ends_the_session(open_page, lab, sign_in):
    token = sign_in("bob")
    app = open_page("runs")
    app.button(key="identity_out").click().run()
    assert "no longer signed in" in app.info[0].value and not app.title
    with pytest.raises(identity.signing.SignedOut):
        signing.who(lab.workspace, token)


def test_what_one_typed_is_not_there_for_the_next_in_the_same_tab(open_page, lab, sign_in):
    sign_in("bob")
    app = open_page("train")
    app.text_input(key="train_name").set_value("a name of bob's").run()
    sign_in("mia")
    app.run()
    assert app.text_input(key="train_name").value == ""


@pytest.mark.parametrize("id", ["../../lab", "..", "/etc/passwd", "%2e%2e", "20260101-000000-x/../../..", "\u0000"])
@pytest.mark.parametrize("page", ["run", "predict", "learning_rate"])
def test_a_forged_link_is_a_sentence(open_page, lab, sign_in, page, id):
    sign_in("mia")
    app = open_page(page, **{"sweep" if page == "learning_rate" else "run": id})
    shown = [*app.error, *app.info]
    assert shown and "root:" not in told(app)


@pytest.mark.parametrize(("name", "may"), [("eve", False), ("mia", False), ("bob", True), ("ada", True)])
def test_the_log_of_a_run_is_for_those_it_concerns(open_page, lab, sign_in, name, may):
    sign_in(name)
    app = open_page("run", run=lab.failed.id)
    assert any("Traceback of bob" in block.value for block in app.code) is may


@pytest.mark.parametrize(("name", "may"), [("bob", False), ("ada", True)])
def test_only_admins_name_folders_of_the_machine(open_page, lab, sign_in, name, may):
    sign_in(name)
    options = open_page("data").segmented_control(key="data_way").options
    assert ("A folder on the computer CatFish runs on" in options) is may


def test_what_a_member_starts_is_theirs(open_page, lab, sign_in, no_processes):
    sign_in("mia")
    app = open_page("home")
    app.button(key="home_train").click().run()
    (run,) = no_processes
    assert runs.find(lab.workspace, run.id).owner() == "mia"


def test_nothing_changes_for_the_one_local_person(open_page, make, monkeypatch):
    monkeypatch.delenv("CATFISH_LAB", raising=False)
    run = make.finished()
    app = open_page("run", run=run.id)
    assert not [button for button in app.button if button.disabled or "identity" in str(button.key)]
    assert not (make.workspace.root / "lab.db").exists()


def test_damaged_settings_show_no_page(open_page, lab, sign_in):
    sign_in("ada")
    (lab.workspace.root / "lab.json").write_text("{")
    app = open_page("runs")
    (error,) = app.error
    assert "nobody is let in" in error.value and "home/" not in error.value
    assert not app.title and TITLE not in told(app)
