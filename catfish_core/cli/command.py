"""From the command line to an exit code: 0 done, 1 failed with one clear sentence, 2 wrong usage.  [no torch]"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from catfish_core.cli.parser import parser
from catfish_core.cli.terminal import Usage, complain
from catfish_core.errors import CatfishError
from catfish_core.workspace import Workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` (by default the command line's) ask for; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console without “ or é shows something, never fails
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser().print_help(sys.stderr)
        return 2
    try:
        asked = parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said it all
        return int(end.code or 0)
    return _answer(asked.handler, asked)


def _answer(handler: object, asked: object) -> int:
    assert callable(handler)
    try:
        return int(handler(asked))
    except Usage as error:
        complain(f"{error} Add --help to see what is possible.")
        return 2
    except CatfishError as error:
        complain(str(error))
    except KeyboardInterrupt:
        complain("Interrupted.")
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # whatever it was: a sentence for the person, the traceback for the bug report
        complain(f"Something unexpected happened: {type(error).__name__}: {str(error)[:200]}. {_written_down()}")
    return 1


def _written_down() -> str:
    """Write the traceback at hand into the workspace, or where there is room; the sentence that says where."""
    name = f"catfish-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (Workspace.default().root / "faults", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return f"The whole story is in {folder / name}; a bug report with it is welcome."
    return "It could not be written down: no folder takes a file."
