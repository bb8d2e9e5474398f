"""For everything the desk can do: whoever may, does; whoever may not, changes nothing and is written down."""

import inspect
from pathlib import Path

import pytest

from catfish_core import estimate, runs, sweeps
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.data import library
from catfish_core.errors import AccessError, RunError, SignedOut, StorageError
from catfish_core.events import EventLog, Failed, Stopped
from catfish_core.jobs import queue
from catfish_core.lab import accounts, audit, messages, services, usage
from catfish_core.lab.access import LOCAL, VISITOR, User
from catfish_core.lab.desk import Desk
from catfish_core.lab.usage import Waste
from catfish_core.runs import Run

CONFIG = RunConfig()
USERS = {
    "visitor": VISITOR,
    "viewer": User("eve", "viewer"),
    "owner": User("bob", "member"),
    "other": User("mia", "member"),
    "admin": User("ada", "admin"),
}
MEMBERS, OWN, ADMINS = {"owner", "other", "admin"}, {"owner", "admin"}, {"admin"}


@pytest.fixture
def place(people, workspace, tiny_dataset, monkeypatch):
    """bob's run, sweep and dataset in a lab; nothing is really started."""
    started = []
    monkeypatch.setattr(queue, "ensure_dispatcher", lambda ws: None)
    monkeypatch.setattr(usage, "spawn", lambda *given, log: None)
    monkeypatch.setattr(services, "restart_predictions", lambda ws: started.append("predictions"))
    monkeypatch.setattr(services, "restart_queue", lambda ws: started.append("queue"))
    monkeypatch.setattr(library, "start_prepare", lambda ws, id: started.append(id))
    monkeypatch.setattr(library, "start_add", lambda ws, name, source, owner: started.append((name, owner)))
    monkeypatch.setattr(estimate, "ask", lambda ws, config: started.append(config))
    place = Place(workspace, started)
    about = workspace.datasets / tiny_dataset / "dataset.json"
    about.write_text(about.read_text().replace('"owner": ""', '"owner": "bob"'))
    place.dataset = tiny_dataset
    return place


class Place:
    def __init__(self, workspace, started):
        self.workspace, self.started = workspace, started
        self.run = runs.create(workspace, CONFIG, "bob")
        self.stopped = runs.create(workspace, CONFIG, "bob")
        with EventLog(self.stopped.events_path) as log:
            log.append(Stopped(epoch=0, kept_epoch=None, seconds=1))
        self.stopped.checkpoints.mkdir()
        (self.stopped.checkpoints / "last.pt").touch()
        self.failed = runs.create(workspace, CONFIG, "bob")
        with EventLog(self.failed.events_path) as log:
            log.append(Failed(what="No memory."))
        self.waiting = queue.submit(workspace, CONFIG, "bob")
        self.message = messages.post(workspace, "Welcome.", "ada", None)
        self.unowned = runs.create(workspace, CONFIG)
        self.sweep = sweeps.create(workspace, CONFIG, SweepConfig(), "bob")
        upload = workspace.downloads / "upload-1" / "mine.zip"
        upload.parent.mkdir(parents=True)
        upload.write_bytes(b"zip")
        self.upload = upload

    def state(self):
        """Everything that a deed could change, without the audit log and what SQLite keeps beside."""
        files = {
            str(path.relative_to(self.workspace.root)): path.read_bytes()
            for path in sorted(self.workspace.root.rglob("*"))
            if path.is_file() and not path.name.startswith(("lab.db", "audit"))
        }
        people = accounts.listing(self.workspace)
        return files, people, list(self.started)


# what is done → (who may, the deed)
DEEDS = {
    "start": (MEMBERS, lambda desk, place: desk.start(CONFIG)),
    "sweep": (MEMBERS, lambda desk, place: desk.sweep(CONFIG, SweepConfig())),
    "measure": (MEMBERS, lambda desk, place: desk.measure(CONFIG)),
    "prepare": (MEMBERS, lambda desk, place: desk.prepare("sketchbook")),
    "add": (MEMBERS, lambda desk, place: desk.add("mine", place.upload)),
    "again": (OWN, lambda desk, place: desk.again(place.stopped)),
    "pause": (OWN, lambda desk, place: desk.pause(place.run)),
    "stop": (OWN, lambda desk, place: desk.stop(place.sweep)),
    "extend": (OWN, lambda desk, place: desk.extend(place.stopped, 3)),
    "prioritise": (OWN, lambda desk, place: desk.prioritise(place.waiting, -1)),
    "note": (OWN, lambda desk, place: desk.note(place.run, "a note")),
    "delete": (OWN, lambda desk, place: desk.delete(place.run)),
    "delete_dataset": (OWN, lambda desk, place: desk.delete_dataset(place.dataset)),
    "clean": (OWN, lambda desk, place: desk.clean(Waste("failed", "bob", 0, (place.failed.id,)))),
    "announce": (ADMINS, lambda desk, place: desk.announce("Maintenance at 5 pm.", None)),
    "take_back": (ADMINS, lambda desk, place: desk.take_back(place.message.id)),
    "restart_predictions": (ADMINS, lambda desk, place: desk.restart_predictions()),
    "restart_queue": (ADMINS, lambda desk, place: desk.restart_queue()),
    "add_user": (ADMINS, lambda desk, place: desk.add_user("zoe", "admin", "a long enough password")),
    "set_role": (ADMINS, lambda desk, place: desk.set_role("mia", "admin")),
    "set_disabled": (ADMINS, lambda desk, place: desk.set_disabled("mia", True)),
    "set_password": (ADMINS, lambda desk, place: desk.set_password("ada", "a long enough password")),
    "sign_out_everywhere": (OWN, lambda desk, place: desk.sign_out_everywhere("bob")),
    "change_password": (None, None),  # of oneself only: tests of its own below
}
FRAME = {"deed", "require", "may", "user"}  # what deeds are made of


def last(place):
    return list(audit.read(place.workspace))[-1]


def test_every_deed_of_the_desk_is_tested_here():
    public = {name for name, _ in inspect.getmembers(Desk) if not name.startswith("_")}
    assert public - FRAME == set(DEEDS), "a new method of the desk needs a line in DEEDS"


@pytest.mark.parametrize("who", USERS)
@pytest.mark.parametrize("does", [does for does, (may, _) in DEEDS.items() if may])
def test_who_may_does_and_who_may_not_changes_nothing(place, does, who):
    may, deed = DEEDS[does]
    before, user = place.state(), USERS[who]
    if who in may:
        deed(Desk(place.workspace, user), place)
        if does not in ("measure", "sign_out_everywhere", "set_password"):  # not seen in these files
            assert place.state() != before
        if does != "measure":
            assert (last(place).user, last(place).outcome) == (user.name, "done")
        return
    with pytest.raises(AccessError):
        deed(Desk(place.workspace, user), place)
    assert place.state() == before
    assert (last(place).user, last(place).outcome) == (user.name, "refused")


@pytest.mark.parametrize("does", [does for does, (may, _) in DEEDS.items() if may])
def test_the_local_person_may_everything(place, does):
    DEEDS[does][1](Desk(place.workspace, LOCAL), place)


@pytest.mark.parametrize("does", [does for does, (may, _) in DEEDS.items() if may])
def test_whoever_has_been_signed_out_meanwhile_does_nothing(place, does):
    def gone():
        raise SignedOut("You are no longer signed in.")

    before = place.state()
    with pytest.raises(SignedOut):
        DEEDS[does][1](Desk(place.workspace, gone), place)
    assert place.state() == before and last(place).outcome == "refused"


@pytest.mark.parametrize("who", ["visitor", "viewer", "owner", "other"])
def test_what_belongs_to_nobody_is_the_admins(place, who):
    desk = Desk(place.workspace, USERS[who])
    for deed in (desk.stop, desk.pause, desk.again, desk.delete):
        with pytest.raises(AccessError):
            deed(place.unowned)
    assert place.unowned.path.is_dir() and not place.unowned.wished("stop")


def test_what_somebody_starts_is_theirs(place):
    desk = Desk(place.workspace, USERS["other"])
    assert desk.start(CONFIG).owner() == "mia" and desk.sweep(CONFIG, SweepConfig()).owner() == "mia"
    desk.add("mine", place.upload)
    assert place.started[-1] == ("mine", "mia")


def test_an_imported_dataset_has_its_owner(people, workspace, tiny_zip):
    for _ in library.add(workspace, "hers", tiny_zip, "mia"):
        pass
    assert library.info(workspace, "hers").owner == "mia"
    with pytest.raises(AccessError):
        Desk(workspace, USERS["owner"]).delete_dataset("hers")
    Desk(workspace, USERS["other"]).delete_dataset("hers")
    assert not library.is_ready(workspace, "hers")


@pytest.mark.parametrize("source", ["/etc", "{root}/runs", "{downloads}/../runs", "{downloads}", "{link}"])
def test_a_member_imports_no_folder_of_the_machine(place, tmp_path, source):
    link = place.workspace.downloads / "upload-1" / "link"
    link.symlink_to("/etc")
    named = source.format(root=place.workspace.root, downloads=place.workspace.downloads, link=link)
    with pytest.raises(AccessError):
        Desk(place.workspace, USERS["owner"]).add("mine", Path(named))
    assert not place.started


def test_a_forged_job_outside_the_workspace_is_no_job(place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "job.json").write_text('{"owner": "bob"}')
    inside = place.workspace.runs
    for path in (elsewhere, place.workspace.root, inside / "..", inside / place.run.id / "..", inside, Path("/")):
        with pytest.raises(RunError, match="no run called"):
            Desk(place.workspace, LOCAL).delete(Run(path))
    assert elsewhere.is_dir()


def test_a_run_whose_owner_cannot_be_read_is_the_admins(place):
    (place.run.path / "job.json").write_text("{ torn")
    with pytest.raises(AccessError):
        Desk(place.workspace, USERS["owner"]).stop(place.run)
    Desk(place.workspace, USERS["admin"]).stop(place.run)


def test_a_deed_that_fails_is_written_down_as_failed(place):
    desk = Desk(place.workspace, USERS["admin"])
    with pytest.raises(Exception, match="no account"):
        desk.set_role("nobody", "viewer")
    assert last(place).outcome == "failed"


def test_changing_one_s_own_password_needs_the_present_one(place, people):
    desk = Desk(place.workspace, USERS["owner"])
    with pytest.raises(AccessError, match="not right"):
        desk.change_password("not it at all", "a brand new long one")
    assert accounts.check(place.workspace, "bob", people.passwords["bob"])
    desk.change_password(people.passwords["bob"], "a brand new long one")
    assert accounts.check(place.workspace, "bob", "a brand new long one")
    assert [deed.outcome for deed in audit.read(place.workspace)] == ["refused", "done"]


def test_nobody_in_particular_has_no_password_to_change(place):
    with pytest.raises(AccessError):
        Desk(place.workspace, VISITOR).change_password("", "a brand new long one")


def test_who_it_is_is_asked_when_something_is_done(place):
    now = [USERS["owner"]]
    desk = Desk(place.workspace, lambda: now[0])
    desk.stop(place.run)
    now[0] = USERS["other"]
    with pytest.raises(AccessError):
        desk.delete(place.run)


def test_only_an_administrator_puts_a_job_before_all_others(place):
    with pytest.raises(AccessError):
        Desk(place.workspace, USERS["owner"]).prioritise(place.waiting, 1)
    assert queue.overview(place.workspace).waiting[0].priority == 0 and last(place).outcome == "refused"
    Desk(place.workspace, USERS["admin"]).prioritise(place.waiting, 1)
    assert queue.overview(place.workspace).waiting[0].priority == 1


@pytest.mark.parametrize("does", ["start", "sweep", "extend", "add"])
def test_who_has_filled_their_part_of_the_disk_starts_nothing(place, does, monkeypatch):
    monkeypatch.setattr(usage, "over_quota", lambda ws, name: "You use 9 GB of 8." if name == "bob" else None)
    before = place.state()
    with pytest.raises(StorageError, match="You use 9 GB of 8"):
        DEEDS[does][1](Desk(place.workspace, USERS["owner"]), place)
    assert place.state() == before and last(place).outcome == "failed"
    DEEDS[does][1](Desk(place.workspace, USERS["admin"]), place)


def test_nobody_cleans_up_another_s_runs_under_one_s_own_name(place):
    Desk(place.workspace, USERS["other"]).clean(Waste("failed", "mia", 0, (place.failed.id,)))
    assert place.failed.path.is_dir()
