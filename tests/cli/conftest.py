"""The command line in this process: torch is slow to come a second time."""

import pytest

from catfish_core.cli import main


@pytest.fixture
def run(workspace, capsys):
    """run("runs", "list"): exit code, what stdout says, what stderr says."""

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def one_sentence():
    """Whether a text is one line of complaint and nothing else."""

    def check(text):
        return text.startswith("catfish: ") and text.count("\n") == 1 and "Traceback" not in text

    return check
