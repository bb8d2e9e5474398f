import os
import threading

import pytest

from catfish_core.data import download
from catfish_core.data.download import fetch
from catfish_core.errors import DownloadError, StorageError

CONTENT = os.urandom(3_000_000)


def run(url, target, what="The file"):
    return list(fetch(url, target, what))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "here" / "file.zip"


def test_it_arrives_with_progress(loopback, target):
    events = run(loopback.serve("a.zip", CONTENT), target)
    assert target.read_bytes() == CONTENT
    assert (events[-1].done, events[-1].total, events[-1].unit) == (3, 3, "MB")
    assert [p.name for p in target.parent.iterdir() if not p.name.startswith(".")] == ["file.zip"]


def test_nothing_is_asked_for_when_it_is_there(loopback, target):
    url = loopback.serve("a.zip", CONTENT)
    run(url, target)
    assert run(url, target) == [] and len(loopback.requests) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(loopback, target):
    url = loopback.serve("a.zip", CONTENT)
    loopback.break_after = 1_000_000
    run(url, target)
    assert target.read_bytes() == CONTENT
    assert loopback.requests[1]["range"] == "bytes=1000000-" and loopback.requests[1]["if-range"].startswith('"')


def test_after_it_gave_up_the_next_call_goes_on(loopback, target):
    url = loopback.serve("a.zip", CONTENT)
    loopback.break_after, loopback.breaks = 400_000, 5
    with pytest.raises(DownloadError, match="broke off at 2.0 MB") as caught:
        run(url, target)
    assert "goes on from there" in caught.value.hint and not target.exists()
    run(url, target)
    assert target.read_bytes() == CONTENT and loopback.requests[-1]["range"] == "bytes=2000000-"


def test_a_file_that_changed_meanwhile_is_fetched_anew(loopback, target):
    url = loopback.serve("a.zip", CONTENT)
    loopback.break_after, loopback.breaks = 400_000, 5
    with pytest.raises(DownloadError):
        run(url, target)
    newer = os.urandom(1_500_000)
    loopback.serve("a.zip", newer)
    run(url, target)
    assert target.read_bytes() == newer


@pytest.mark.parametrize("missing", ["ranges", "etags"])
def test_a_server_that_cannot_resume_sends_all_again(loopback, target, missing):
    setattr(loopback, missing, False)
    url = loopback.serve("a.zip", CONTENT)
    loopback.break_after = 1_000_000
    run(url, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(loopback, target):
    url = loopback.serve("a.zip", CONTENT)
    target.parent.mkdir()
    target.with_suffix(".part").write_bytes(CONTENT + b"more")
    import hashlib

    target.with_suffix(".etag").write_text(f'"{hashlib.sha256(CONTENT).hexdigest()[:16]}"')
    run(url, target)
    assert target.read_bytes() == CONTENT


def test_redirects_are_followed(loopback, target):
    loopback.serve("real.zip", CONTENT)
    loopback.redirects["/short"] = loopback.url("real.zip")
    loopback.break_after = 1_000_000
    run(loopback.url("short"), target)
    assert target.read_bytes() == CONTENT and loopback.requests[-1]["range"] == "bytes=1000000-"


def test_files_are_copied(tmp_path, target):
    source = tmp_path / "with space.zip"
    source.write_bytes(CONTENT)
    assert run(source.as_uri(), target)[-1].done == 3
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://example.org/x.zip", "cannot be fetched from"),
        ("nonsense", "cannot be fetched from"),
        ("file:///nowhere/at/all.zip", "is not at"),
        ("http://127.0.0.1:9/x.zip", "does not answer"),
    ],
)
def test_addresses_that_lead_nowhere(target, url, sentence):
    with pytest.raises(DownloadError, match=sentence) as caught:
        run(url, target)
    assert caught.value.hint and not target.exists()


def test_a_refusal_is_quoted(loopback, target):
    with pytest.raises(DownloadError, match="answered 404"):
        run(loopback.url("gone.zip"), target)


def test_two_at_once_fetch_once(loopback, target):
    url = loopback.serve("a.zip", CONTENT)
    threads = [threading.Thread(target=run, args=(url, target)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT and len(loopback.requests) == 1


def test_no_room_is_said_before_a_byte_is_written(loopback, target, monkeypatch):
    url = loopback.serve("a.zip", CONTENT)
    monkeypatch.setattr(
        download.shutil, "disk_usage", lambda path: os.statvfs_result and type("U", (), {"free": 1000})()
    )
    with pytest.raises(StorageError, match="room for"):
        run(url, target)


def test_a_full_disk_keeps_what_arrived(loopback, target, monkeypatch):
    url = loopback.serve("a.zip", CONTENT)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        run(url, target)
    monkeypatch.undo()
    run(url, target)
    assert target.read_bytes() == CONTENT
