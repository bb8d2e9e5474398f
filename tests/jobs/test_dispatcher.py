"""The dispatcher: who starts when, what it does about those that end without a word, and who is in charge."""

import errno
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter

import pytest

from catfish_core import runs
from catfish_core.errors import StorageError
from catfish_core.events import EventLog, Failed, Preparing
from catfish_core.jobs import directory, dispatcher, queue, shim, store, turns
from catfish_core.jobs.dispatcher import BACKOFF, CENSUS, FRESH, IDLE, OVERDUE, UNCLAIMED, Deposed, Dispatcher

from .conftest import CONFIG, RESTED, Played

DAY = 24 * 3600.0


def said(run, event):
    with EventLog(run.events_path) as log:
        log.append(event)


# -- whose turn it is


def test_as_many_start_as_there_are_slots_and_the_others_wait(lab):
    lab.slots(2)
    runs_ = [lab.submit() for _ in range(3)]
    lab.round()
    assert lab.started == [run.id for run in runs_[:2]] == lab.running
    assert [directory.status(run) for run in runs_] == ["running", "running", "queued"]
    lab.launcher.end(runs_[0].attempt)
    lab.round()
    assert lab.started == [run.id for run in runs_] and lab.running == [run.id for run in runs_[1:]]


def test_a_wish_to_go_first_is_heard(lab):
    lab.submit("a")
    lab.round()
    later, urgent = lab.submit("b"), lab.submit("b", priority=1)
    assert lab.waiting == [urgent.id, later.id]
    queue.prioritise(lab.workspace, later, 2)
    assert lab.waiting == [later.id, urgent.id]
    lab.launcher.end(lab.launcher.starts[0])
    lab.round()
    assert lab.running == [later.id]


def test_nobody_runs_more_than_the_lab_allows(lab):
    lab.slots(3, running_per_user=1)
    first, second, other = lab.submit("a"), lab.submit("a"), lab.submit("b")
    lab.round()
    assert lab.running == [first.id, other.id]
    assert "as many as one person may have" in queue.standing(lab.workspace, second).reason


def test_what_was_just_started_has_not_taken_its_memory_yet(lab):
    lab.slots(3)
    lab.memory = int(2.5 * turns.MEMORY)
    for _ in range(3):
        lab.submit()
    lab.round()
    assert len(lab.running) == 2  # the second one finds 1.5 GB, the third 0.5
    lab.round(FRESH + 1)
    assert len(lab.running) == 3


def test_too_little_memory_is_waited_for_and_said(lab):
    lab.slots(2)
    lab.memory = turns.MEMORY // 2
    first, second = lab.submit(), lab.submit()
    lab.round(), lab.round(FRESH + 1)
    assert lab.running == [first.id]
    assert "0.5 GB" in queue.standing(lab.workspace, second).reason
    lab.memory = 2 * turns.MEMORY
    lab.round()
    assert lab.running == [first.id, second.id]


def orders():
    """Who submits, in which order: one after the other, all at once, one with most of them."""
    rng = random.Random(5)
    mixed = list("abcde" * 20)
    rng.shuffle(mixed)
    return {
        "one after the other": [owner for owner in "abcde" for _ in range(20)],
        "in turns": list("abcde" * 20),
        "mixed": mixed,
        "one has most": ["a"] * 60 + [owner for owner in "bcde" for _ in range(10)],
    }


@pytest.mark.parametrize(
    ("order", "slots"),
    [
        ("one has most", 1),
        ("mixed", 3),
        pytest.param("mixed", 1, marks=pytest.mark.slow),
        pytest.param("one has most", 3, marks=pytest.mark.slow),
        *[
            pytest.param(order, slots, marks=pytest.mark.slow)
            for order in ("one after the other", "in turns")
            for slots in (1, 3)
        ],
    ],
)
def test_a_hundred_jobs_of_five_people_start_in_fair_order(lab, order, slots):
    """Whoever starts has the fewest running of all who wait; so nobody gets ahead of another who waits as well."""
    lab.slots(slots)
    owners = {lab.submit(owner).id: owner for owner in orders()[order]}
    rng, left = random.Random(3), Counter(owners.values())
    started, over = 0, set()
    since = {owner: Counter() for owner in left}  # owner → starts of each while both had something waiting
    for _ in range(2000):
        lab.round()
        for id in lab.started[started:]:
            owner = owners[id]
            running = Counter(owners[other] for other in lab.started[:started] if other not in over)
            assert running[owner] == min(running[other] for other in +left)
            waiting = set(+left)
            left[owner] -= 1
            started += 1
            for other in waiting - {owner}:
                since[other][owner] += 1
            since[owner].clear()
            assert all(count <= slots for other in +left for count in since[other].values())
        if started == 100:
            break
        for attempt in list(lab.launcher.held):
            if rng.random() < 0.5:
                over.add(attempt.parents[1].name)
                lab.launcher.end(attempt)
    assert Counter(lab.started) == Counter(list(owners))
    for owner in "abcde":
        theirs = [id for id in lab.started if owners[id] == owner]
        assert theirs == [id for id in owners if owners[id] == owner]


# -- what does not start, or does not end


def test_what_cannot_be_started_says_why_and_is_tried_again_later(lab):
    lab.launcher.refuses = StorageError("The disk is full: log.txt could not be written.")
    run = lab.submit()
    lab.round()
    assert lab.waiting == [run.id] and "disk is full" in queue.standing(lab.workspace, run).reason
    lab.launcher.refuses = None
    lab.round(BACKOFF / 2)
    assert lab.started == []
    lab.round(BACKOFF)
    assert lab.running == lab.started == [run.id] and queue.overview(lab.workspace).running[0].trouble == ""


def test_a_machine_without_room_for_another_process_is_a_trouble_like_any_other(lab):
    lab.launcher.refuses = OSError(errno.EAGAIN, "Resource temporarily unavailable")
    run, other = lab.submit(), lab.submit()
    lab.round()
    assert lab.waiting == [run.id, other.id] and "unavailable" in queue.standing(lab.workspace, run).reason


def test_what_cannot_be_started_holds_up_nobody_else(lab):
    broken, fine = lab.submit("a"), lab.submit("b")
    submit = lab.launcher.submit

    def picky(spec):
        if spec.attempt == broken.attempt:
            raise StorageError("CatFish may not write to its folder.")
        return submit(spec)

    lab.launcher.submit = picky
    lab.round()
    assert lab.running == [fine.id] and lab.waiting == [broken.id]


def test_an_attempt_that_nobody_claims_is_sent_again(lab):
    lab.launcher.claims = False
    run = lab.submit()
    lab.round(), lab.round(UNCLAIMED / 2)
    assert lab.started == [run.id]
    lab.launcher.claims = True
    lab.round(UNCLAIMED)
    assert lab.started == [run.id] * 2 and directory.status(run) == "running"


def test_an_empty_claim_is_one_of_a_shim_that_died_between_two_lines(lab):
    lab.launcher.claims = False
    run = lab.submit()
    lab.round()
    (run.attempt / "claim").touch()
    lab.launcher.claims = True
    lab.round(UNCLAIMED + 1)
    assert directory.status(run) == "running"


def test_a_shim_that_was_merely_slow_keeps_its_claim(lab):
    """It claims between the look at it and the second start."""
    lab.launcher.claims = False
    run = lab.submit()
    lab.round()
    poll = lab.launcher.poll

    def late(keys):
        states = poll(keys)
        if run.attempt not in lab.launcher.held:
            lab.launcher.claim(run.attempt)
        return states

    lab.launcher.poll = late
    lab.round(UNCLAIMED + 1)
    assert (run.attempt / "claim").read_text() and directory.status(run) == "running"


@pytest.mark.parametrize("last", ["an end", "a wish"])
def test_what_should_have_ended_and_did_not_is_ended(lab, last):
    """The shim sees to that; where it does not, the dispatcher does."""
    run = lab.submit()
    lab.round()
    said(run, Preparing(what="Starting up"))
    for _ in range(40):
        lab.round(1.0)
    assert lab.launcher.killed == []
    if last == "an end":
        said(run, RESTED)
    else:
        queue.stop(lab.workspace, run)
    for _ in range(int(OVERDUE)):
        lab.round(1.0)
    assert lab.launcher.killed == []
    lab.round(1.0), lab.round(1.0), lab.round(1.0)
    assert lab.launcher.killed[0] == run.attempt and lab.running == []
    assert directory.status(run) == ("paused" if last == "an end" else "stopped")


def test_the_next_attempt_waits_until_the_last_of_the_one_before_has_gone(lab):
    run = lab.submit()
    lab.round()
    lab.launcher.dying = True
    lab.launcher.die(run.attempt)
    for _ in range(5):
        lab.round()
    assert lab.started == [run.id]
    lab.launcher.dying = False
    lab.round(), lab.round()
    assert lab.started == [run.id, run.id]


def test_an_interrupted_run_is_started_twice_more_and_then_left_alone(lab):
    run = lab.submit()
    for _ in range(8):
        lab.round()
        for attempt in list(lab.launcher.held):
            lab.launcher.die(attempt)
    assert lab.started == [run.id] * 3 and [path.name for path in lab.launcher.starts] == ["1", "2", "3"]
    assert directory.status(run) == "crashed" and lab.running == lab.waiting == []


def test_an_interrupted_run_keeps_its_place(lab):
    first, second, other = lab.submit("a"), lab.submit("a"), lab.submit("b")
    lab.round()
    lab.slots(0)
    lab.launcher.die(first.attempt)
    lab.round()
    assert lab.waiting == [other.id, first.id, second.id]  # b's turn, as a's came already


def test_a_new_checkpoint_counts_anew(lab):
    run = lab.submit()
    run.checkpoints.mkdir()
    for number in range(6):
        lab.round()
        checkpoint = run.checkpoints / "last.pt"
        checkpoint.touch()
        os.utime(checkpoint, ns=(number, number))
        lab.launcher.die(lab.launcher.starts[-1])
    lab.round()
    assert len(lab.started) == 7 and directory.status(run) == "running"


@pytest.mark.parametrize("how", ["failed", "completed", "paused"])
def test_what_ended_by_itself_is_not_started_again(lab, how):
    run = lab.submit()
    lab.round()
    if how == "failed":
        lab.launcher.end(run.attempt, Failed(what="No.", hint=""))
    elif how == "completed":
        lab.launcher.end(run.attempt)
    else:
        queue.pause(lab.workspace, run)
        lab.launcher.end(run.attempt, RESTED)
    lab.round(), lab.round(CENSUS)
    assert directory.status(run) == how and lab.started == [run.id] and lab.running == lab.waiting == []


def test_its_last_event_counts_where_the_shim_said_nothing(lab):
    """A full disk takes no exit.json; the log's last event is enough."""
    run = lab.submit()
    lab.round()
    said(run, RESTED)
    lab.launcher.die(run.attempt)
    lab.round()
    assert directory.status(run) == "paused" and lab.started == [run.id] and lab.running == []


def test_a_cancelled_job_never_starts(lab):
    lab.submit()
    lab.round()
    run = lab.submit()
    queue.stop(lab.workspace, run)
    lab.launcher.end(lab.launcher.starts[0])
    lab.round(), lab.round(CENSUS)
    assert run.id not in lab.started and directory.status(run) == "stopped"


def test_one_that_was_cancelled_while_the_queue_could_not_be_written_leaves_it_later(lab, monkeypatch):
    monkeypatch.setattr(store, "BUSY", 0.05)
    lab.submit()
    lab.round()
    run = lab.submit()
    with lab.dispatcher.store.writing():
        queue.stop(lab.workspace, run)
    assert directory.status(run) == "stopped" and lab.waiting == [run.id]
    lab.round(CENSUS)
    assert lab.waiting == [] and run.id not in lab.started


# -- directories that go, or cannot be used


def test_a_directory_deleted_while_it_waits_leaves_the_queue(lab):
    lab.submit()
    lab.round()
    run = lab.submit()
    shutil.rmtree(run.path)
    lab.round(CENSUS)
    assert lab.waiting == [] and not run.path.exists()


@pytest.mark.parametrize("moved", [True, False])
def test_a_directory_that_goes_while_it_runs_frees_its_place(lab, tmp_path, moved):
    run, other = lab.submit(), lab.submit()
    lab.round()
    if moved:
        run.path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(run.path)
    lab.round()
    assert lab.running == [other.id]
    lab.round(CENSUS)
    assert not run.path.exists() and lab.running == [other.id]


def test_a_directory_that_is_put_back_waits_again(lab, tmp_path):
    run, other = lab.submit(), lab.submit()
    run.path.rename(tmp_path / "elsewhere")
    lab.round()
    assert lab.running == [other.id] and lab.waiting == []
    (tmp_path / "elsewhere").rename(run.path)
    lab.round(CENSUS)
    assert lab.waiting == [run.id]


def test_a_directory_that_cannot_be_written_holds_up_nobody_and_goes_on_once_it_can(lab, monkeypatch):
    run, other = lab.submit("a"), lab.submit("b")
    lab.round()
    run_attempt = directory.attempt_again

    def refused(job, *facts):
        raise StorageError(f"CatFish may not write to {job.path}.")

    monkeypatch.setattr(directory, "attempt_again", refused)
    lab.launcher.die(run.attempt)
    lab.round()
    assert lab.running == [other.id]
    lab.launcher.end(other.attempt)
    lab.round(CENSUS), lab.round(CENSUS)
    assert directory.status(run) == "queued"  # nothing is lost
    monkeypatch.setattr(directory, "attempt_again", run_attempt)
    lab.round(CENSUS), lab.round()
    assert lab.running == [run.id] and run.attempt.name == "2"


def test_a_directory_that_cannot_be_read_holds_up_nobody(lab, monkeypatch, capsys):
    lab.slots(3)
    running, waiting, fine = lab.submit("a"), lab.submit("b"), lab.submit("c")
    status = directory.status

    def forbidden(job, *recent):
        if job.id in (running.id, waiting.id):
            raise PermissionError(errno.EACCES, "Permission denied", str(job.events_path))
        return status(job, *recent)

    lab.slots(1)
    lab.round()
    lab.slots(3)
    monkeypatch.setattr(directory, "status", forbidden)
    for _ in range(int(OVERDUE) + 5):
        lab.round(1.0)
    assert lab.running == [running.id, fine.id] and lab.launcher.killed == []
    assert capsys.readouterr().err.count("cannot be read") == 2  # said once each


@pytest.mark.parametrize(
    "facts",
    [
        '{"time": null, "priority": "high"}',
        '{"time": NaN, "priority": 1e400, "retry": []}',
        f'{{"priority": {10**30}}}',
        "[1]",
        "not JSON",
        "",
    ],
)
def test_facts_that_somebody_spoilt_hold_up_nobody(lab, facts):
    spoilt = lab.submit("a")
    (spoilt.attempt / "submitted.json").write_text(facts)
    (spoilt.path / "job.json").write_text('{"owner": "\\ud800", "key": 5}')
    (spoilt.path / "attempts" / "²").mkdir()
    (spoilt.path / "attempts" / ("9" * 200)).mkdir()
    for file in store._files(store.path_in(lab.workspace)):
        file.unlink(missing_ok=True)
    fine = lab.submit("b")
    lab.slots(2)
    lab.round()
    assert fine.id in lab.running and spoilt.id in lab.running


@pytest.fixture
def read_only():
    """read_only(folder): nothing can be written there, root included; read_only.end(): again as it was."""
    import subprocess

    mounted = []

    def mount(*what):
        return subprocess.run(["mount", *what], capture_output=True, check=False).returncode == 0

    def begin(folder):
        if not mount("--bind", folder, folder):
            pytest.skip("only who may mount can do this")
        mounted.append(folder)
        assert mount("-o", "remount,ro,bind", folder)

    def end():
        while mounted:
            subprocess.run(["umount", "-l", mounted.pop()], check=True)

    begin.end = end
    yield begin
    end()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["while it waits", "while it runs"])
def test_a_read_only_directory(real, wait_until, read_only, when):
    """In real processes: others go on, the queue says why this one waits, and it goes on once it can be written."""
    run, other = queue.submit(real.workspace, CONFIG, "a"), queue.submit(real.workspace, CONFIG, "b")
    if when == "while it waits":
        read_only(run.path)
        real.dispatcher()
    else:
        real.dispatcher(0.7)
        wait_until(real.starts)
        read_only(run.path)
    wait_until(lambda: directory.status(other) == "completed")
    wait_until(lambda: run.id not in [entry.id for entry in queue.overview(real.workspace).running])
    assert directory.status(run) == "queued"
    if when == "while it waits":
        said = queue.standing(real.workspace, run).reason
        assert "read-only" in said or "may not write" in said
    read_only.end()
    wait_until(lambda: directory.status(run) == "completed", CENSUS + BACKOFF)
    assert real.starts()[other.id] == 1


# -- who is in charge


def test_one_of_two_is_in_charge(lab):
    second = Dispatcher(lab.workspace, Played(), lab.clock)
    assert not second.take_charge() and second.stand() is None
    lab.round(2.0)  # a sign of life
    with pytest.raises(Deposed):
        second.stand()
    second.close()


def test_of_two_who_find_nobody_at_the_same_moment_one_is_in_charge(lab, monkeypatch):
    first, second = (Dispatcher(lab.workspace, Played(), lab.clock) for _ in range(2))
    assert first.stand() is None
    lab.clock.now += queue.TTL + 1
    holds = queue.holds

    def overtaken(*asked):
        monkeypatch.setattr(queue, "holds", holds)
        assert second.take_charge()
        return False

    monkeypatch.setattr(queue, "holds", overtaken)
    assert not first.take_charge() and second.in_charge()
    first.close(), second.close()


def test_whoever_is_silent_for_too_long_is_replaced_and_starts_nothing_more(lab):
    run, first = lab.submit(), lab.launcher
    successor = Dispatcher(lab.workspace, Played(), lab.clock)
    assert successor.stand() is None
    lab.clock.now += queue.TTL - 0.5
    assert successor.stand() is None
    lab.clock.now += 1.0
    assert successor.stand() is True
    with pytest.raises(Deposed), lab.dispatcher._writing():
        pass
    assert not lab.dispatcher.step() and first.starts == []
    successor.step()
    assert successor.launcher.starts == [run.attempt]
    successor.launcher.die(run.attempt)
    successor.close()


def test_one_that_wakes_up_in_the_middle_of_a_round_starts_nothing(lab, monkeypatch):
    lab.submit()
    room = queue.room

    def asleep(*asked):
        monkeypatch.setattr(queue, "room", room)
        lab.clock.now += queue.TTL + 1
        assert successor.take_charge()
        return room(*asked)

    successor = Dispatcher(lab.workspace, Played(), lab.clock)
    assert successor.stand() is None
    monkeypatch.setattr(queue, "room", asleep)
    with pytest.raises(Deposed):
        lab.round()
    assert lab.started == []
    successor.close()


def test_a_successor_adopts_what_runs(lab):
    run = lab.submit()
    lab.round()
    lab.clock.now += queue.TTL + 1
    successor = Dispatcher(lab.workspace, lab.launcher, lab.clock)
    assert successor.stand() is True
    for _ in range(30):
        lab.clock.now += 1.0
        successor.step()
    assert lab.started == [run.id] == lab.running and lab.launcher.killed == []
    successor.close()


def test_a_slot_given_by_one_that_died_before_it_started_anything(lab):
    lab.launcher.claims = False
    run = lab.submit()
    lab.round()
    lab.clock.now += queue.TTL + 1
    launcher = Played()
    successor = Dispatcher(lab.workspace, launcher, lab.clock)
    assert successor.stand() is True
    successor.step()
    assert launcher.starts == [run.attempt]
    launcher.die(run.attempt)
    successor.close()


def lease(lab, **facts):
    """Put a lease in the place of the one there is."""
    held = lab.dispatcher.store.lease()
    with lab.dispatcher.store.writing():
        lab.dispatcher.store.hold(type(held)(**{**vars(held), "generation": held.generation + 1, **facts}))


def test_after_a_reboot_its_number_is_another_s(lab):
    """The pid lives, but was born in another boot."""
    lease(lab, pid=os.getpid(), born="another-boot 12345")
    assert not queue.health(lab.workspace).alive
    successor = Dispatcher(lab.workspace, Played(), lab.clock)
    assert successor.stand() is True
    successor.close()


def test_one_on_another_machine_is_believed_while_it_gives_signs_of_life(lab):
    lease(lab, pid=1, born="there", host="another")
    assert queue.health(lab.workspace).alive
    lab.clock.now += queue.TTL - 1
    assert queue.health(lab.workspace).alive
    lab.clock.now += 2
    assert not queue.health(lab.workspace).alive


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_is_set_changes_nothing(lab, monkeypatch, jump):
    lab.slots(2)
    run, other = lab.submit(), lab.submit()
    lab.launcher.claims = False
    lab.round()
    lab.launcher.claim(run.attempt)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    queue.time.time = time.time
    assert queue.health(lab.workspace).alive
    rival = Dispatcher(lab.workspace, Played(), lab.clock)
    assert rival.stand() is None
    lab.round(BACKOFF / 4)
    assert lab.started == [run.id, other.id] and lab.running == [run.id, other.id]
    lab.launcher.claim(other.attempt)
    third = lab.submit()  # earlier or later than the others by a day
    for _ in range(20):
        lab.round(1.0)
    assert [directory.status(each) for each in (run, other, third)] == ["running", "running", "queued"]
    lab.launcher.end(run.attempt)
    lab.round()
    assert lab.running == [other.id, third.id] and lab.launcher.killed == []
    with pytest.raises(Deposed):
        rival.stand()
    rival.close()


def test_with_nothing_to_do_it_goes_and_whoever_submits_next_starts_one(lab, quiet):
    run = lab.submit()
    lab.round()
    lab.launcher.end(run.attempt)
    lab.round()
    assert lab.round(IDLE - 1)
    quiet.clear()
    assert not lab.round(2.0)
    assert not queue.health(lab.workspace).alive
    queue._begun.clear()
    lab.submit()
    assert quiet == ["catfish_core.jobs.dispatcher"]


def test_one_that_is_busy_does_not_go(lab):
    lab.submit()
    for _ in range(5):
        assert lab.round(IDLE)


def test_what_came_at_the_last_moment_keeps_it(lab):
    lab.clock.now += IDLE + 1
    entries = lab.dispatcher.entries
    lab.dispatcher.entries = lambda: (lab.submit(), [])[1] if not lab.waiting else entries()
    lab.dispatcher.census_at = lab.clock.now  # not the census: what is there is asked once more
    assert lab.round(0.1)
    assert queue.health(lab.workspace).alive


# -- the queue's file under it


def test_a_queue_that_was_deleted_comes_back_and_the_dispatcher_stays_in_charge(lab):
    lab.slots(2)
    runs_ = [lab.submit(owner) for owner in "abc"]
    lab.round()
    for file in store._files(store.path_in(lab.workspace)):
        file.unlink(missing_ok=True)
    lab.round()
    assert lab.running == [run.id for run in runs_[:2]] and lab.waiting == [runs_[2].id]
    lab.launcher.end(runs_[0].attempt)
    lab.round(2.0)
    assert lab.running == [run.id for run in runs_[1:]] and len(lab.started) == 3


@pytest.mark.parametrize("lives", [True, False])
def test_a_queue_that_is_older_than_the_directories(lab, lives):
    """It says that one waits which runs, or was interrupted: after a power cut, or from a backup."""
    run, other = lab.submit("a"), lab.submit("b")
    lab.round()
    with lab.dispatcher.store.writing():
        lab.dispatcher.store.put_back(run.id, 1, "")
    if not lives:
        lab.launcher.die(run.attempt)
    queue.prioritise(lab.workspace, run, 1)
    lab.round(), lab.round(), lab.round()
    assert lab.running == [run.id] and lab.waiting == [other.id] and directory.status(run) == "running"
    assert lab.started == [run.id] * (1 if lives else 2) and run.attempt.name == ("1" if lives else "2")


def test_a_queue_built_anew_by_somebody_else_in_the_middle_of_a_round(lab):
    run = lab.submit()

    def replaced(*_):
        for file in store._files(store.path_in(lab.workspace)):
            file.unlink(missing_ok=True)
        store.opened(lab.workspace).close()
        lab.dispatcher._watch = lambda running: None

    lab.dispatcher._watch = replaced
    lab.round()
    assert lab.running == [run.id]


def test_a_queue_that_is_held_by_another_program_is_waited_for(lab, monkeypatch, capsys):
    monkeypatch.setattr(store, "BUSY", 0.05)
    monkeypatch.setattr(dispatcher, "BEAT", 0.01)
    run = lab.submit()
    lab.dispatcher.close()
    with sqlite3.connect(store.path_in(lab.workspace), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        tries = iter(range(3))

        def work():
            if next(tries) == 2:
                other.execute("ROLLBACK")
            return None if lab.round(2.0) and not lab.running else True

        dispatcher._until_said(lab.dispatcher, work)
    other.close()
    assert lab.running == [run.id]
    assert capsys.readouterr().err.count("The queue is busy") == 1


def test_a_fault_nobody_foresaw_is_logged_and_the_next_round_comes(lab, monkeypatch, capsys):
    monkeypatch.setattr(dispatcher, "BEAT", 0.01)
    run = lab.submit()
    watch, faults = lab.dispatcher._watch, [RuntimeError("boo"), store.Damaged("queue.db is damaged.")]

    def faulty(running):
        if faults:
            raise faults.pop()
        return watch(running)

    lab.dispatcher._watch = faulty
    dispatcher._until_said(lab.dispatcher, lambda: None if lab.round() and not lab.running else True)
    assert lab.running == [run.id]
    said = capsys.readouterr().err
    assert "RuntimeError: boo" in said and "queue.db is damaged." in said


def test_a_run_that_was_moved_to_its_place_but_never_entered_is_found(lab):
    """Its client died between the two steps; with its key it is not made twice."""
    run = runs.create(lab.workspace, CONFIG, "a")
    (run.path / "job.json").write_text(json.dumps({"owner": "a", "key": "k"}))
    directory.submitted(run, run.attempt)
    lab.round(CENSUS)
    assert lab.running == [run.id]
    assert lab.submit("a", key="k") == run


# -- in real processes


def test_several_started_at_once_start_every_job_once(real, wait_until):
    submitted = [queue.submit(real.workspace, CONFIG).id for _ in range(6)]
    three = [real.dispatcher() for _ in range(3)]
    wait_until(lambda: len(real.starts()) == 6 and not queue.overview(real.workspace).running)
    assert real.starts() == Counter(submitted)
    wait_until(lambda: sum(process.poll() is None for process in three) == 1)
    assert queue.health(real.workspace).pid in [p.pid for p in three if p.poll() is None]


def test_one_that_was_killed_is_replaced_and_what_it_started_goes_on(real, wait_until):
    (real.workspace.root).mkdir(parents=True)
    (real.workspace.root / "lab.json").write_text('{"slots": {"cpu": 2}}')
    submitted = [queue.submit(real.workspace, CONFIG) for _ in range(3)]
    first = real.dispatcher(600)
    wait_until(lambda: len(real.starts()) == 2)
    pids = {told["pid"] for told in real.told()}
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not queue.health(real.workspace).alive
    began = time.monotonic()
    second = real.dispatcher()
    wait_until(lambda: queue.health(real.workspace).pid == second.pid)
    assert time.monotonic() - began < queue.TTL
    assert all(shim.born(pid) for pid in pids)
    for run in submitted[:2]:
        run.stop()

    def over() -> bool:
        seen = queue.overview(real.workspace)  # once: between two looks the last one comes from here to there
        return not seen.running and not seen.waiting

    wait_until(over)
    assert real.starts() == Counter(run.id for run in submitted)
    assert [path.name for run in submitted for path in (run.path / "attempts").iterdir()] == ["1"] * 3


def test_a_worker_that_dies_at_once_is_tried_thrice(real, wait_until):
    run, other = queue.submit(real.workspace, CONFIG), queue.submit(real.workspace, CONFIG)
    real.dispatcher(before=f"if job.name == {run.id!r}: sys.exit(1)")
    wait_until(lambda: directory.status(other) == "completed" and directory.status(run) == "crashed")
    assert real.starts() == {run.id: 3, other.id: 1} and directory.status(run) == "crashed"
    assert [directory.told(run.path / "attempts" / n / "exit.json")["code"] for n in "123"] == [1, 1, 1]


def test_what_a_killed_shim_left_behind_is_gone_before_the_next_attempt(real, wait_until):
    """A daemon of its worker's, which the kernel does not end with it; the worker does not run twice at a time."""
    run = queue.submit(real.workspace, CONFIG)
    daemon = real.workspace.root / "daemon"
    real.dispatcher(
        before=f"""
daemon = pathlib.Path({os.fspath(daemon)!r})
if os.environ["CATFISH_ATTEMPT"].endswith("1"):
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        daemon.with_name("draft").write_text(str(os.getpid()))
        daemon.with_name("draft").rename(daemon)
    time.sleep(600)
else:
    for pid in (int(daemon.read_text()), int(daemon.with_name("worker").read_text())):
        try:
            state = pathlib.Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0]
            assert state in "ZX", state
        except FileNotFoundError:
            pass
"""
    )
    wait_until(daemon.exists)
    started = directory.told(run.attempt / "started.json")
    (real.workspace.root / "worker").write_text(str(started["pid"]))
    os.kill(started["shim"], signal.SIGKILL)
    wait_until(lambda: directory.status(run) == "completed")
    assert [path.name for path in sorted((run.path / "attempts").iterdir())] == ["1", "2"]
    assert shim.born(int(daemon.read_text())) is None and shim.born(started["pid"]) is None


@pytest.mark.slow
def test_one_that_hangs_is_replaced_and_goes_when_it_wakes_up(real, wait_until):
    queue.submit(real.workspace, CONFIG)
    first = real.dispatcher(600)
    wait_until(real.starts)
    first.send_signal(signal.SIGSTOP)
    second = real.dispatcher()
    wait_until(lambda: queue.health(real.workspace).pid == second.pid, queue.TTL + 10)
    first.send_signal(signal.SIGCONT)
    assert first.wait(10) == 0
    assert sum(real.starts().values()) == 1 and second.poll() is None


@pytest.mark.slow
def test_a_hundred_real_jobs_of_five_people_start_in_fair_order(real, wait_until):
    """Their workers do next to nothing; what is measured is the way from one job to the next."""
    owners = {queue.submit(real.workspace, CONFIG, owner).id: owner for owner in orders()["one has most"]}
    began = time.monotonic()
    real.dispatcher()
    wait_until(lambda: len(real.told()) >= 100 and not queue.overview(real.workspace).running, 200)
    print(f"100 jobs, one at a time, in {time.monotonic() - began:.1f} s")
    started = [told["id"] for told in real.told()]
    assert Counter(started) == Counter(list(owners))
    assert [owners[id] for id in started] == list("abcde" * 10 + "a" * 50)
