import errno
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from catfish_core import events, runs
from catfish_core.config import RunConfig
from catfish_core.data import activity, archive, importing, library
from catfish_core.errors import DatasetError, StorageError
from catfish_core.events import Failed, Prepared, Preparing


def finish(steps):
    """Run a generator to its end; its events and its value."""
    said = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return said, end.value


def added(ws, source, name="mine"):
    return finish(library.add(ws, name, source))[1]


def say(log, event):
    with events.EventLog(log) as sink:
        sink.append(event)


def leftovers(ws):
    return sorted(p.name for p in ws.datasets.iterdir() if p.name not in (".locks", ".activity"))


def test_an_empty_workspace(workspace):
    assert library.listing(workspace) == []
    assert not library.is_ready(workspace, "sketchbook")
    with pytest.raises(DatasetError, match="is not here yet.*prepare sketchbook"):
        library.info(workspace, "sketchbook")


@pytest.mark.parametrize("id", ["nothing", "", "..", "../runs", "a/b", ".hidden", "x" * 200, "Ünicode"])
def test_ids_that_are_none(workspace, id):
    assert not library.is_ready(workspace, id)
    for ask in (library.info, library.load, library.delete, lambda ws, id: list(library.prepare(ws, id))):
        with pytest.raises(DatasetError):
            ask(workspace, id)


@pytest.mark.parametrize("source", ["tiny_zip", "tiny_folder"])
def test_what_is_added_can_be_loaded(workspace, source, request, tiny_files):
    path = request.getfixturevalue(source)
    said, made = finish(library.add(workspace, "Tiny  set", path))
    assert all(isinstance(event, Preparing) for event in said) and said[-1].done == said[-1].total == 40
    assert (made.id, made.name, made.source) == ("tiny-set", "Tiny set", path.name)
    assert made.classes == ("blue", "red") and made.total == 40 and made.problems == ()
    assert made.counts == {"train": (12, 12), "val": (4, 4), "test": (4, 4)}
    assert library.info(workspace, "tiny-set") == made
    dataset = library.load(workspace, "tiny-set")
    assert dataset.info == made
    train = dataset.splits["train"]
    assert len(train.paths) == len(train.labels) == len(train.names) == 24
    for photo, label, name in zip(train.paths, train.labels, train.names, strict=True):
        assert photo.read_bytes() == tiny_files[name] and f"/{made.classes[label]}/" in name
        assert photo.parent == workspace.datasets / "tiny-set" / "photos" and photo.stem.isdigit()
    assert leftovers(workspace) == ["tiny-set"]


def test_the_version_is_that_of_the_content(workspace, tiny_zip, tiny_folder, tiny_files, make_zip, encode, picture):
    first = added(workspace, tiny_zip)
    assert added(workspace, tiny_folder).version == first.version and len(first.version) == 16
    name = next(iter(tiny_files))
    others = [
        {**tiny_files, name: encode(picture((9, 9, 9)))},
        {name.replace("train/", "val/", 1) if n == name else n: c for n, c in tiny_files.items()},
        {n.replace("red", "pink"): c for n, c in tiny_files.items()},
    ]
    versions = {added(workspace, make_zip(other)).version for other in others}
    assert len(versions | {first.version}) == 4


def test_the_index_knows_sizes_the_right_way_up(workspace, tiny_folder, encode, picture):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    (tiny_folder / "train" / "red" / "zz.jpg").write_bytes(encode(picture(size=(60, 40)), exif=exif))
    added(workspace, tiny_folder)
    columns = json.loads((workspace.datasets / "mine" / "index.json").read_text())
    row = columns["name"].index("train/red/zz.jpg")
    assert (columns["width"][row], columns["height"][row]) == (40, 60)


def test_names_are_never_taken_twice(workspace, tiny_zip):
    assert [added(workspace, tiny_zip, name).id for name in ("A/B", "a b", "a-b", "Sketchbook", "🐱", "🐟")] == [
        "a-b", "a-b-2", "a-b-3", "sketchbook-2", "dataset", "dataset-2",
    ]  # fmt: skip


def test_built_in_ones_come_first_then_the_newest(workspace, tiny_zip, monkeypatch):
    added(workspace, tiny_zip, "older")
    path = workspace.datasets / "older" / "dataset.json"
    path.write_text(path.read_text().replace('"created": "2', '"created": "1'))
    added(workspace, tiny_zip, "newer")
    for id in ("cats-vs-fish", "sketchbook"):
        data = json.loads(path.read_text())
        (workspace.datasets / id).mkdir()
        (workspace.datasets / id / "dataset.json").write_text(json.dumps(data))
    assert [d.id for d in library.listing(workspace)] == ["sketchbook", "cats-vs-fish", "newer", "older"]


STRANGE = [
    'ca\'ts & "dogs"',
    "<script>alert(1)</script>",
    "猫 🐱",
    "**bold** $x$ :fish:",
    "a\\b" if os.sep == "/" else "ab",
    "; rm -rf ~",
]


@pytest.mark.parametrize("name", STRANGE)
def test_class_names_are_only_data(workspace, tmp_path, photo, name):
    if os.sep == "/":
        name = name.replace("/", "∕")
    for label in (name, "other"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "set" / label / f"{i}.jpg").write_bytes(photo)
    made = added(workspace, tmp_path / "set", name)
    assert made.classes == tuple(sorted((name, "other")))
    dataset = library.load(workspace, made.id)
    assert all(path.exists() for split in dataset.splits.values() for path in split.paths)


def test_a_slash_in_a_class_name_of_a_zip_is_a_folder(workspace, make_zip, photo):
    files = {f"a/b{i}/{i}.jpg": photo for i in range(4)} | {f"c\\d/{i}.jpg": photo for i in range(4)}
    assert added(workspace, make_zip(files)).classes == ("a", "c")


def test_what_does_not_decode_is_listed_and_left_out(workspace, make_zip, tiny_files, photo):
    bad = {
        "train/red/fake.jpg": b"<html>",
        "train/red/half.jpg": photo[: len(photo) // 2],
        "train/red/photo.heic": b"x",
        "train/blue/empty.png": b"",
        "cover.jpg": photo,
        "val/green/1.jpg": photo,
    }
    notes = {"README.md": b"hello", "train/red/labels.csv": b"a,b", ".DS_Store": b"x"}
    made = added(workspace, make_zip({**tiny_files, **bad, **notes}))
    assert made.total == 40 and {problem.file for problem in made.problems} == set(bad)
    assert all(problem.reason.endswith(".") for problem in made.problems)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "is empty"),
        ({"README.md": b"x"}, "no photos among"),
        ({"cat/1.jpg": None, "cat/2.jpg": None}, "only one class, “cat”"),
        ({"1.jpg": None}, "no photos in class folders"),
        ({"cat/1.jpg": None, "fish/1.jpg": b"fake"}, "only one class"),
        ({"cat/1.jpg": b"fake", "fish/1.jpg": b"fake"}, "Not one of the photos"),
        ({"cat/1.jpg": None, "fish/1.jpg": None}, "too few photos"),
        ({"../cat/1.jpg": None, "fish/1.jpg": None}, "leads out"),
    ],
)
def test_what_makes_no_dataset_leaves_nothing_behind(workspace, make_zip, photo, files, sentence):
    path = make_zip({name: photo if content is None else content for name, content in files.items()})
    with pytest.raises(DatasetError, match=sentence) as caught:
        added(workspace, path)
    assert caught.value.hint and leftovers(workspace) == [] and path.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_photo_we_may_not_read_is_listed(workspace, tiny_folder):
    (tiny_folder / "train" / "red" / "red-train-00.jpg").chmod(0)
    assert [p.reason for p in added(workspace, tiny_folder).problems] == ["“red-train-00.jpg” cannot be opened."]


def test_a_full_disk_while_importing(workspace, tiny_zip, monkeypatch):
    written = Path.write_bytes

    def full(path, content):
        if path.name.startswith("000007"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="disk is full") as caught:
        added(workspace, tiny_zip)
    assert caught.value.hint and leftovers(workspace) == []
    monkeypatch.setattr(Path, "write_bytes", written)
    assert added(workspace, tiny_zip).id == "mine"


def test_no_room_is_said_beforehand(workspace, tiny_zip, monkeypatch):
    monkeypatch.setattr(importing.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(StorageError, match="room for"):
        added(workspace, tiny_zip)
    assert leftovers(workspace) == []


def test_what_a_killed_import_left_is_cleared_away(workspace, tiny_zip):
    stale = workspace.datasets / ".building-mine" / "photos"
    stale.mkdir(parents=True)
    (stale / "000000.jpg").write_bytes(b"old")
    added(workspace, tiny_zip)
    assert leftovers(workspace) == ["mine"]


def test_a_generator_given_up_leaves_nothing(workspace, tiny_zip):
    steps = library.add(workspace, "mine", tiny_zip)
    next(steps), next(steps)
    steps.close()
    assert leftovers(workspace) == [] and added(workspace, tiny_zip).id == "mine"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": 3}', "null"])
@pytest.mark.parametrize("file", ["dataset.json", "index.json"])
def test_a_damaged_dataset_says_so_and_can_be_deleted(workspace, tiny_dataset, file, content):
    (workspace.datasets / tiny_dataset / file).write_text(content)
    with pytest.raises(DatasetError, match="is damaged"):
        library.load(workspace, tiny_dataset)
    assert len(library.listing(workspace)) == (file == "index.json")
    library.delete(workspace, tiny_dataset)
    assert leftovers(workspace) == []


def test_a_dataset_in_use_is_not_deleted(workspace, tiny_dataset):
    run = runs.create(workspace, RunConfig.model_validate({"data": {"dataset": tiny_dataset}}))
    with pytest.raises(DatasetError, match="is using this dataset"):
        library.delete(workspace, tiny_dataset)
    say(run.events_path, Failed(what="over"))
    library.delete(workspace, tiny_dataset)
    assert not library.is_ready(workspace, tiny_dataset)


def test_a_hundred_thousand_rows_load_at_once(workspace, tiny_dataset):
    n = 100_000
    columns = {
        "file": [f"{i:06}.jpg" for i in range(n)],
        "name": [f"train/red/photo number {i}.jpg" for i in range(n)],
        "split": ["train"] * n,
        "label": [i % 2 for i in range(n)],
        "width": [640] * n,
        "height": [480] * n,
    }
    (workspace.datasets / tiny_dataset / "index.json").write_text(json.dumps(columns))
    start = time.process_time()
    assert len(library.load(workspace, tiny_dataset).splits["train"].paths) == n
    assert time.process_time() - start < 1  # half that on two cores


def test_preparing_the_real_photos_over_http(workspace, photos_zip, loopback, monkeypatch):
    content = photos_zip.read_bytes()
    monkeypatch.setenv("CATFISH_DATASET_URL", loopback.serve("photos.zip", content))
    loopback.break_after = 20_000_000
    said, _ = finish(library.prepare(workspace, "cats-vs-fish"))
    assert {event.unit for event in said} == {"MB", "photos", ""}
    made = library.info(workspace, "cats-vs-fish")
    assert made.counts == {"train": (319, 278), "val": (89, 60), "test": (60, 60)} and made.problems == ()
    assert len(loopback.requests) == 2 and "range" in loopback.requests[1]
    assert finish(library.prepare(workspace, "cats-vs-fish")) == ([], None)
    library.delete(workspace, "cats-vs-fish")
    finish(library.prepare(workspace, "cats-vs-fish"))
    assert library.info(workspace, "cats-vs-fish").version == made.version
    assert len(loopback.requests) == 2, "what was downloaded is kept"
    assert (workspace.downloads / "cats-vs-fish.zip").read_bytes() == content


def test_an_answer_that_is_no_zip_is_not_kept(workspace, loopback, monkeypatch, tiny_zip):
    monkeypatch.setenv("CATFISH_DATASET_URL", loopback.serve("photos.zip", b"<html>Sign in</html>"))
    with pytest.raises(DatasetError, match="is not a zip") as caught:
        finish(library.prepare(workspace, "cats-vs-fish"))
    assert "CATFISH_DATASET_URL" in caught.value.hint
    loopback.serve("photos.zip", tiny_zip.read_bytes())
    finish(library.prepare(workspace, "cats-vs-fish"))
    assert library.info(workspace, "cats-vs-fish").total == 40


def test_preparing_ones_own_only_checks(workspace, tiny_dataset):
    assert finish(library.prepare(workspace, tiny_dataset)) == ([], None)


SLOW = """
import sys, time
from pathlib import Path
from catfish_core.data import library, sketchbook
from catfish_core.events import Preparing
from catfish_core.workspace import Workspace

def write(folder, seed=0):
    from PIL import Image
    with open(Path(sys.argv[1]), "a") as log:
        log.write("drew\\n")
    for kind in ("cat", "fish"):
        (folder / kind).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (9, 9), (i, 0, 0)).save(folder / kind / f"{i}.png")
            yield Preparing(what="drawing")
            time.sleep(0.05)

sketchbook.write = write
print([event.what for event in library.prepare(Workspace.default(), "sketchbook")])
"""


def test_of_two_processes_at_once_one_works(workspace, tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLOW, str(log)]
    root = Path(library.__file__).parents[2]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert log.read_text() == "drew\n"
    assert sum("drawing" in text for text in said) == 1
    assert library.info(workspace, "sketchbook").total == 8


def wait(log: Path) -> list[events.Event]:
    for _ in range(600):
        said, _offset = events.read(log)
        if said and isinstance(said[-1], (Prepared, Failed)):
            return said
        time.sleep(0.05)
    raise AssertionError(f"no last word in {log.read_text()!r}, {log.with_suffix('.txt').read_text()}")


def test_adding_in_a_process_of_its_own(workspace, tiny_zip):
    log = library.start_add(workspace, "-Mine", tiny_zip)
    assert activity.working(log)
    said = wait(log)
    assert said[-1].dataset == "mine" and isinstance(said[0], Preparing)
    assert library.info(workspace, "mine").name == "-Mine"
    assert not activity.working(log)


def test_a_failure_in_a_process_of_its_own(workspace, make_zip):
    said = wait(library.start_add(workspace, "Mine", make_zip({"a.txt": b""})))
    assert "no photos" in said[-1].what and said[-1].hint


def test_preparing_twice_in_processes_of_their_own(workspace, tiny_zip, monkeypatch):
    monkeypatch.setenv("CATFISH_DATASET_URL", tiny_zip.as_uri())
    log = library.start_prepare(workspace, "cats-vs-fish")
    assert library.start_prepare(workspace, "cats-vs-fish") == log
    assert wait(log)[-1].dataset == "cats-vs-fish"
    assert wait(library.start_prepare(workspace, "cats-vs-fish"))[-1].dataset == "cats-vs-fish"


def test_a_writer_that_died_is_not_waited_for(workspace):
    log = activity.log_path(workspace, "mine")
    say(log, Preparing(what="Reading"))
    log.with_suffix(".lock").touch()
    assert not activity.working(log)


def test_an_unforeseen_fault_gets_a_last_word(workspace, capsys):
    def work():
        yield Preparing(what="Reading")
        raise KeyError("surprise")

    log = activity.log_path(workspace, "mine")
    assert activity.follow(log, work(), "mine") == 1
    assert "KeyError" in wait(log)[-1].what and "Traceback" in capsys.readouterr().err


def test_a_zip_closed_early_can_be_removed(tiny_zip):
    source = archive.open_source(tiny_zip)
    source.close()
    assert zipfile.is_zipfile(tiny_zip)


def test_no_torch_for_any_of_it(workspace):
    code = "import sys; from catfish_core.data import library, sketchbook, photos; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(library.__file__).parents[2]).returncode == 0
