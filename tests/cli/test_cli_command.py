"""Help, wrong usage, and what is said when something goes wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from catfish_core import runs
from catfish_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def test_help_comes_at_once_because_nothing_heavy_is_imported():
    program = (
        "import sys\nfrom catfish_core.cli import main\ncode = main(['--help'])\n"
        "heavy = {'torch', 'pydantic', 'PIL', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("datasets", "train", "evaluate", "predict", "runs", "sketchbook", "CATFISH_HOME"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "command",
    ["", "datasets", "datasets list", "datasets prepare", "datasets add", "datasets remove", "train", "evaluate",
     "predict", "runs", "runs list", "runs show", "runs stop", "runs delete", "runs note"],
)  # fmt: skip
def test_every_command_explains_itself(run, command):
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m catfish_core")


def test_help_of_train_names_every_architecture(run):
    from catfish_core.catalog import ARCHITECTURES

    text = run("train", "--help")[1]
    assert all(row.id in text for row in ARCHITECTURES)


def test_help_is_shown_when_nothing_is_asked(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "first steps" in err


@pytest.mark.parametrize(
    "line",
    ["nonsense", "datasets", "datasets add onlyname", "train --arch resnet9000", "train --epochs many",
     "train --epochs 0", "train --frozen", "train --parts none", "train --set training.epochs",
     "train --set training.epoch=5",
     "train --set optimizer.lr=-1", "train --lr nan", "train --image-size 7", "train --batch-size 0",
     "train --arch inception_v3 --image-size 64", "train --seed -1", "predict latest", "evaluate", "runs show",
     "train --set model.arch=resnet9000"],
)  # fmt: skip
def test_what_cannot_be_meant_is_wrong_usage(run, line, workspace):
    code, out, err = run(*line.split())
    assert (code, out) == (2, "")
    assert "Traceback" not in err and err
    assert not workspace.runs.exists()


@pytest.mark.parametrize(
    "line",
    ["datasets remove nope", "datasets prepare nope", "datasets remove ../..", "datasets add mine /nowhere.zip",
     "train nowhere.json", "train --dataset nope", "train --dataset ./nowhere.zip", "train --dataset nowhere.zip",
     "evaluate latest", "evaluate nope", "predict latest photo.jpg", "predict ../.. photo.jpg", "runs show nope",
     "runs show latest", "runs stop nope", "runs delete ../../etc", "runs note nope hello"],
)  # fmt: skip
def test_what_is_not_there_is_one_sentence(run, one_sentence, line):
    code, out, err = run(*line.split())
    assert (code, out) == (1, "")
    assert one_sentence(err), err


def test_a_configuration_file_that_cannot_be_meant_is_one_sentence(run, one_sentence, tmp_path):
    path = tmp_path / "config.json"
    for text, says in (
        ("{", "JSON"),
        ("[]", "object"),
        ('{"color": 1}', "color"),
        ('{"training": {"epochs": 0}}', "training.epochs"),
        ('{"schema_version": 99}', "99"),
    ):
        path.write_text(text)
        code, _, err = run("train", path)
        assert code == 1
        assert one_sentence(err) and says in err


def test_a_fault_nobody_foresaw_is_a_sentence_and_a_file(run, one_sentence, monkeypatch):
    monkeypatch.setattr(runs, "listing", lambda workspace: 1 / 0)
    code, _, err = run("runs", "list")
    assert code == 1 and one_sentence(err)
    (path,) = (Workspace.default().root / "faults").iterdir()
    assert str(path) in err
    assert "ZeroDivisionError" in path.read_text()


def test_ctrl_c_is_a_sentence(run, one_sentence, monkeypatch):
    def interrupted(workspace):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "listing", interrupted)
    code, _, err = run("runs", "list")
    assert code == 1 and one_sentence(err)
