"""torchvision and timm import beside any build of torch, in a fresh interpreter, whoever asks first."""

import subprocess
import sys
from pathlib import Path

import pytest


def fresh(program):
    """What `program` prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["torchvision", "timm", "v2"])
def test_it_imports(name):
    assert fresh(f"from catfish_core.torch_setup import {name}; print({name}.__name__)").endswith(name)


@pytest.mark.parametrize(
    "work",
    [
        "from catfish_core.torch_setup import timm, torchvision, v2",
        "from catfish_core.jobs import ranks",
        "from catfish_core.serving import service; service._import_torch()",
        """
import torch
from catfish_core.config import OptimizerConfig
from catfish_core.training import optim
for name in ("sgd", "adagrad", "rmsprop", "adam", "adamw"):
    model = torch.nn.Linear(2, 2)
    optimizer = optim.optimizer(model, OptimizerConfig(name=name))
    optimizer.zero_grad()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
""",
    ],
)
def test_the_compiler_of_torch_is_not_imported_for_those_who_do_not_compile(work):
    assert fresh(f"{work}\nimport sys; print('torch._dynamo' in sys.modules)") == "False"


def test_those_who_compile_can_switch_it_off_for_a_function_as_ever():
    program = "from catfish_core.torch_setup import timm; import torch; print(callable(torch.compiler.disable))"
    assert fresh(program) == "True"
