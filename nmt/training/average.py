"""The moving average of a model's parameters, which often translates better than the parameters themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ParameterAverage:
    """The exponential moving average of parameters over the updates u = 1, 2, …:

        average ← d · average + (1 - d) · parameters,    d = min(decay, (u - 1) / (u + 8))

    d rises from 0, so that the average begins with the parameters after the first update and follows training while it
    is fast: until the decay is reached, about the last ninth of the updates counts. Marian and TensorFlow use the same
    (1 + n) / (10 + n), where n = 0 includes a tenth of the initial parameters; here u = 2 is n = 0.

    With a decay of 0 the average is the parameters themselves: nothing is stored, and no method has an effect.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters()) if decay else {}
        self._averages = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @property
    def num_bytes(self) -> int:
        return sum(average.nbytes for average in self._averages.values())

    @torch.no_grad()
    def add(self, update: int) -> None:
        """Add the parameters after an update; 1 is the first."""
        if self._averages:
            decay = min(self.decay, (update - 1) / (update + 8))
            torch._foreach_lerp_([*self._averages.values()], [*self._parameters.values()], 1 - decay)

    @contextmanager
    def in_model(self) -> Iterator[Mapping[str, Tensor]]:
        """Let the model have the averages during a block.

        Yields:
            The parameters of training by name; empty with a decay of 0.
        """
        self._swap()
        try:
            yield self._averages
        finally:
            self._swap()

    @torch.no_grad()
    def restore(self, parameters: Mapping[str, Tensor]) -> None:
        """Take the averages from the model, as a checkpoint stores them, and give it the parameters of training."""
        for name, average in self._averages.items():
            average.copy_(parameters[name])
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange values, not tensors: layers may have their own views of the parameters."""
        for name, parameter in self._parameters.items():
            average = self._averages[name]
            value = parameter.clone()
            parameter.copy_(average)
            average.copy_(value)
