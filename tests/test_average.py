"""The moving average of parameters: its equation by hand, and what a model holds during validation."""

import pytest
import torch
from torch import nn

from nmt.training.average import ParameterAverage


def model_of(value: float) -> nn.Linear:
    """Make a model of one weight and no bias."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    return set_to(model, value)


def set_to(model: nn.Linear, value: float) -> nn.Linear:
    nn.init.constant_(model.weight, value)
    return model


def averages(decay: float, values: list[float], *, start: float = 100.0) -> list[float]:
    """Return the average after each update, whose parameter is one of the values."""
    model, found = model_of(start), []
    average = ParameterAverage(model, decay)
    for update, value in enumerate(values, start=1):
        set_to(model, value)
        average.add(update)
        assert model.weight.item() == value
        with average.in_model():
            found.append(model.weight.item())
    return found


def test_the_average_follows_its_equation() -> None:
    # d is 0, then 1/10, then 0.15, which is less than 2/11
    second = 0.1 * 4.0 + 0.9 * 2.0
    third = 0.15 * second + 0.85 * 3.0
    assert averages(0.15, [4.0, 2.0, 3.0]) == pytest.approx([4.0, second, third], rel=1e-12)


def test_the_average_begins_after_the_first_update() -> None:
    assert averages(0.999, [4.0], start=1e9) == [4.0]


def test_until_the_decay_is_reached_the_last_ninth_counts() -> None:
    [*_, last] = averages(0.9999, [0.0] * 800 + [1.0] * 100)
    assert last == pytest.approx(1 - (8 / 9) ** 9, abs=0.01)  # d is about u^9 / (u + 1)^9
    [*_, last] = averages(0.9, [0.0] * 800 + [1.0] * 100)
    assert last == pytest.approx(1 - 0.9**100, rel=1e-9)


def test_the_model_has_the_averages_during_a_block_and_then_its_parameters() -> None:
    model = nn.Linear(3, 2)
    average = ParameterAverage(model, 0.9)
    average.add(1)
    first = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    now = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    places = [parameter.data_ptr() for parameter in model.parameters()]
    with average.in_model() as of_training:
        assert all(torch.equal(one, other) for one, other in zip(model.parameters(), first, strict=True))
        assert of_training.keys() == now.keys()
        assert all(torch.equal(of_training[name], tensor) for name, tensor in now.items())
    assert all(torch.equal(parameter, now[name]) for name, parameter in model.named_parameters())
    assert [parameter.data_ptr() for parameter in model.parameters()] == places
    with average.in_model():
        assert all(torch.equal(one, other) for one, other in zip(model.parameters(), first, strict=True))


def test_an_error_leaves_the_parameters_of_training_in_the_model() -> None:
    model = model_of(2.0)
    average = ParameterAverage(model, 0.9)

    def fail() -> None:
        with average.in_model():
            raise KeyboardInterrupt

    set_to(model, 5.0)
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert model.weight.item() == 5.0


def test_a_restored_average_goes_on_bit_by_bit() -> None:
    model, average = _three_updates()
    other = nn.Linear(3, 2)
    restored = ParameterAverage(other, 0.9)
    with average.in_model() as of_training:
        other.load_state_dict(model.state_dict())
        restored.restore(of_training)
    for update in (4, 5):
        for one, same in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, same)
            with torch.no_grad():
                one.mul_(0.5)
                same.mul_(0.5)
        average.add(update)
        restored.add(update)
    with average.in_model(), restored.in_model():
        for one, same in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, same)


def _three_updates() -> tuple[nn.Linear, ParameterAverage]:
    model = nn.Linear(3, 2)
    average = ParameterAverage(model, 0.9)
    for update in (1, 2, 3):
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        average.add(update)
    return model, average


def test_a_tied_parameter_is_averaged_once() -> None:
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    layers[1].weight = layers[0].weight
    model = nn.Sequential(*layers)
    average = ParameterAverage(model, 0.5)
    assert average.num_bytes == 4 * (4 + 2 + 2)
    average.add(1)
    nn.init.zeros_(layers[0].weight)
    with average.in_model() as of_training:
        assert layers[0].weight is layers[1].weight
        assert layers[0].weight.any()
        assert of_training.keys() == dict(model.named_parameters()).keys()


def test_without_a_decay_nothing_is_stored_or_changed() -> None:
    model = model_of(2.0)
    average = ParameterAverage(model, 0.0)
    set_to(model, 5.0)
    average.add(1)
    with average.in_model() as of_training:
        assert model.weight.item() == 5.0
        assert of_training == {}
    average.restore({})
    assert (model.weight.item(), average.num_bytes) == (5.0, 0)
