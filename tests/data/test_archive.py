import stat
import zipfile

import pytest

from catfish_core.data import archive
from catfish_core.data.archive import open_source
from catfish_core.errors import DatasetError, PhotoError


def names(path):
    return sorted(entry.name for entry in open_source(path).entries())


def test_folders_hidden_files_and_what_macs_leave_are_passed_over(make_zip):
    path = make_zip({"a/": b"", "a/1.jpg": b"x", "__MACOSX/a/._1.jpg": b"x", "a/.DS_Store": b"x", ".git/2.jpg": b"x"})
    assert names(path) == ["a/1.jpg"]


def test_a_folder_gives_the_same(tmp_path):
    for name in ("a/1.jpg", "a/.hidden.jpg", ".git/2.jpg", "b/deep/3.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    assert names(tmp_path / "set") == ["a/1.jpg", "b/deep/3.jpg"]


def test_backslashes_of_windows_separate(make_zip):
    assert names(make_zip({"cat\\1.jpg": b"x", "./fish//2.jpg": b"x"})) == ["cat/1.jpg", "fish/2.jpg"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.jpg", "leads out"),
        ("cat/../../evil.jpg", "leads out"),
        ("cat\\..\\evil.jpg", "leads out"),
        ("/etc/passwd.jpg", "absolute"),
        ("C:\\evil.jpg", "absolute"),
        ("C:evil.jpg", "absolute"),
        ("\\\\server\\evil.jpg", "absolute"),
    ],
)
def test_names_that_lead_elsewhere_refuse_the_whole_zip(make_zip, name, why):
    with pytest.raises(DatasetError, match=why) as caught:
        open_source(make_zip({"cat/1.jpg": b"x", name: b"x"}))
    assert caught.value.hint


def test_links_are_refused(tmp_path):
    path = tmp_path / "links.zip"
    link = zipfile.ZipInfo("cat/passwd.jpg")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link"):
        open_source(path)


def test_a_bomb_by_ratio_is_refused(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("cat/1.bmp", bytes(20_000_000))
    with pytest.raises(DatasetError, match="200 times its size"):
        open_source(path)


def test_a_bomb_by_ratio_of_many_small_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "TOTAL_FROM", 10_000_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for i in range(6):
            made.writestr(f"cat/{i}.bmp", bytes(2_000_000))
    with pytest.raises(DatasetError, match="200 times its size"):
        open_source(path)


def test_a_bomb_by_total_is_refused(make_zip, monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL", 1000)
    with pytest.raises(DatasetError, match="would unpack to"):
        open_source(make_zip({"cat/1.jpg": bytes(600), "cat/2.jpg": bytes(600)}))


def test_too_many_files_are_refused(make_zip, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 3)
    with pytest.raises(DatasetError, match="more than 3 files"):
        open_source(make_zip({f"cat/{i}.jpg": b"x" for i in range(4)}))


def test_one_huge_file_is_refused(make_zip, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILE", 100)
    with pytest.raises(DatasetError, match="larger than"):
        open_source(make_zip({"cat/1.jpg": bytes(101)}))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "1.jpg").write_bytes(bytes(101))
    (entry,) = open_source(tmp_path / "set").entries()
    with pytest.raises(PhotoError, match="larger than"):
        entry.read()


def test_a_locked_zip_is_refused(make_zip):
    path = make_zip({"cat/1.jpg": b"secret"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag for "encrypted" in the list of contents
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="password"):
        open_source(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"<html>Not found</html>"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "no.zip"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="no.zip is not a zip"):
        open_source(path)


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetError, match="nothing at"):
        open_source(tmp_path / "gone")


def test_a_damaged_entry_spoils_only_itself(make_zip):
    path = make_zip({"cat/1.jpg": b"A" * 500, "cat/2.jpg": b"B" * 500})
    path.write_bytes(path.read_bytes().replace(b"A" * 500, b"A" * 250 + b"Z" * 250))
    one, two = open_source(path).entries()
    with pytest.raises(PhotoError, match="“1.jpg” is damaged"):
        one.read()
    assert two.read() == b"B" * 500


def test_names_are_made_fit_to_show():
    assert archive.clean("e\u0301te\u0301\x00\n.jpg") == "\u00e9t\u00e9  .jpg"
    assert archive.clean("bad\udcff.jpg") == "bad\ufffd.jpg" or "?" in archive.clean("bad\udcff.jpg")
