"""Which models stay loaded, and which go."""

import os
import threading
from types import SimpleNamespace

import pytest

from catfish_core.config import RunConfig
from catfish_core.errors import ModelError
from catfish_core.runs import create


@pytest.fixture
def loads():
    return []


@pytest.fixture
def warm(loads):
    """warm(max_models=…, max_bytes=…): models of 4,000 bytes each that are loaded from nowhere."""
    from torch import nn

    from catfish_core.serving.warm import WarmModels

    def load(path):
        loads.append(path.name)
        return SimpleNamespace(model=nn.Linear(1000, 1, bias=False))

    return lambda **limits: WarmModels(load=load, **limits)


@pytest.fixture
def run(workspace):
    def run(name):
        made = create(workspace, RunConfig(name=name))
        made.model_path.write_bytes(b"")
        return made

    return run


def test_a_model_is_loaded_once(warm, run, loads):
    models, a = warm(), run("a")
    for _ in range(3):
        with models.use(a):
            pass
    assert loads == [a.id]


def test_the_one_used_longest_ago_goes_first(warm, run, loads):
    models, (a, b, c) = warm(max_models=2), map(run, "abc")
    for one in (a, b, a, c, a, b):
        with models.use(one):
            pass
    assert loads == [a.id, b.id, c.id, b.id]
    assert len(models) == 2


def test_weight_counts(warm, run):
    models = warm(max_bytes=9_000)
    for name in "abcd":
        with models.use(run(name)):
            pass
    assert len(models) == 2


def test_one_model_heavier_than_all_room_is_served_still(warm, run, loads):
    models, a = warm(max_bytes=10), run("a")
    for _ in range(2):
        with models.use(a):
            pass
    assert loads == [a.id]


def test_weights_written_anew_take_the_place_of_the_old(warm, run, loads):
    models, a = warm(), run("a")
    with models.use(a):
        pass
    os.utime(a.model_path, ns=(1, 1))
    with models.use(a):
        pass
    assert len(loads) == 2 and len(models) == 1


def test_a_model_that_does_not_load_is_tried_again(run, loads):
    from catfish_core.serving.warm import WarmModels

    def load(path):
        loads.append(path)
        raise ModelError("Damaged.")

    models, a = WarmModels(load=load), run("a")
    for _ in range(2):
        with pytest.raises(ModelError), models.use(a):
            pass
    assert len(loads) == 2


def test_a_run_without_weights_is_a_sentence(warm, workspace):
    with pytest.raises(ModelError, match="no model yet"), warm().use(create(workspace, RunConfig())):
        pass


def test_one_at_a_time_per_model_and_side_by_side_for_two(warm, run):
    models, (a, b) = warm(), map(run, "ab")
    entered = threading.Event()

    def other(one):
        with models.use(one):
            entered.set()

    with models.use(a):
        same = threading.Thread(target=other, args=(a,))
        same.start()
        assert not entered.wait(0.05)
        different = threading.Thread(target=other, args=(b,))
        different.start()
        assert entered.wait(5)
    same.join()
    different.join()
