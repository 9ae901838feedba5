"""A test marked no_tensors cannot use them unnoticed."""

import numpy as np
import pytest
import torch

from tests.hardware import NoTensors


def test_whatever_uses_a_tensor_is_noticed() -> None:
    layer, input_23, array = torch.nn.Linear(3, 3), torch.ones(2, 3), np.ones(2)
    for use in (
        lambda: torch.zeros(1),
        lambda: torch.tensor([1.0]),
        lambda: torch.from_numpy(array) * 2,
        lambda: input_23 + 1,
        lambda: layer(input_23),
        input_23.sum,
    ):
        with pytest.raises(pytest.fail.Exception, match="must not use tensors, but calls"), NoTensors():
            use()


@pytest.mark.no_tensors
def test_the_mark_is_enforced() -> None:
    with pytest.raises(pytest.fail.Exception, match="calls zeros: remove the mark"):
        torch.zeros(1)
    assert torch.device("cpu").type == "cpu"  # which is no tensor
