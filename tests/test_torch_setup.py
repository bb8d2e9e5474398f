"""torchvision imports beside any build of torch, in a fresh interpreter, whoever asks first."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["torchvision", "timm"])
def test_it_imports(name):
    program = f"from catfish_core.torch_setup import {name}; print({name}.__version__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
