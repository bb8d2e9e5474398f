"""The three sides do the same work: the same photos, the same learning, and caches only where the row allows."""

import pytest
import torch

from benchmarks import course, engine, limit, photos
from benchmarks.observe import Observed
from benchmarks.rows import BY_NAME, Plan
from benchmarks.sides import Bench, sides
from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.events import EpochEnd, SweepPoint
from catfish_core.models import build
from catfish_core.training import search, session, sweep

CPU = torch.device("cpu")
TINY = Plan(rounds=1, epochs=2, steps=3, repeats=1)


@pytest.fixture
def bench_workspace(tiny_zip, monkeypatch):
    monkeypatch.setenv("CATFISH_HOME", "/nowhere")
    with photos.imported(tiny_zip) as workspace:
        yield workspace


def curve(events) -> list[list[float]]:
    return [[e.train_loss, e.val_loss, e.train_accuracy, e.val_accuracy] for e in events if isinstance(e, EpochEnd)]


def of_course(bench: Bench, config: RunConfig) -> list[list[float]]:
    model = bench.model()
    optimizer = course.adam(model, config)
    rows = []
    for _ in range(config.training.epochs):
        loss, accuracy = course.train_epoch(model, bench.loader("train"), optimizer, CPU)
        val_loss, val_accuracy = course.validate(model, bench.loader("val"), CPU)
        rows.append([loss, val_loss, accuracy, val_accuracy])
    return rows


def test_course_engine_and_limit_learn_the_same(bench_workspace):
    """SimpleNet draws nothing at random and all photos fit into one batch: order cannot make a difference."""
    row = BY_NAME["simple_net"]
    config = row.config(epochs=4)
    bench = Bench(row, TINY, bench_workspace)
    expected = of_course(bench, config)
    learned = curve(session.train(runs.create(bench_workspace, config), lambda: False))
    for ours, theirs in zip(learned, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
    assert expected[-1][0] < expected[0][0]

    model, seen = bench.model(), Observed()
    train, val = (limit.in_memory(bench.loader(split), CPU, seen.steps) for split in ("train", "val"))
    optimizer = course.adam(model, config)
    accuracies = [limit.epoch(model, optimizer, train, val, seen) for _ in range(4)]
    assert accuracies == pytest.approx([row[3] for row in expected])
    assert course.validate(model, bench.loader("val"), CPU)[0] == pytest.approx(expected[-1][1], abs=1e-4)


def test_the_course_reads_the_same_photos_under_the_same_labels(make_zip, tiny_files, encode, picture):
    odd = {"train/red/odd.gif": encode(picture(), "GIF"), "train/red/shouted.JPEG": encode(picture())}
    with photos.imported(make_zip(tiny_files | odd)) as workspace:
        bench = Bench(BY_NAME["simple_net"], TINY, workspace)
        for name, split in bench.dataset.splits.items():
            labels = torch.cat([labels for _, labels in bench.loader(name)])
            assert sorted(labels.tolist()) == sorted(split.labels)


def test_sweeps_and_heatmaps(bench_workspace, monkeypatch):
    bench = Bench(BY_NAME["lr_sweep"], Plan(steps=5), bench_workspace)
    rates = bench.rates()
    assert (rates[0], rates[-1]) == (pytest.approx(1e-7), pytest.approx(1.0))
    model, train = bench.model(), bench.loader("train")
    losses = course.sweep(model, train, course.adam(model, bench.config), CPU, rates)  # one batch: four times anew
    assert len(losses) == 5
    seen, model = Observed(), bench.model()
    batches = limit.in_memory(train, CPU, seen.steps)
    assert len(limit.sweep(model, seen.optimizer(model), batches, seen, rates)) == 5
    swept = []
    monkeypatch.setattr(search, "sweep", lambda *a: (swept.append(e) or e for e in sweep.sweep(*a)))
    assert 0 < engine.engine_sweep(bench_workspace, bench.config, bench.sweep()) < 60
    assert [event.lr for event in swept if isinstance(event, SweepPoint)] == rates

    stats = ((0.5,) * 3, (0.5,) * 3)
    photo = bench.dataset.splits["val"].paths[0]
    probabilities, heatmap = course.predict_cam(model, model.get_submodule("conv3"), photo, 64, stats, CPU)
    assert probabilities.sum().item() == pytest.approx(1) and heatmap.shape == (16, 16)


def test_the_clock_of_a_run_stands_still_while_it_builds_and_saves(bench_workspace, monkeypatch):
    pauses = []
    over = engine.Pause.over

    def noted(self, function):
        pauses.append((self, function))
        return over(self, function)

    monkeypatch.setattr(engine.Pause, "over", noted)
    seconds = list(engine.engine_epochs(bench_workspace, BY_NAME["simple_net"].config(epochs=2)))
    assert len(seconds) == 2 and all(0 < s < 60 for s in seconds)
    counts = {id(pause): pause.count for pause, _ in pauses}
    # A new network, its environment, TensorBoard and the best weights; then the first epoch's checkpoint at least.
    assert list(counts.values())[0] == 4 and list(counts.values())[1] >= 1


def test_a_cold_run_leaves_nothing_behind_and_a_warm_one_does(bench_workspace, monkeypatch):
    used = []

    def noted(workspace, config):
        assert (workspace.datasets / config.data.dataset / "index.json").exists()
        used.append(workspace.root)
        yield 1.5

    monkeypatch.setattr(engine, "engine_epochs", noted)
    for name in ("lite0_frozen_cold", "lite0_frozen_warm"):
        made = sides(BY_NAME[name], TINY, bench_workspace)
        assert made.engine is not None
        side = made.engine()
        assert [side(), side()] == [1.5, 1.5]
    assert len({*used[:2], bench_workspace.root}) == 3 and not any(root.exists() for root in used[:2])
    assert used[2:] == [bench_workspace.root] * 2


@pytest.mark.parametrize("name", ["lite0_frozen_cold", "lite0_frozen_warm"])
def test_the_limit_of_a_frozen_network_learns_its_head_only(bench_workspace, name):
    made = sides(BY_NAME[name], TINY, bench_workspace)
    assert made.photos == 2 * (24 + 8)
    assert made.limit(Observed())() > 0


def test_files_read_by_hand_are_the_photos_of_the_course(bench_workspace):
    bench = Bench(BY_NAME["lite0_frozen_cold"], TINY, bench_workspace)
    course_batches = list(bench.loader("val"))
    stats = build.normalization(bench.config.data, bench.config.model)
    samples = bench.loader("val").dataset.samples
    for (ours, ours_of), (theirs, theirs_of) in zip(
        limit.from_files(samples, 128, stats, 64, Observed().passes), course_batches, strict=True
    ):
        assert ours.shape == theirs.shape and torch.equal(ours_of, theirs_of)
        assert (ours - theirs).abs().mean() < 0.05
