"""Dropout: how much is dropped, how the rest is scaled, and that only the global generator decides."""

import pytest
import torch

from nmt.choices import DropoutMask
from nmt.model.dropout import Noise, dropout

ONES = torch.ones(1000, 403, dtype=torch.float64)  # not a multiple of the four values that share a random number


def test_nothing_is_dropped_outside_training_or_at_probability_zero() -> None:
    assert dropout(ONES, 0.5, training=False) is ONES
    assert torch.equal(dropout(ONES, 0.0, training=True), ONES)


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_the_share_dropped_and_the_expectation(probability: float) -> None:
    torch.manual_seed(1)
    values = dropout(ONES, probability, training=True)
    kept = values[values != 0]
    assert 1 - kept.numel() / values.numel() == pytest.approx(probability, abs=0.005)
    assert sorted(set(kept.tolist())) == pytest.approx([1 / (1 - probability)], rel=2e-4)
    # the values of one random number are independent
    fallen_X4 = (values.flatten()[: values.numel() // 4 * 4].view(-1, 4) == 0).double()
    correlation_44 = torch.corrcoef(fallen_X4.t())
    assert float((correlation_44 - torch.eye(4)).abs().max()) < 0.02
    torch.testing.assert_close(fallen_X4.mean(0), torch.full((4,), probability).double(), atol=0.01, rtol=0)


def test_the_global_generator_decides_what_is_dropped() -> None:
    torch.manual_seed(3)
    first, second = (dropout(ONES, 0.3, training=True) for _ in range(2))
    torch.manual_seed(3)
    assert torch.equal(dropout(ONES, 0.3, training=True), first)
    assert not torch.equal(first, second)


def test_gradients_pass_exactly_if_values_pass() -> None:
    values = torch.randn(50, 40, requires_grad=True)
    torch.manual_seed(1)
    result = dropout(values, 0.4, training=True)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    torch.testing.assert_close(values.grad * values, result)


def test_on_a_cpu_a_probability_is_a_multiple_of_1_in_65536() -> None:
    torch.manual_seed(1)
    # 0.1 · 65536 = 6553.6, so that 6554 of 65536 levels are dropped
    kept = dropout(ONES, 0.1, training=True)
    assert set(kept.flatten().tolist()) == {0.0, 65536 / (65536 - 6554)}


def test_at_probability_one_everything_is_dropped() -> None:
    torch.manual_seed(1)
    assert not dropout(ONES, 1.0, training=True).any()


def test_a_probability_close_to_one_keeps_one_level() -> None:
    torch.manual_seed(1)
    assert set(dropout(ONES, 0.999999, training=True).flatten().tolist()) == {0.0, 65536.0}


def test_the_smallest_probabilities_are_exact() -> None:
    torch.manual_seed(1)
    num_fallen = int((dropout(torch.ones(2**22), 2 / 65536, training=True) == 0).sum())
    assert abs(num_fallen - 128) < 4 * 128**0.5  # 128 are expected of 4,194,304; one level more would make 192


def test_four_values_share_64_random_bits_and_none_are_wasted() -> None:
    torch.manual_seed(3)
    torch.empty(2, dtype=torch.int64).random_(-(2**63), None)
    expected = torch.get_rng_state()
    torch.manual_seed(3)
    dropout(torch.ones(7), 0.5, training=True)
    assert torch.equal(torch.get_rng_state(), expected)
    dropout(torch.ones(7), 0.0, training=True)
    dropout(torch.ones(7), 0.5, training=False)
    assert torch.equal(torch.get_rng_state(), expected)


# --- the dropout of a pass ---


def test_each_value_of_a_pass_is_chosen_by_itself() -> None:
    torch.manual_seed(1)
    noise = Noise(DropoutMask.value)
    first, second = noise.drop("place", ONES, 0.5), noise.drop("place", ONES, 0.5)
    torch.manual_seed(1)
    assert torch.equal(first, dropout(ONES, 0.5, training=True))
    assert not torch.equal(first, second)


def test_a_sentence_of_a_pass_has_one_mask_at_all_positions_of_a_place() -> None:
    torch.manual_seed(1)
    noise = Noise(DropoutMask.sentence)
    ones_TBH = torch.ones(7, 3, 200)
    dropped_TBH = noise.drop("place", ones_TBH, 0.5)
    assert set(dropped_TBH.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped_TBH, dropped_TBH[:1].expand(7, 3, 200))
    assert not torch.equal(dropped_TBH[0, 0], dropped_TBH[0, 1])
    # single steps and packed positions get it, too
    assert torch.equal(noise.drop("place", ones_TBH[3], 0.5), dropped_TBH[0])
    sentence_P = torch.tensor([0, 1, 2, 0, 1, 0])
    packed_PH = noise.drop_packed("place", torch.ones(6, 200), 0.5, batch_sizes=[3, 2, 1])
    assert torch.equal(packed_PH, dropped_TBH[0, sentence_P])
    # other places and other passes have their own
    assert not torch.equal(noise.drop("other", ones_TBH, 0.5), dropped_TBH)
    assert not torch.equal(Noise(DropoutMask.sentence).drop("place", ones_TBH, 0.5), dropped_TBH)


@pytest.mark.parametrize("kind", list(DropoutMask))
def test_a_rate_of_zero_drops_nothing_and_takes_no_random_numbers(kind: DropoutMask) -> None:
    before = torch.get_rng_state()
    assert Noise(kind).drop("place", ONES, 0.0) is ONES
    assert Noise(kind).drop_words(ONES, 0.0) is ONES
    assert torch.equal(torch.get_rng_state(), before)


def test_words_are_dropped_whole() -> None:
    torch.manual_seed(1)
    dropped_TBE = Noise(DropoutMask.value).drop_words(torch.ones(50, 40, 6), 0.25)
    assert torch.equal(dropped_TBE, dropped_TBE[:, :, :1].expand(50, 40, 6))
    assert float((dropped_TBE[:, :, 0] == 0).double().mean()) == pytest.approx(0.25, abs=0.03)
    assert sorted(set(dropped_TBE.flatten().tolist())) == pytest.approx([0.0, 4 / 3], rel=1e-4)
    # each position of each sentence by itself
    assert not torch.equal(dropped_TBE[0], dropped_TBE[1])
    assert not torch.equal(dropped_TBE[:, 0], dropped_TBE[:, 1])
