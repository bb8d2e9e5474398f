"""How a run is computed: the formats chosen, batches in parts, memory that runs out and is kept."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from catfish_core import config as configs
from catfish_core.config import ComputeConfig, OptimizerConfig, RunConfig, TrainingConfig
from catfish_core.errors import ConfigError, TrainingError
from catfish_core.events import BatchEnd, EpochEnd, MemorySaved
from catfish_core.models.simple import SimpleCNN, SimpleNet
from catfish_core.training import checkpoint, compute, loop, optim
from catfish_core.training.compute import Compute, decide, parts
from catfish_core.training.loop import TrainState, fit

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))


class InMemory:
    """Batches that lie in memory, in one order."""

    def __init__(self, images, labels, size):
        self.pairs = list(zip(images.split(size), labels.split(size), strict=True))

    def __len__(self):
        return len(self.pairs)

    def __iter__(self):
        return self.epoch(0)

    def epoch(self, n, first=0):
        return iter(self.pairs[first:])


def photos(count=14):
    random = torch.Generator().manual_seed(3)
    labels = torch.arange(count) % 2
    return torch.randn(count, 3, 8, 8, generator=random) + labels.view(-1, 1, 1, 1), labels


def plain_network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def trained(model, how=Compute(), micro_batch=None, epochs=2, size=7, optimizer="sgd"):  # noqa: B008 - frozen
    """State and events of a short training of `model` on 14 photos."""
    config = RunConfig(
        optimizer=OptimizerConfig(name=optimizer, lr=0.05), training=TrainingConfig(epochs=epochs, batch_size=size)
    )
    torch.manual_seed(0)
    model = how.placed(model, CPU)
    steps = optim.optimizer(model, config.optimizer)
    batches = InMemory(*photos(), size)
    state = TrainState(model, steps, optim.Schedule(steps, config, len(batches)), CPU, how, micro_batch=micro_batch)
    return state, list(fit(state, batches, batches, config))


def losses(events):
    return [e.loss for e in events if isinstance(e, BatchEnd)]


def network(seed=1):
    torch.manual_seed(seed)
    return plain_network()


class Greedy(nn.Module):
    """Runs out of memory for more than `most` photos at once, as CUDA would say it; learning only."""

    def __init__(self, most, error=None):
        super().__init__()
        self.inner, self.most, self.calls = network(), most, 0
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def forward(self, x):
        self.calls += 1
        if self.training and len(x) > self.most:
            raise self.error
        return self.inner(x)


# -- choosing


def test_a_configuration_of_yesterday_still_parses():
    old = RunConfig().model_dump(mode="json")
    del old["compute"]
    assert configs.parse(old) == RunConfig()


def test_fp16_wants_an_nvidia_card_and_says_so():
    with pytest.raises(ConfigError, match="fp16 needs an NVIDIA card"):
        configs.parse({"compute": {"precision": "fp16"}, "training": {"device": "cpu"}})
    with pytest.raises(ConfigError, match="fp16 needs an NVIDIA card.*cpu"):
        decide(ComputeConfig(precision="fp16"), CPU, SimpleCNN(2))
    assert decide(ComputeConfig(precision="fp16"), CUDA, SimpleCNN(2)).precision == "fp16"


def depthwise(trained=True):
    return nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Flatten(), nn.Linear(3, 2)).requires_grad_(trained)


@pytest.mark.parametrize(
    ("bf16", "model", "words"),
    [
        (True, SimpleCNN(2), "bf16, channels-last"),
        (False, SimpleCNN(2), "fp32, channels-last"),
        (True, SimpleNet(2, 8), "fp32"),
        (True, depthwise(), "fp32, channels-last"),
        (True, depthwise(trained=False), "bf16, channels-last"),
    ],
    ids=["cnn", "old cpu", "no convolutions", "depthwise trained", "depthwise frozen"],
)
def test_auto_on_a_cpu_is_known_and_said(monkeypatch, bf16, model, words):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bf16, "amx_bf16": False})
    assert decide(ComputeConfig(), CPU, model).words == words


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_cuda_takes_the_half_precision_it_has(monkeypatch, bf16, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert decide(ComputeConfig(), CUDA, SimpleCNN(2)) == Compute(precision, channels_last=True)


def test_mps_stays_in_float32_and_wishes_are_followed():
    assert decide(ComputeConfig(), MPS, SimpleCNN(2)) == Compute()
    wish = ComputeConfig(precision="bf16", channels_last="off")
    assert decide(wish, CPU, SimpleCNN(2)) == Compute("bf16")
    assert decide(ComputeConfig(precision="fp32", channels_last="on"), CPU, SimpleNet(2, 8)).channels_last


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(compute.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="no C\\+\\+ compiler"):
        decide(ComputeConfig(compile=True), CPU, SimpleCNN(2))


def test_a_compiled_learner_shares_its_weights(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda part, dynamic: nn.Sequential(part))
    model = network()
    assert Compute(compile=True).learner(model)[0] is model and Compute().learner(model) is model
    assert Compute(compile=True).words == "fp32, compiled"


# -- formats


@pytest.mark.parametrize("how", [Compute(), Compute("bf16", channels_last=True)], ids=["fp32", "bf16"])
def test_two_equal_runs_are_equal_to_the_last_digit(how):
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(trained(SimpleCNN(2), how, optimizer="adam"))
    (first, one), (second, two) = states
    assert losses(one) == losses(two)
    for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_bf16_and_channels_last_learn_what_fp32_learns():
    exact = losses(trained(network(), epochs=8)[1])
    assert losses(trained(network(), Compute(channels_last=True), epochs=8)[1]) == pytest.approx(exact, abs=1e-5)
    assert losses(trained(network(), Compute("bf16", True), epochs=8)[1]) == pytest.approx(exact, abs=0.05)


def test_the_loss_is_taken_in_float32():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(192, 2)

        def forward(self, x):
            self.dtype = self.layer(x.flatten(1)).dtype
            return self.layer(x.flatten(1))

    seen = []
    model, (images, labels) = Half(), photos()
    state, _ = trained(model, Compute("bf16"))
    loop._accumulated(state, images, labels, lambda logits, y: seen.append(logits.dtype) or logits.sum(), 1)
    assert model.dtype == torch.bfloat16 and seen == [torch.float32]


def test_a_resumed_run_in_bf16_equals_the_uninterrupted_one(tmp_path):
    how, config = Compute("bf16", True), RunConfig(training=TrainingConfig(epochs=3))

    def begin():
        model = how.placed(network(), CPU)
        steps = optim.optimizer(model, config.optimizer)
        return TrainState(model, steps, optim.Schedule(steps, config, 2), CPU, how)

    batches = InMemory(*photos(), 7)
    whole = losses(fit(begin(), batches, batches, config))
    first, second = begin(), begin()
    for event in fit(first, batches, batches, config):
        if isinstance(event, EpochEnd):
            checkpoint.save(tmp_path / "last.pt", first)
            break
    checkpoint.load(tmp_path / "last.pt", second)
    assert losses(fit(second, batches, batches, config)) == whole[2:]


def test_losses_read_one_step_late_are_the_same_in_the_same_order(monkeypatch):
    """What CUDA does, on the CPU."""
    directly = trained(network())[1]
    monkeypatch.setitem(loop.LATE, "cpu", 1)
    late = trained(network())[1]
    facts = [
        [(type(e), e.epoch, getattr(e, "step", None), getattr(e, "loss", None)) for e in said]
        for said in (directly, late)
    ]
    assert facts[0] == facts[1]
    ends = [
        [(e.train_loss, e.val_loss, e.val_accuracy) for e in s if isinstance(e, EpochEnd)] for s in (directly, late)
    ]
    assert ends[0] == ends[1]


# -- batches in parts


@pytest.mark.parametrize(("count", "largest", "least", "number"), [
    (7, None, 1, 1), (7, 7, 1, 1), (7, 4, 1, 2), (7, 3, 1, 3), (7, 1, 1, 7), (3, 2, 2, 1), (5, 2, 2, 2), (1, 1, 2, 1),
])  # fmt: skip
def test_parts_are_small_enough_and_never_lonely(count, largest, least, number):
    assert parts(count, largest, least) == number
    sizes = [len(p) for p in torch.zeros(count).tensor_split(number)]
    assert min(sizes) >= min(least, count) and sum(sizes) == count


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(micro_batch):
    whole, told = trained(network())
    split, told_split = trained(network(), micro_batch=micro_batch)
    assert losses(told_split) == pytest.approx(losses(told), abs=1e-6)
    for a, b in zip(whole.model.state_dict().values(), split.model.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_trained_batchnorm_never_gets_one_photo_alone():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, 2))
    _, events = trained(model, micro_batch=1)
    assert len(losses(events)) == 4


# -- memory


@pytest.mark.parametrize("error", [None, MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_halves_the_parts_and_keeps_the_step(error):
    _, plain = trained(network())
    state, events = trained(Greedy(2, error))
    saved = [e for e in events if isinstance(e, MemorySaved)]
    assert [e.micro_batch for e in saved] == [4, 2] and all((e.epoch, e.step) == (0, 0) for e in saved)
    assert state.micro_batch == 2
    assert losses(events) == pytest.approx(losses(plain), abs=1e-6)


def test_not_enough_memory_for_one_photo_is_said_in_a_sentence():
    with pytest.raises(TrainingError, match="not enough memory"):
        trained(Greedy(0))


def test_other_faults_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(RuntimeError, match="shapes"):
        trained(Greedy(2, RuntimeError("shapes do not match")))


def test_a_resumed_run_goes_on_with_the_smaller_parts(tmp_path):
    state, _ = trained(Greedy(2))
    checkpoint.save(tmp_path / "last.pt", state)
    other, _ = trained(Greedy(9))
    checkpoint.load(tmp_path / "last.pt", other)
    assert other.micro_batch == 2


def test_a_checkpoint_from_before_there_were_parts_is_read(tmp_path):
    state, _ = trained(network())
    checkpoint.save(tmp_path / "last.pt", state)
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    del content["micro_batch"], content["scaler"]
    torch.save(content, tmp_path / "last.pt")
    fresh = copy.deepcopy(state)
    checkpoint.load(tmp_path / "last.pt", fresh)
    assert fresh.epoch == 2 and fresh.micro_batch is None


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), compute.threads(1):
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    with compute.threads(None):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_freed_buffers_are_kept_and_do_not_pile_up():
    """In a process of its own, as a worker: fewer pages are asked of the kernel, and no more memory is held."""
    program = (
        "import sys, resource, torch\n"
        "from catfish_core.training.compute import keep_memory\n"
        "if sys.argv[1] == 'keep': keep_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults()\n"
        "for _ in range(20): x = torch.ones(16_000_000); x = x + 1; del x\n"
        "print(faults() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    found = {}
    for how in ("keep", "not"):
        done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
        found[how] = [int(number) for number in done.stdout.split()]
    assert found["keep"][0] < found["not"][0] / 2
    # KiB: between the buffers of 64 MB that one turn needs there may be holes (two to eight of them were seen, after
    # 20 turns as after 100); the 40 that were freed would be 2,500,000.
    assert found["keep"][1] < found["not"][1] + 640_000
