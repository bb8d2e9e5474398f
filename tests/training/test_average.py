"""The averaged weights: a hand calculation, what is left alone, and that everything is put back."""

import copy

import pytest
import torch
from torch import nn

from catfish_core.training.average import Average, changing, decay_after


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_the_average_is_that_of_a_hand_calculation():
    """One weight, 1 at first, then 2, 4 and 8; the ramp gives 1/10, 2/11 and 3/12."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    average = Average(model, 0.9)
    expected = 1.0
    for weight, kept in [(2.0, 1 / 10), (4.0, 2 / 11), (8.0, 3 / 12)]:
        model.weight.data.fill_(weight)
        average.update()
        expected = kept * expected + (1 - kept) * weight
    with average.applied():
        assert model.weight.item() == pytest.approx(expected, rel=1e-6)
    assert model.weight.item() == 8.0


def test_the_ramp_ends_at_the_chosen_decay():
    assert decay_after(0, 0.99) == pytest.approx(0.1)
    assert decay_after(90, 0.99) == pytest.approx(0.91)
    assert decay_after(5000, 0.99) == 0.99 == decay_after(10**9, 0.99)
    assert decay_after(0, 0.05) == 0.05


def test_it_is_the_average_of_torch_at_the_same_decay():
    model = network()
    ours = Average(model, 0.05)  # below the ramp from the first update on
    theirs = torch.optim.swa_utils.AveragedModel(
        copy.deepcopy(model), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.05), use_buffers=True
    )
    theirs.n_averaged += 1  # ours starts from the first weights, too
    for _ in range(5):
        model(torch.randn(6, 3))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ours.update()
        theirs.update_parameters(model)
    with ours.applied():
        for name, tensor in theirs.module.state_dict().items():
            if tensor.is_floating_point():
                assert torch.allclose(model.state_dict()[name], tensor, atol=1e-6), name


def test_statistics_are_averaged_and_counters_copied():
    model = network()
    average = Average(model, 0.9)
    model(torch.randn(6, 3) + 5)
    average.update()
    mean = model[1].running_mean.clone()
    with average.applied():
        assert torch.allclose(model[1].running_mean, 0.9 * mean)  # it began at 0, and the first update keeps 1/10
        assert model[1].num_batches_tracked == 1


def test_everything_is_put_back_to_the_last_bit_even_after_an_error():
    model = network()
    average = Average(model, 0.9)
    with torch.no_grad():
        for tensor in (*model.parameters(), model[1].running_mean):
            tensor.add_(torch.randn_like(tensor))
    average.update()
    before = copy.deepcopy(model.state_dict())
    places = [p.data_ptr() for p in model.parameters()]
    with pytest.raises(ZeroDivisionError), average.applied():
        assert not torch.equal(model[0].weight, before["0.weight"])
        raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == places  # an optimizer or a compiled form still finds them


def test_only_what_is_trained_is_averaged_and_what_is_thawed_is_taken_in():
    model = network()
    model[0].requires_grad_(False)
    model[1].requires_grad_(False)
    average = Average(model, 0.9)
    assert set(average.state_dict()["mean"]) == {"2.weight", "2.bias"} == changing(model)
    average.update()
    model[1].requires_grad_(True)
    average.follow(model)
    assert "1.running_var" in average.state_dict()["mean"] and "0.weight" not in average.state_dict()["mean"]
    model[1].weight.data.fill_(3.0)
    average.update()
    with average.applied():
        assert torch.allclose(model[1].weight, torch.full((4,), 2 / 11 * 1.0 + 9 / 11 * 3.0))


def test_it_goes_on_from_what_was_kept():
    model = network()
    average = Average(model, 0.9)
    model[0].weight.data.add_(1)
    average.update()
    kept = copy.deepcopy(average.state_dict())
    other = network()
    again = Average(other, 0.9)
    again.load_state_dict(kept, other)
    assert again.updates == 1
    for name, mean in average.state_dict()["mean"].items():
        assert torch.equal(again.state_dict()["mean"][name], mean)


def test_the_average_of_another_network_is_refused():
    model = network()
    with pytest.raises((KeyError, RuntimeError)):
        Average(model, 0.9).load_state_dict({"updates": 1, "mean": {"strange": torch.zeros(1)}}, model)
