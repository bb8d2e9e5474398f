"""The shim: one start an attempt, wishes that are obeyed whatever the command does, nothing left behind."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from catfish_core.jobs import directory, shim
from catfish_core.jobs.launcher import remains

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); time.sleep(600)"


def said(attempt, name="exit.json"):
    return directory.told(attempt / name)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def stubborn(attempt, stand_by, wait_until, tmp_path):
    """A shim by a command that ignores SIGTERM; and the command's pid."""
    ready = tmp_path / "ready"
    begun = stand_by(STUBBORN.replace("'ready'", repr(os.fspath(ready))))
    wait_until(lambda: ready.exists() and said(attempt, "started.json"))  # either may come first
    return begun, said(attempt, "started.json")["pid"]


@pytest.mark.parametrize(
    ("program", "code", "number"),
    [("", 0, None), ("raise SystemExit(7)", 7, None), ("import os; os.kill(os.getpid(), 9)", None, 9)],
)
def test_how_it_ended_is_written_down(attempt, stand_by, program, code, number):
    assert stand_by(program).wait(20) == shim.DONE
    ended = said(attempt)
    assert (ended["code"], ended["signal"], ended["reason"]) == (code, number, "ended")
    assert ended["claimed"] <= ended["started"] <= ended["ended"]
    assert directory.stands(attempt) == "ended"
    assert not list(attempt.glob("*.tmp")) and not list(attempt.glob(".*"))


def test_an_attempt_is_started_once(attempt, stand_by, tmp_path):
    program = f"open({os.fspath(tmp_path / 'canary')!r}, 'x'); import time; time.sleep(0.2)"
    begun = [stand_by(program) for _ in range(6)]
    codes = sorted(shim.wait(20) for shim in begun)
    assert codes == [shim.DONE] + [shim.TAKEN] * 5
    assert said(attempt)["code"] == 0  # a second one would have found the canary


@pytest.mark.parametrize("wish", ["stop", "pause", "kill"])
def test_a_wish_before_the_start_is_heard(attempt, stand_by, wish, tmp_path):
    (attempt / wish).touch()
    stand_by(f"open({os.fspath(tmp_path / 'canary')!r}, 'w')").wait(20)
    assert said(attempt)["reason"] == wish and "started" not in said(attempt)
    assert not (tmp_path / "canary").exists()


def test_its_life_is_known_by_its_lock(attempt, stubborn):
    begun, pid = stubborn
    started = said(attempt, "started.json")
    assert directory.stands(attempt) == "running"
    assert started["pgid"] == pid == os.getpgid(pid) and started["born"] == shim.born(pid)
    begun.kill()
    begun.wait()
    assert directory.stands(attempt) == "lost"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does it on Linux; elsewhere the worker asks")
def test_the_command_dies_with_its_shim(stubborn, wait_until):
    begun, pid = stubborn
    begun.kill()
    begun.wait()
    wait_until(lambda: gone(pid))


@pytest.mark.parametrize("wish", ["stop", "pause"])
def test_a_command_that_does_not_obey_is_ended(attempt, stubborn, wish):
    begun, pid = stubborn
    (attempt / wish).write_text("0.1")
    assert begun.wait(10) == shim.DONE
    assert (said(attempt)["signal"], said(attempt)["reason"]) == (signal.SIGKILL, wish) and gone(pid)


def test_all_of_it_takes_less_than_ten_seconds():
    assert shim.PATIENCE + shim.GRACE + 2 * shim.POLL < 10


def test_kill_waits_for_nothing(attempt, stubborn):
    begun, _ = stubborn
    (attempt / "kill").touch()
    assert begun.wait(5) == shim.DONE and said(attempt)["reason"] == "kill"


def test_a_signal_to_the_shim_is_a_wish_to_stop(attempt, stand_by, wait_until, tmp_path):
    program = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));"
        f"open({os.fspath(tmp_path / 'ready')!r}, 'w'); time.sleep(600)"
    )
    begun = stand_by(program)
    wait_until((tmp_path / "ready").exists)
    begun.terminate()
    begun.wait(5)
    assert (said(attempt)["code"], said(attempt)["reason"]) == (5, "stop")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to somebody else than init")
def test_nothing_is_left_behind(attempt, stand_by, tmp_path):
    """A child in the group, and a grandchild in a session of its own whose parent is gone; both ignore SIGTERM."""
    leave = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    program = (
        "import subprocess, sys\n"
        f"leave = [sys.executable, '-c', {leave!r}]\n"
        "pids = [subprocess.Popen(leave, start_new_session=own).pid for own in (False, True)]\n"
        f"open({os.fspath(tmp_path / 'pids')!r}, 'w').write(repr(pids))"
    )
    assert stand_by(program).wait(20) == shim.DONE
    pids = json.loads((tmp_path / "pids").read_text())
    assert len(pids) == 2 and all(gone(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to somebody else than init")
def test_a_daemon_of_a_command_that_hangs_is_ended_with_it(attempt, stand_by, wait_until, tmp_path):
    """Forked twice, with a session of its own, its parent gone: it came to the shim."""
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        f"    open({os.fspath(tmp_path / 'daemon')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    begun = stand_by(program)
    daemon = int(wait_until(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text()))
    worker = said(attempt, "started.json")["pid"]
    assert os.getsid(daemon) not in (worker, begun.pid) and psutil.Process(daemon).ppid() == begun.pid
    (attempt / "stop").write_text("0.1")
    assert begun.wait(10) == shim.DONE
    assert gone(worker) and gone(daemon)


def test_a_claim_that_is_held_or_written_stays(attempt, stubborn):
    before = (attempt / "claim").read_text()
    shim.disclaim(attempt)
    begun, _ = stubborn
    begun.kill()
    begun.wait()
    shim.disclaim(attempt)
    assert (attempt / "claim").read_text() == before


def test_an_empty_claim_that_nobody_holds_goes(attempt):
    shim.disclaim(attempt)  # where there is none
    (attempt / "claim").touch()
    shim.disclaim(attempt)
    assert not (attempt / "claim").exists()


def test_a_shim_between_two_lines_keeps_its_claim(attempt):
    held = os.open(attempt / "claim", os.O_CREAT | os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    shim.disclaim(attempt)
    assert (attempt / "claim").exists()
    os.close(held)


@pytest.mark.parametrize("moved", [True, False])
def test_a_directory_that_goes_takes_its_command_with_it(attempt, stubborn, moved, tmp_path):
    begun, pid = stubborn
    job = attempt.parents[1]
    if moved:
        job.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(job)
    begun.wait(10)
    assert gone(pid)


def test_an_attempt_that_cannot_be_claimed_is_refused(tmp_path):
    command = [sys.executable, "-I", "-S", shim.__file__, tmp_path / "nowhere", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == shim.REFUSED and "cannot be claimed" in done.stderr


def test_what_remains_is_known_by_its_environment_not_by_its_number(attempt, stubborn):
    begun, pid = stubborn
    assert {process.pid for process in remains(attempt)} == {begun.pid, pid}
    assert remains(attempt.with_name("2")) == []


def test_a_process_that_has_ended_was_never_born(stand_by):
    begun = stand_by()
    begun.wait(20)
    assert shim.born(begun.pid) is None and shim.born(os.getpid()) == shim.born(os.getpid()) is not None


def test_the_shim_loads_next_to_nothing():
    told = "print(len(sys.modules), 'catfish_core' in sys.modules)"
    program = f"import runpy, sys; runpy.run_path({shim.__file__!r}); {told}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    count, ours = done.stdout.split()
    assert int(count) < 120 and ours == "False"
