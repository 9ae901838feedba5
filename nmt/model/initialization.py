"""The initial values of a model's parameters.

    uniform     in ±init_range, every parameter (Sutskever et al. 2014, §3.4)
    xavier      uniform in ±√(6 / (inputs + outputs)), gate by gate (Glorot & Bengio 2010, equation 16); embeddings
                Gaussian with standard deviation 1/√E; biases 0
    gaussian    with standard deviation init_std (Bahdanau et al. 2015, §B.1); biases 0

`init_recurrent=orthogonal` makes the recurrent weights of each gate an orthogonal matrix (Saxe et al. 2014; Bahdanau et
al. 2015, §B.1). Gains of layer normalization are 1.
"""

import math

import torch
from torch import Tensor, nn

from nmt.choices import Initializer, RecurrentInitializer
from nmt.config import ModelConfig
from nmt.model.cell import CELLS
from nmt.model.layer import DirectedLayer
from nmt.model.recurrent import RecurrentLayer
from nmt.model.seq2seq import Seq2Seq

HIGHWAY_BIAS = -1.0  # a new layer mostly passes its input on (Srivastava, Greff & Schmidhuber 2015, §2.2)


@torch.no_grad()
def initialize(model: Seq2Seq, *, generator: torch.Generator) -> None:
    """Set the value of every parameter.

    `forget_bias` is then added to the forget gates' input biases (Jozefowicz et al. 2015, §2.2); the paper has none.
    """
    config = model.config
    for name, parameter in model.named_parameters():
        _set(name.rpartition(".")[2], parameter, config, generator=generator)
    for layer in model.layers():
        if config.init_recurrent == RecurrentInitializer.orthogonal:
            _make_orthogonal(layer, generator=generator)
        if CELLS[config.cell].has_forget_gate:
            layer.cell_weights.bias_ih_G[layer.hidden_dim : 2 * layer.hidden_dim].add_(config.forget_bias)
    for module in model.modules():
        if isinstance(module, RecurrentLayer) and module.transform is not None:
            module.transform.bias.add_(HIGHWAY_BIAS)
    for embedding in model.modules():
        if isinstance(embedding, nn.Embedding) and config.init == Initializer.xavier:
            embedding.weight.normal_(0.0, 1 / math.sqrt(embedding.embedding_dim), generator=generator)


def _set(name: str, parameter: Tensor, config: ModelConfig, *, generator: torch.Generator) -> None:
    """Set a parameter by the last part of its name."""
    if name.startswith("gain_"):
        parameter.fill_(1.0)
    elif config.init == Initializer.uniform:
        parameter.uniform_(-config.init_range, config.init_range, generator=generator)
    elif parameter.dim() == 1 and name != "vector":
        parameter.zero_()
    elif config.init == Initializer.gaussian:
        parameter.normal_(0.0, config.init_std, generator=generator)
    else:
        outputs, inputs = parameter.shape if parameter.dim() == 2 else (1, len(parameter))
        if name.startswith("weight_"):  # of all gates, each a matrix of its own
            outputs = _units(parameter, config)
        bound = math.sqrt(6 / (inputs + outputs))
        parameter.uniform_(-bound, bound, generator=generator)


def _units(weight_GX: Tensor, config: ModelConfig) -> int:
    return len(weight_GX) // CELLS[config.cell].num_gates


def _make_orthogonal(layer: DirectedLayer, *, generator: torch.Generator) -> None:
    for gate_HH in torch.split(layer.cell_weights.weight_hh_GH, layer.hidden_dim):
        nn.init.orthogonal_(gate_HH, generator=generator)
