"""Settings of a model that contradict each other are refused, each in one line that says what to do."""

from dataclasses import replace
from typing import Any

import pytest

from nmt.choices import (
    AttentionPlacement,
    AttentionScore,
    Bidirectional,
    Bridge,
    CellKind,
    Connection,
    DropoutMask,
    ReadoutInput,
    ReadoutKind,
    TiedEmbeddings,
)
from nmt.config import ModelConfig
from nmt.errors import ConfigError
from nmt.model.checks import check_model, model_problems
from nmt.model.seq2seq import Seq2Seq
from tests.family import ATTENTION, BETWEEN, FAMILY, PRESETS, preset
from tests.models import MODEL

GENERAL = {"attention": AttentionScore.general, "readout_input": ReadoutInput.state_context}


@pytest.mark.parametrize("config", [MODEL, *map(preset, PRESETS), *FAMILY.values()], ids=lambda config: config.name)
def test_models_of_the_family_have_no_problems(config: ModelConfig) -> None:
    check_model(config)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"encoder_layers": 3},
            r"^model\.bridge=copy needs as many layers in the encoder as in the decoder, but they have 3 and 2: use "
            r"dense, mean, zero or learned$",
        ),
        (
            {"encoder_dim": 6},
            r"^model\.bridge=copy needs layers of equal sizes in encoder and decoder, but layer 1 has 6 and 7 units: "
            r"change model\.encoder_dim or decoder_dim, or use dense, mean, zero or learned$",
        ),
        ({"bidirectional": Bidirectional.first}, r"^model\.bridge=copy .* but layer 1 has 14 and 7 units: "),
        (
            {"bridge": Bridge.zero},
            r"^model\.bridge=zero needs model\.attention or model\.source_vector: otherwise the decoder knows nothing "
            r"of the source$",
        ),
        ({"bridge": Bridge.learned}, r"^model\.bridge=learned needs model\.attention or model\.source_vector: "),
        ({"attention_heads": 2}, r"^model\.attention_heads must be 1 without model\.attention, but is 2$"),
        ({"attention_dim": 6}, r"^model\.attention_dim must be null without model\.attention, but is 6$"),
        (
            {**BETWEEN, "decoder_layers": 1},
            r"^model\.attention_placement=between needs at least 2 layers in the decoder, but it has 1$",
        ),
        (
            {"attention": AttentionScore.general},
            r"^model\.attention_placement=after needs model\.readout_input=state_context, or nothing reads the "
            r"context$",
        ),
        (
            {**GENERAL, "attention": AttentionScore.dot, "encoder_dim": 5, "bridge": Bridge.mean},
            r"^model\.attention=dot needs states of equal sizes, but the encoder's outputs have 5 and the decoder's "
            r"states 7 units: use general$",
        ),
        (
            {**GENERAL, "attention_heads": 3, "encoder_dim": 6, "bridge": Bridge.mean},
            r"^model\.attention_heads must divide the size of the decoder's states, 7, but is 3$",
        ),
        (
            {**GENERAL, "attention_heads": 3, "hidden_dim": 6, "encoder_dim": 8, "bridge": Bridge.mean},
            r"^model\.attention_heads must divide the size of the encoder's outputs, 8, but is 3$",
        ),
        (
            {**GENERAL, "attention": AttentionScore.additive, "attention_heads": 7, "attention_dim": 8},
            r"^model\.attention_heads must divide the size of model\.attention_dim, 8, but is 7$",
        ),
        (
            {"readout_input": ReadoutInput.state_context},
            r"^model\.readout_input=state_context needs model\.attention or model\.source_vector: without them there "
            r"is no context$",
        ),
        (
            {**GENERAL, "readout_input": ReadoutInput.state_context_embedding},
            r"^model\.readout=linear with model\.readout_input=state_context_embedding needs model\.readout_dim$",
        ),
        (
            {"tied_embeddings": TiedEmbeddings.tgt},
            r"^model\.tied_embeddings=tgt needs a readout as large as a target embedding, but they have 7 and 5: set "
            r"model\.readout_dim or model\.output_bottleneck to 5$",
        ),
        (
            {"tied_embeddings": TiedEmbeddings.both, "readout_dim": 5, "src_embedding_dim": 4},
            r"^model\.tied_embeddings=both needs source and target embeddings of equal sizes, but they have 4 and 5$",
        ),
        (
            {"connection": Connection.residual, "connection_from": 3},
            r"^model\.connection=residual connects no layer: it needs layers whose input and output are equally large, "
            r"from number 3 on$",
        ),
        ({"connection": Connection.highway, "num_layers": 1}, r"^model\.connection=highway needs more than one layer$"),
        ({"input_skip": True, "num_layers": 1}, r"^model\.input_skip needs more than one layer$"),
        (
            {"dropout_recurrent": 0.1},
            r"^model\.dropout_recurrent must be 0 unless model\.dropout_mask is sentence$",
        ),
        (
            {"cell": CellKind.gru, "forget_bias": 1.0},
            r"^model\.forget_bias must be 0 for model\.cell=gru, which has no forget gate, but is 1\.0$",
        ),
    ],
)
def test_a_contradiction_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Seq2Seq(replace(MODEL, **parts), src_vocab_size=11, tgt_vocab_size=12)


@pytest.mark.parametrize(
    "parts",
    [
        {"dropout_recurrent": 0.1, "dropout_mask": DropoutMask.sentence},
        {"bridge": Bridge.zero, "source_vector": True},
        {**GENERAL, "attention": AttentionScore.dot},
        {**GENERAL, "attention_heads": 7},
        {**ATTENTION, "attention_placement": AttentionPlacement.before, "readout_input": ReadoutInput.state},
        {"readout": ReadoutKind.tanh, "readout_dim": 5, "tied_embeddings": TiedEmbeddings.tgt},
        {"cell": CellKind.lstm_peephole, "forget_bias": 1.0},
        {"cell": CellKind.lstm_layer_norm, "forget_bias": 1.0},
    ],
)
def test_what_fits_together_is_accepted(parts: dict[str, Any]) -> None:
    check_model(replace(MODEL, **parts))


def test_all_problems_are_reported_at_once() -> None:
    config = replace(
        MODEL, encoder_layers=3, attention_heads=2, dropout_recurrent=0.1, cell=CellKind.rnn_tanh, forget_bias=1.0
    )
    problems = list(model_problems(config))
    assert [problem.split()[0] for problem in problems] == [
        "model.bridge=copy",
        "model.attention_heads",
        "model.dropout_recurrent",
        "model.forget_bias",
    ]
    with pytest.raises(ConfigError) as error:
        check_model(config)
    assert str(error.value) == "; ".join(problems)


def test_unequal_vocabularies_are_not_tied() -> None:
    config = replace(MODEL, tied_embeddings=TiedEmbeddings.both, readout_dim=5)
    Seq2Seq(config, src_vocab_size=12, tgt_vocab_size=12)
    with pytest.raises(
        ConfigError,
        match=r"^model\.tied_embeddings=both needs one vocabulary of both sides, but they have 11 and 12 subwords: set "
        r"subword\.joint=true, or use tgt$",
    ):
        Seq2Seq(config, src_vocab_size=11, tgt_vocab_size=12)
