"""Readout, bottleneck and output layer by hand, and weights that are shared with an embedding."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from nmt.choices import ReadoutInput, ReadoutKind, TiedEmbeddings
from nmt.corpus.batching import collate
from nmt.model.output import ReadoutLayer
from nmt.training.checkpoint import load_checkpoint, save_checkpoint
from tests.checkpoints import SRC, content_of, info_of
from tests.commands import nmt, train_settings
from tests.models import MODEL, PAIRS, normal, tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from nmt.model.seq2seq import Seq2Seq

INPUTS = [normal(3, size, seed=size) for size in (4, 6, 5)]  # state, context, embedding
TIED = pytest.mark.parametrize("tied", [TiedEmbeddings.tgt, TiedEmbeddings.both])


def readout_of(kind: ReadoutKind, *, dim: int | None = 2, bottleneck: int | None = None) -> ReadoutLayer:
    layer = ReadoutLayer(kind, 15, dim=dim, bottleneck=bottleneck).double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=number))
    return layer


def z_of(layer: ReadoutLayer) -> Tensor:
    """Compute W_s state + W_c context + W_e embedding + b."""
    assert layer.linear is not None
    W, b = layer.linear.weight, layer.linear.bias
    state_N4, context_N6, embedding_N5 = INPUTS
    return state_N4 @ W[:, :4].t() + context_N6 @ W[:, 4:10].t() + embedding_N5 @ W[:, 10:].t() + b


@torch.no_grad()
def test_readouts_by_hand() -> None:
    linear, tanh, maxout = (readout_of(kind) for kind in (ReadoutKind.linear, ReadoutKind.tanh, ReadoutKind.maxout))
    torch.testing.assert_close(linear.over()(INPUTS), z_of(linear), rtol=0, atol=1e-12)
    torch.testing.assert_close(tanh.over()(INPUTS), torch.tanh(z_of(tanh)), rtol=0, atol=1e-12)
    z_N4 = z_of(maxout)
    expected = [[max(z_4[0], z_4[1]), max(z_4[2], z_4[3])] for z_4 in z_N4.tolist()]
    torch.testing.assert_close(maxout.over()(INPUTS), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert [layer.output_dim for layer in (linear, tanh, maxout)] == [2, 2, 2]


@torch.no_grad()
def test_a_readout_without_size_is_its_input() -> None:
    bare = readout_of(ReadoutKind.linear, dim=None)
    assert torch.equal(bare.over()(INPUTS), torch.cat(INPUTS, dim=1))
    assert bare.output_dim == 15
    assert not list(bare.parameters())


@pytest.mark.parametrize("dim", [None, 2])
@torch.no_grad()
def test_a_bottleneck_is_a_map_without_bias(dim: int | None) -> None:
    layer = readout_of(ReadoutKind.linear, dim=dim, bottleneck=3)
    assert layer.bottleneck is not None
    r_NX = torch.cat(INPUTS, dim=1) if dim is None else z_of(layer)
    torch.testing.assert_close(layer.over()(INPUTS), r_NX @ layer.bottleneck.weight.t(), rtol=0, atol=1e-12)
    assert layer.output_dim == 3


# --- tied weights ---


def tied_model(tied: TiedEmbeddings, **parts: Any) -> Seq2Seq:
    config = replace(MODEL, tied_embeddings=tied, output_bottleneck=5, **parts)
    size = SRC.vocab_size
    return tiny_model(config, src_vocab_size=size, tgt_vocab_size=size, dtype=torch.float32).eval()


def assert_shared(model: Seq2Seq, tied: TiedEmbeddings) -> None:
    """A change of the output layer's weights is one of the embeddings."""
    assert model.decoder.output.weight is model.decoder.embedding.weight
    assert (model.decoder.output.weight is model.encoder.embedding.weight) == (tied == TiedEmbeddings.both)
    with torch.no_grad():
        model.decoder.output.weight[7] = 3.0
    token_1 = torch.tensor([7])
    assert torch.equal(
        model.decoder.embedding(token_1), torch.full((1, 5), 3.0, dtype=model.decoder.output.weight.dtype)
    )
    assert bool((model.encoder.embedding(token_1) == 3.0).all()) == (tied == TiedEmbeddings.both)


@TIED
def test_a_tied_weight_is_one_parameter(tied: TiedEmbeddings) -> None:
    untied = tied_model(TiedEmbeddings.none)
    model = tied_model(tied)
    num_shared = 1 if tied == TiedEmbeddings.tgt else 2
    assert untied.num_parameters() - model.num_parameters() == num_shared * SRC.vocab_size * 5
    assert_shared(model, tied)


@TIED
@torch.no_grad()
def test_logits_are_the_embeddings_times_the_readout(tied: TiedEmbeddings) -> None:
    model, hidden_N5 = tied_model(tied), normal(3, 5, dtype=torch.float32)
    expected_NV = hidden_N5 @ model.decoder.embedding.weight.t() + model.decoder.output.bias
    torch.testing.assert_close(model.decoder.output(hidden_N5), expected_NV)


@TIED
def test_the_gradient_of_a_tied_weight_is_the_sum_over_its_uses(tied: TiedEmbeddings) -> None:
    model, untied = tied_model(tied), tied_model(TiedEmbeddings.none)
    values = model.state_dict()
    values["decoder.embedding.weight"] = values["decoder.output.weight"] = model.decoder.output.weight.detach()
    untied.load_state_dict(values)
    # within the joint vocabulary, whose ids are those of the tiny pairs
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS])
    for one in (model, untied):
        one.decoder.output(one(batch)).square().sum().backward()
    shared = [untied.decoder.output.weight.grad, untied.decoder.embedding.weight.grad]
    if tied == TiedEmbeddings.both:
        shared.append(untied.encoder.embedding.weight.grad)
    expected_VE = torch.stack([gradient for gradient in shared if gradient is not None]).sum(0)
    assert len(shared) == (3 if tied == TiedEmbeddings.both else 2)
    torch.testing.assert_close(model.decoder.output.weight.grad, expected_VE)


@TIED
def test_copies_and_conversions_keep_weights_tied(tied: TiedEmbeddings) -> None:
    model = tied_model(tied)
    before_VE = model.decoder.output.weight.detach().clone()
    for changed in (copy.deepcopy(model), copy.deepcopy(model).to(torch.bfloat16), copy.deepcopy(model).double()):
        assert_shared(changed, tied)
    assert torch.equal(model.decoder.output.weight, before_VE)
    loaded = tied_model(tied)
    loaded.load_state_dict(copy.deepcopy(model).state_dict(), assign=True)
    assert_shared(loaded, tied)


@TIED
@pytest.mark.usefixtures("no_fsync")
def test_a_checkpoint_stores_a_tied_weight_once(tied: TiedEmbeddings, tmp_path: Path) -> None:
    model = tied_model(tied)
    content = replace(
        content_of(info_of(7)),
        parameters=model.state_dict(),
        config_yaml=json.dumps({"seed": 1, "model": asdict(model.config)}),
        tgt_subword=SRC,
        info=replace(info_of(7), tgt_subword_fingerprint=SRC.fingerprint),
    )
    saved = save_checkpoint(tmp_path, content)
    stored = load_file(saved / "model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == model.num_parameters()
    loaded = load_checkpoint(saved).model
    assert torch.equal(loaded.decoder.output.weight, model.decoder.output.weight)
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS])
    torch.testing.assert_close(loaded(batch), model(batch), rtol=0, atol=1e-6)
    assert_shared(loaded, tied)


def test_a_resumed_run_of_a_tied_model_is_the_uninterrupted_one(digits: Path, tmp_path: Path) -> None:
    model = [
        "model.tied_embeddings=both",
        "model.readout=tanh",
        "model.attention=additive",
        "model.input_feeding=true",
        f"model.readout_input={ReadoutInput.state_context}",
        "model.dropout_mask=sentence",
        "model.dropout_recurrent=0.2",
        "subword.joint=true",
    ]

    def train(run_dir: Path, *settings: str) -> dict[str, Tensor]:
        done = nmt("train", *train_settings(digits), *model, f"run_dir={run_dir}", *settings)
        assert done.status == 0, done.err
        return load_file(run_dir / "checkpoints" / "last" / "model.safetensors")

    expected = train(tmp_path / "whole", "training.max_updates=7")
    train(tmp_path / "cut", "training.max_updates=4")
    found = train(tmp_path / "cut", "training.max_updates=7", "resume=true")
    assert "decoder.output.weight" not in found
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
