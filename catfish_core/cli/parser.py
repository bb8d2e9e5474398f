"""What can be typed, and what `--help` says about it; quick, because nothing heavy is imported for it.  [no torch]"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import get_args

import catfish_core
from catfish_core.catalog import ARCHITECTURES, Preset
from catfish_core.lab.access import ROLES

Handler = Callable[[argparse.Namespace], int]

ABOUT = """\
CatFish trains image classifiers and shows where they look. This is its engine
without the browser: the same datasets, runs and models, for a terminal or a script."""

FIRST_STEPS = """\
first steps (a minute, no network needed):
  python -m catfish_core train --dataset sketchbook --arch simple_cnn --epochs 5
  python -m catfish_core predict latest photo.jpg --cam heatmaps

your own photos, a folder or zip with one folder a class:
  python -m catfish_core train --dataset holiday.zip --arch efficientnet_lite0 --pretrained --frozen

Everything lives in ~/.catfish, or in the folder that CATFISH_HOME names; the pages see the same.
Exit codes: 0 done, 1 failed (one sentence on stderr says why), 2 wrong usage."""

TRAIN = """\
examples:
  python -m catfish_core train --dataset sketchbook --arch simple_net
  python -m catfish_core train --dataset cats-vs-fish --arch efficientnet_lite0 --pretrained --frozen
  python -m catfish_core train --dataset cats-vs-fish --arch efficientnet_lite0 --pretrained --parts course
  python -m catfish_core train --dataset ./photos --arch resnet18 --epochs 30 --augment
  python -m catfish_core train config.json --set optimizer.lr=0.0003 --set schedule.kind=cosine

Options are applied on top of CONFIG.json, --set on top of both. Every run folder has a config.json to start from.
Ctrl-C stops the run and keeps its best weights; `resume` goes on with the next batch."""


RESUME = """\
examples:
  python -m catfish_core resume latest
  python -m catfish_core resume latest --more-epochs 10

It goes on with the batch where it was, as if it had never been interrupted. A run that is over trains further with
--more-epochs: its optimizer goes on, and a schedule takes the new number of epochs for the whole."""


LR_FIND = """\
examples:
  python -m catfish_core lr-find config.json
  python -m catfish_core lr-find --dataset cats-vs-fish --arch simple_net --plot curve.png
  python -m catfish_core lr-find --arch simple_cnn --seeds 3 --json

It trains with a rate that grows from step to step, reads the loss, tries the best readings out in short trainings
and recommends one. Nothing is changed by it. Ctrl-C ends it early; what was measured by then is used."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = argparse.ArgumentParser(
        "python -m catfish_core", description=ABOUT, epilog=FIRST_STEPS, formatter_class=_Raw, allow_abbrev=False
    )
    whole.add_argument("--version", action="version", version=f"CatFish {catfish_core.__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_datasets, _train, _resume, _lr_find, _evaluate, _predict, _runs, _users, _check):
        add(commands)
    return whole


class _Raw(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


Commands = argparse._SubParsersAction  # argparse has no public name for what add_subparsers returns


def _lazily(module: str, function: str) -> Handler:
    """A handler whose module is imported when it is called."""
    return lambda asked: int(getattr(import_module(f"catfish_core.cli.{module}"), function)(asked))


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, about: str, handler: tuple[str, str], epilog: str = ""
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=about, description=about[:1].upper() + about[1:] + ".", epilog=epilog,
        formatter_class=_Raw, allow_abbrev=False,
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="print the result as JSON, for a program")
    command.set_defaults(handler=_lazily(*handler))
    return command


def _group(commands: Commands[argparse.ArgumentParser], name: str, about: str) -> Commands[argparse.ArgumentParser]:
    group = commands.add_parser(
        name, help=about, description=about[:1].upper() + about[1:] + ".", formatter_class=_Raw
    )
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _datasets(commands: Commands[argparse.ArgumentParser]) -> None:
    group = _group(commands, "datasets", "list, fetch, import and remove datasets")
    _command(group, "list", "list the datasets there are", ("datasets", "show_all"))
    prepare = _command(group, "prepare", "draw or download a built-in dataset", ("datasets", "prepare"))
    prepare.add_argument("id", metavar="ID", help="sketchbook or cats-vs-fish")
    add = _command(
        group, "add", "import photos of your own: a zip or a folder with one folder a class", ("datasets", "add"),
        "Inside, either train|val|test/CLASS/… or only CLASS/…, which is then split 70/15/15.\n"
        "Photos that cannot be read are listed and left out.",
    )  # fmt: skip
    add.add_argument("name", metavar="NAME", help="what to call the dataset")
    add.add_argument("source", metavar="ZIP_OR_FOLDER", type=Path, help="where the photos are")
    remove = _command(group, "remove", "remove a dataset; models trained on it stay", ("datasets", "remove"))
    remove.add_argument("id", metavar="ID", help="as in `datasets list`")


def _train(commands: Commands[argparse.ArgumentParser]) -> None:
    _configured(_command(commands, "train", "train a network and test it", ("train", "train"), TRAIN))


def _resume(commands: Commands[argparse.ArgumentParser]) -> None:
    resume = _command(commands, "resume", "go on with a run that was interrupted", ("train", "resume"), RESUME)
    _run_argument(resume)
    resume.add_argument("--more-epochs", type=int, metavar="N", help="train a run that is over so many epochs more")


def _configured(train: argparse.ArgumentParser) -> None:
    """Everything that makes up the configuration of a run."""
    train.add_argument("config", metavar="CONFIG.json", nargs="?", type=Path, help="a configuration to start from")
    train.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="SECTION.FIELD=VALUE",
        help="change any field of the configuration; may be repeated",
    )  # fmt: skip
    train.add_argument("--name", help="what to call the run")
    train.add_argument(
        "--dataset", metavar="ID_OR_PATH", help="a dataset, or a zip or folder to import first (default: sketchbook)"
    )
    train.add_argument(
        "--arch", metavar="ARCH", choices=[row.id for row in ARCHITECTURES],
        help="the network (default: simple_cnn): " + ", ".join(row.id for row in ARCHITECTURES),
    )  # fmt: skip
    train.add_argument(
        "--pretrained", action="store_true", help="start from what the network learned on ImageNet, with a new head"
    )
    train.add_argument(
        "--parts", metavar="PRESET", choices=get_args(Preset),
        help="what of it is trained (default: everything). With --pretrained also head_only; course: the last three "
        "parts, each at a third of the rate of the next; gradual: the head first, then one part more every two "
        "epochs (parts.every) at half the rate. own: what --set 'parts.rates={\"fc\": 1, \"layer4\": 0.1}' says",
    )  # fmt: skip
    train.add_argument(
        "--frozen", dest="parts", action="store_const", const="head_only", help="the same as --parts head_only"
    )
    train.add_argument(
        "--image-size", type=int, metavar="N",
        help="side of the photos in pixels (default: 64 for the course's two networks, 128 for the others)",
    )  # fmt: skip
    train.add_argument("--epochs", type=int, metavar="N", help="times every photo is seen (default: 10)")
    train.add_argument("--batch-size", type=int, metavar="N", help="photos per step (default: 64)")
    train.add_argument("--lr", type=float, metavar="X", help="learning rate (default: 0.001, with Adam)")
    train.add_argument("--seed", type=int, metavar="N", help="same seed, same run (default: 0)")
    train.add_argument("--augment", action="store_true", help="vary the training photos by the course's recipe")
    train.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], help="what computes (default: auto)")


def _lr_find(commands: Commands[argparse.ArgumentParser]) -> None:
    find = _command(commands, "lr-find", "find a learning rate for a network", ("lr_find", "lr_find"), LR_FIND)
    _configured(find)
    find.add_argument("--plot", metavar="FILE.png", type=Path, help="draw the curve into this picture")
    find.add_argument("--init", type=float, metavar="X", help="the rate of the first step (default: 1e-6)")
    find.add_argument("--final", type=float, metavar="X", help="the rate of the last step (default: 1)")
    find.add_argument("--steps", type=int, metavar="N", help="steps on the way (default: 100)")
    find.add_argument(
        "--scale", choices=["exponential", "linear"], help="multiply the rate from step to step, or add to it"
    )
    find.add_argument("--smoothing", choices=["ewm", "rolling"], help="fading mean (default), or that of 5 losses")
    find.add_argument("--seeds", type=int, metavar="N", help="sweeps, each with its own first weights (default: 1)")
    find.add_argument("--divergence", type=float, metavar="X", help="stop at this many times the lowest loss (4)")
    find.add_argument("--val-every", type=int, metavar="N", help="measure the validation loss every N steps")
    find.add_argument("--probes", type=int, metavar="N", help="suggestions tried out in short trainings (default: 3)")
    find.add_argument("--probe-steps", type=int, metavar="N", help="steps of such a training (default: 50)")


def _evaluate(commands: Commands[argparse.ArgumentParser]) -> None:
    evaluate = _command(
        commands, "evaluate", "measure a trained network on its test photos again", ("predict", "evaluate")
    )
    _run_argument(evaluate)


def _predict(commands: Commands[argparse.ArgumentParser]) -> None:
    predict = _command(
        commands, "predict", "say what is on photos, and show where the network looked", ("predict", "predict"),
        "example:\n  python -m catfish_core predict latest *.jpg --cam heatmaps",
    )  # fmt: skip
    _run_argument(predict)
    predict.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="photos, or folders of them")
    predict.add_argument("--cam", metavar="DIR", type=Path, help="write each photo with its heatmap into this folder")
    predict.add_argument("--layer", help="where the heatmap is taken (default: the architecture's last convolution)")
    predict.add_argument("--explain", metavar="CLASS", help="the class to explain (default: the predicted one)")


def _runs(commands: Commands[argparse.ArgumentParser]) -> None:
    group = _group(commands, "runs", "list, show, pause, stop, annotate and delete runs")
    _command(group, "list", "list all runs, newest first", ("runs", "show_all"))
    _run_argument(_command(group, "show", "show how a run stands", ("runs", "show")))
    _run_argument(_command(group, "pause", "have a run rest until `resume` goes on with it", ("runs", "pause")))
    _run_argument(_command(group, "stop", "stop a run that is training; its best weights stay", ("runs", "stop")))
    _run_argument(_command(group, "delete", "delete a run for good, its model with it", ("runs", "delete")))
    note = _command(group, "note", "read or replace the note of a run", ("runs", "note"))
    _run_argument(note)
    note.add_argument("text", metavar="TEXT", nargs="?", help="the new note; without it the note is shown")


def _check(commands: Commands[argparse.ArgumentParser]) -> None:
    check = _command(
        commands, "check", "say what would keep CatFish from starting here", ("check", "check_all"),
        "Exit code 1 where a problem is serious: the port taken, the workspace closed, a package missing.",
    )  # fmt: skip
    check.add_argument("--port", type=int, metavar="N", help="the port the app is to be started on")
    check.add_argument(
        "--address", default="127.0.0.1", metavar="IP", help="the address it is to be served at (127.0.0.1)"
    )
    check.add_argument("--quiet", action="store_true", help="say nothing where all is well")


def _run_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="id of a run, or `latest`")


def _users(commands: Commands[argparse.ArgumentParser]) -> None:
    group = _group(commands, "user", "add, list and change the people of a lab that shares this machine")
    add = _command(group, "add", "add somebody; the password is asked for", ("users", "add"),
        "The first one should be an admin. A name that is an e-mail address is of the outside provider and has no\n"
        "password here. People sign in once CATFISH_LAB=1 is set or lab.json says {\"shared\": true}.",
    )  # fmt: skip
    _user_argument(add)
    add.add_argument(
        "--role", choices=ROLES, default="member",
        help="viewer: watches and predicts; member (default): trains, imports, changes what is theirs; admin: all",
    )  # fmt: skip
    _password_argument(add)
    _command(group, "list", "list everybody", ("users", "show_all"))
    role = _command(group, "role", "make somebody a viewer, member or admin", ("users", "role"))
    _user_argument(role)
    role.add_argument("role", metavar="ROLE", choices=ROLES, help="viewer, member or admin")
    _user_argument(_command(group, "disable", "shut somebody out, at once and everywhere", ("users", "disable")))
    _user_argument(_command(group, "enable", "let somebody in again", ("users", "enable")))
    password = _command(group, "password", "give somebody another password; it is asked for", ("users", "password"))
    _user_argument(password)
    _password_argument(password)


def _user_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="what the person signs in with")


def _password_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from the first line of stdin"
    )
