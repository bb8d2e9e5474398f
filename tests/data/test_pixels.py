"""The cache of decoded photos: right, shared, resumed, mended, bounded."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from catfish_core.data import library, photos, pixels
from catfish_core.errors import PhotoError, StorageError
from catfish_core.events import Preparing

SIZE = 16
CHILD = """
import sys
from catfish_core.data import library, pixels
from catfish_core.workspace import Workspace

pixels._BLOCK_BYTES = 1
steps = pixels.prepare(Workspace.default(), library.load(Workspace.default(), "tiny"), 16, "squash")
while True:
    try:
        event = next(steps)
    except StopIteration as end:
        kept = end.value
        print("open", flush=True)
        sys.stdin.read()
        sys.exit()
    print(event.done, event.what, flush=True)
    if event.done == int(sys.argv[1]):
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of sixteen photos: the tiny dataset has three."""
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 1)


@pytest.fixture
def dataset(workspace, tiny_dataset):
    return library.load(workspace, tiny_dataset)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the photos that were decoded, as they are."""
    names, square = [], photos.square

    def noted(source, size, mode="squash", name=""):
        names.append(name)
        return square(source, size, mode, name)

    monkeypatch.setattr(photos, "square", noted)
    return names


@pytest.fixture
def child():
    """child(n): another process that prepares the tiny dataset and waits at n photos, or with the cache open."""
    started = []

    def start(stop_at):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(stop_at)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def finish(steps):
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return events, end.value


def ready(workspace, dataset, size=SIZE, mode="squash"):
    return finish(pixels.prepare(workspace, dataset, size, mode))[1]


def folder(workspace, dataset, size=SIZE):
    return workspace.pixels / f"{dataset.info.version}-{size}-squash-{pixels.FORMAT}"


def expected(dataset, split, mode="squash"):
    return np.stack([np.asarray(photos.square(path, SIZE, mode)) for path in dataset.splits[split].paths])


def same(dataset, made, mode="squash"):
    return all(
        np.array_equal(made.take(name, range(len(split.paths))), expected(dataset, name, mode))
        for name, split in dataset.splits.items()
    )


def times(decoded):
    """How often the cache decoded a photo; what is `expected` has no names."""
    return sum(name != "" for name in decoded)


def line_of(process):
    return process.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_every_split_holds_what_the_photos_are(workspace, dataset, mode):
    made = ready(workspace, dataset, mode=mode)
    assert same(dataset, made, mode)
    some = made.take("test", [5, 0, 5])
    assert some.dtype == np.uint8 and some.shape == (3, SIZE, SIZE, 3) and np.array_equal(some[0], some[2])
    some[:] = 0  # a copy: the cache itself cannot be written to
    assert same(dataset, made, mode)


def test_progress_is_told_in_photos(workspace, dataset):
    events, _ = finish(pixels.prepare(workspace, dataset, SIZE, "squash"))
    assert all(isinstance(e, Preparing) and e.unit == "photos" and e.total == 40 for e in events)
    done = [e.done for e in events]
    assert done == sorted(done) and done[0] == 0 and {16, 32, 40} <= set(done)


def test_a_second_time_nothing_is_decoded(workspace, dataset, decoded):
    ready(workspace, dataset).close()
    assert len(decoded) == 40
    events, made = finish(pixels.prepare(workspace, dataset, SIZE, "squash"))
    assert len(decoded) == 40 and events == []
    assert same(dataset, made)


def test_only_the_splits_that_are_wanted_are_decoded(workspace, dataset, decoded, monkeypatch):
    """Blocks of sixteen: 24 photos to train on, 8 to validate, 8 to test."""
    events, made = finish(pixels.prepare(workspace, dataset, SIZE, "squash", ("train", "val")))
    assert times(decoded) == 32 and {e.total for e in events} == {32}
    assert made.holds("train") and made.holds("val") and not made.holds("test")
    assert pixels.is_ready(workspace, dataset.info.version, SIZE, "squash")
    looked_at, checksum = [], pixels._checksum
    monkeypatch.setattr(pixels, "_checksum", lambda *a: looked_at.append(a[2]) or checksum(*a))
    events, test = finish(pixels.prepare(workspace, dataset, SIZE, "squash", ("test",)))
    assert times(decoded) == 40 and events[-1].done == 8 and looked_at == []
    assert np.array_equal(test.take("test", range(8)), expected(dataset, "test"))
    assert np.array_equal(made.take("train", range(24)), expected(dataset, "train"))
    assert same(dataset, ready(workspace, dataset)) and times(decoded) == 40


def test_what_was_torn_while_other_splits_were_wanted_is_mended(workspace, dataset, decoded):
    finish(pixels.prepare(workspace, dataset, SIZE, "squash", ("train", "val")))[1].close()
    os.truncate(folder(workspace, dataset) / "pixels.bin", 20 * 3 * SIZE * SIZE)
    finish(pixels.prepare(workspace, dataset, SIZE, "squash", ("test",)))[1].close()
    assert same(dataset, ready(workspace, dataset)) and times(decoded) == 32 + 8 + 16


def test_other_sizes_and_modes_lie_apart(workspace, dataset):
    for size, mode in ((16, "squash"), (16, "crop"), (8, "squash")):
        ready(workspace, dataset, size, mode)
    assert len([f for f in workspace.pixels.iterdir() if f.name != ".locks"]) == 3


def test_imports_in_another_order_share_one_file(workspace, dataset, decoded):
    """The version says nothing of the order; the rows must not depend on it."""
    ready(workspace, dataset).close()
    train = dataset.splits["train"]
    turned = dataclasses.replace(train, paths=train.paths[::-1], labels=train.labels[::-1], names=train.names[::-1])
    other = dataclasses.replace(dataset, splits={**dataset.splits, "train": turned})
    made = ready(workspace, other)
    assert len(decoded) == 40 and same(other, made)


def test_an_interrupted_one_goes_on(workspace, dataset, decoded):
    steps = pixels.prepare(workspace, dataset, SIZE, "squash")
    while next(steps).done < 16:
        pass
    steps.close()
    begun = len(decoded)
    assert begun < 40
    assert same(dataset, ready(workspace, dataset))
    assert times(decoded) == begun + 24


def test_a_killed_one_goes_on(workspace, dataset, decoded, child):
    process = child(32)
    while not line_of(process).startswith("32"):
        pass
    process.kill()
    process.wait()
    made = ready(workspace, dataset)
    assert len(decoded) == 8
    assert same(dataset, made)


def test_what_a_power_cut_tore_is_made_again(workspace, dataset, decoded):
    steps = pixels.prepare(workspace, dataset, SIZE, "squash")
    while next(steps).done < 32:
        pass
    steps.close()
    place = folder(workspace, dataset)
    with open(place / "journal.txt", "a") as journal:
        journal.write("2 0000")  # a line that was being written
    with open(place / "pixels.bin", "r+b") as data:
        data.seek(3)
        data.write(b"\0\1\2\3\4\5")  # a block that was noted and never reached the disk
    decoded.clear()
    made = ready(workspace, dataset)
    assert len(decoded) == 24
    assert same(dataset, made)


def flip(place):
    content = bytearray((place / "pixels.bin").read_bytes())
    content[16 * 3 * SIZE * SIZE + 1] ^= 4
    (place / "pixels.bin").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (flip, 16),
        (lambda place: os.truncate(place / "pixels.bin", 20 * 3 * SIZE * SIZE), 24),
        (lambda place: os.truncate(place / "pixels.bin", 0), 40),
        (lambda place: (place / "pixels.bin").unlink(), 40),
        (lambda place: (place / "pixels.bin").write_bytes((place / "pixels.bin").read_bytes() + b"more"), 0),
        (lambda place: (place / "ready.json").write_text("[1, 2"), 40),
        (lambda place: (place / "ready.json").write_text('{"a": 1}'), 40),
        (lambda place: (place / "ready.json").write_text("[null, null, null]"), 40),
    ],
    ids=["bit flip", "torn", "empty", "gone", "too long", "half a list", "no list", "a list of nothing"],
)
def test_damage_is_noticed_and_mended(workspace, dataset, decoded, damage, again):
    ready(workspace, dataset).close()
    decoded.clear()
    damage(folder(workspace, dataset))
    made = ready(workspace, dataset)
    assert len(decoded) == again
    assert same(dataset, made)
    made.close()
    decoded.clear()
    ready(workspace, dataset)
    assert decoded == []


def test_a_sample_of_a_large_one_is_checked(workspace, dataset, decoded, monkeypatch):
    monkeypatch.setattr(pixels, "_WHOLE_BYTES", 1)
    ready(workspace, dataset).close()
    flip(folder(workspace, dataset))  # 32 draws of three blocks: one of them hits it
    assert same(dataset, ready(workspace, dataset))


def test_mending_does_not_disturb_those_who_read(workspace, dataset):
    reading = ready(workspace, dataset)
    first = reading.take("train", range(24))
    os.truncate(folder(workspace, dataset) / "pixels.bin", 20 * 3 * SIZE * SIZE)
    ready(workspace, dataset)
    assert np.array_equal(reading.take("train", range(24)), first)


def test_two_processes_at_once_make_it_once(workspace, dataset, decoded, child):
    process = child(16)
    while not line_of(process).startswith("16"):
        pass
    told, made = [], []

    def wait():
        events, value = finish(pixels.prepare(workspace, dataset, SIZE, "squash"))
        told.extend(events)
        made.append(value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    process.stdin.close()  # it goes on
    waiting.join(timeout=60)
    assert decoded == [] and {e.done for e in told} >= {16} and all("Another run" in e.what for e in told)
    assert same(dataset, made[0])


def fill(workspace, dataset, size):
    made = ready(workspace, dataset, size)
    os.utime(folder(workspace, dataset, size), (size, size))  # used this many seconds after 1970
    return made


def sizes(workspace, dataset):
    return {n for n in range(8, 33) if folder(workspace, dataset, n).exists()}


def test_the_least_recently_used_goes_first(workspace, dataset, monkeypatch):
    for size in (8, 10, 12):
        fill(workspace, dataset, size).close()
    monkeypatch.setenv(pixels.BUDGET, str(40 * 3 * (12**2 + 14**2 + 10**2 + 20) / 1e9))
    ready(workspace, dataset, 14)
    assert sizes(workspace, dataset) == {10, 12, 14}


def test_using_it_keeps_it(workspace, dataset, monkeypatch):
    for size in (8, 10, 12):
        fill(workspace, dataset, size).close()
    ready(workspace, dataset, 8).close()
    monkeypatch.setenv(pixels.BUDGET, str(40 * 3 * (12**2 + 14**2 + 8**2 + 20) / 1e9))
    ready(workspace, dataset, 14)
    assert sizes(workspace, dataset) == {8, 12, 14}


def test_one_in_use_is_never_removed(workspace, dataset, monkeypatch):
    used = fill(workspace, dataset, 8)
    fill(workspace, dataset, 10).close()
    monkeypatch.setenv(pixels.BUDGET, str(40 * 3 * (14**2 + 8**2 + 20) / 1e9))
    ready(workspace, dataset, 14).close()
    assert sizes(workspace, dataset) == {8, 14}
    with pytest.raises(StorageError, match="using all the space"):
        monkeypatch.setenv(pixels.BUDGET, str(40 * 3 * (16**2 + 20) / 1e9))
        ready(workspace, dataset, 16)
    assert sizes(workspace, dataset) == {8}
    used.close()
    ready(workspace, dataset, 16)
    assert sizes(workspace, dataset) == {16}


def test_another_process_keeps_it_until_it_dies(workspace, dataset, child):
    process = child(-1)
    while line_of(process) != "open":
        pass
    pixels.forget(workspace, dataset.info.version)
    assert sizes(workspace, dataset) == {SIZE}
    process.kill()
    process.wait()
    pixels.forget(workspace, dataset.info.version)
    assert sizes(workspace, dataset) == set()
    assert list((workspace.pixels / ".locks").glob("*.lease")) == []


def test_a_dataset_that_is_deleted_takes_its_pixels_along(workspace, dataset):
    ready(workspace, dataset).close()
    library.delete(workspace, "tiny")
    assert sizes(workspace, dataset) == set()


def test_more_than_the_budget_is_a_sentence(workspace, dataset, monkeypatch):
    monkeypatch.setenv(pixels.BUDGET, "0")
    with pytest.raises(StorageError, match="CATFISH_CACHE_GB"):
        ready(workspace, dataset)
    for nonsense in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv(pixels.BUDGET, nonsense)
        with pytest.raises(StorageError, match="number of gigabytes"):
            ready(workspace, dataset)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing(workspace, dataset, monkeypatch):
    monkeypatch.setattr(pixels, "_store", full)
    with pytest.raises(StorageError, match="disk is full"):
        ready(workspace, dataset)
    assert sizes(workspace, dataset) == set()


def test_a_disk_without_room_is_not_begun(workspace, dataset, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageError, match="has room for"):
        ready(workspace, dataset)


def test_a_photo_that_vanished_is_named_as_it_came(workspace, dataset):
    lost = dataset.splits["val"]
    lost.paths[3].unlink()
    with pytest.raises(PhotoError, match=lost.names[3]):
        ready(workspace, dataset)


def test_a_list_of_checksums_is_all_that_is_beside_it(workspace, dataset):
    ready(workspace, dataset)
    assert {path.name for path in folder(workspace, dataset).iterdir()} == {"pixels.bin", "ready.json"}
    assert len(json.loads((folder(workspace, dataset) / "ready.json").read_text())) == 3


def test_reading_everything_holds_little_memory(workspace, dataset, monkeypatch):
    """Pages that were read are handed back; what they hold is still right."""
    made = ready(workspace, dataset)
    monkeypatch.setattr(pixels, "_RESIDENT_BYTES", 1000)
    monkeypatch.setattr(pixels, "_TOUCHED_BYTES", 1000)
    assert same(dataset, made) and same(dataset, made)
