"""Names that are safe, files that are whole."""

import errno

import pytest

from catfish_core import workspace as ws
from catfish_core.errors import StorageError
from catfish_core.workspace import Workspace


@pytest.mark.parametrize(
    ("text", "name"),
    [("Cats & Fish!", "cats-fish"), ("../../etc", "etc"), ("🐟", "untitled"), ("A" * 99, "a" * 40), ("", "untitled")],
)
def test_a_slug_is_a_safe_file_name(text, name):
    assert ws.slug(text) == name


def test_the_workspace_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("CATFISH_HOME", str(tmp_path / "lab"))
    assert Workspace.default().runs == tmp_path / "lab" / "runs"
    monkeypatch.delenv("CATFISH_HOME")
    assert Workspace.default().root.name == ".catfish"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "model.json"
    ws.write_text(path, "old")
    with pytest.raises(StorageError, match="disk is full"), ws.atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_closed_folder_is_named_with_the_way_out(tmp_path):
    with pytest.raises(StorageError, match="CATFISH_HOME"), ws.atomic(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")
