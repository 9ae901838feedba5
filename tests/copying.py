"""A model set by hand that copies digits counting up from 0, and whose attention therefore is known.

Embeddings are one-hot and no state is passed on, so that a hidden state is nearly the one-hot vector of the token just
read. Attention scores each source subword by the previous target subword: 30 for the next digit, 20 for an unknown word
and 10 for EOS. The output layer copies what the context is of: `0 1 x` becomes `0 1 <unk>`.
"""

import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import torch

from nmt.choices import AttentionScore, Bridge, CellKind, ReadoutInput, SearchPrecision, SourceOrder, SubwordKind
from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.search.scorer import ModelScorer
from nmt.text.subword import BOS_ID, EOS_ID, UNK_ID, SubwordModel
from nmt.text.subword_learning import learn_subword
from nmt.training.checkpoint import CheckpointContent, save_checkpoint
from nmt.training.checkpoint_format import CheckpointInfo
from tests.checkpoints import SNAPSHOT
from tests.models import CHARACTERS, DIGITS, MODEL, tiny_model

LINES = ["0 1 2", "0", "", "0 1 2 3 4 5", "0 1", "0 1 2 3"]


@lru_cache
def digit_words() -> SubwordModel:
    """Learn the words 0 to 9; all others are unknown."""
    return learn_subword(DIGITS, replace(CHARACTERS, kind=SubwordKind.word, vocab_size=14), lang="en")


def copying_model(source_order: SourceOrder = SourceOrder.forward, *, dtype: torch.dtype = torch.float32) -> Seq2Seq:
    size = digit_words().vocab_size
    config: ModelConfig = replace(
        MODEL,
        cell=CellKind.rnn_tanh,
        embedding_dim=size,
        hidden_dim=size,
        num_layers=1,
        source_order=source_order,
        attention=AttentionScore.general,
        readout_input=ReadoutInput.state_context,
        bridge=Bridge.zero,
    )
    model = tiny_model(config, src_vocab_size=size, tgt_vocab_size=size, dtype=dtype).eval()
    digits = [digit_words().encode(str(digit))[0] for digit in range(10)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for part in (model.encoder, model.decoder):
            part.embedding.weight.copy_(torch.eye(size))
            part.rnn.layer(0).forwards.cell_weights.weight_ih_GE.copy_(5 * torch.eye(size))
        assert model.decoder.attention is not None
        assert model.decoder.attention.key is not None
        score_VV = model.decoder.attention.key.weight  # previous target subword, source subword
        score_VV[:, EOS_ID] = 10.0
        score_VV[[BOS_ID, *digits], UNK_ID] = 20.0
        for previous, following in zip([BOS_ID, *digits], digits, strict=False):
            score_VV[previous, following] = 30.0
        model.decoder.output.weight[:, size:] = 30 * torch.eye(size)
    return model


def copying_scorer(
    source_order: SourceOrder = SourceOrder.forward,
    *,
    dtype: torch.dtype = torch.float32,
    counts_coverage: bool = False,
) -> ModelScorer:
    return ModelScorer(
        copying_model(source_order, dtype=dtype),
        src_subword=digit_words(),
        tgt_subword=digit_words(),
        device=torch.device("cpu"),
        precision=SearchPrecision.fp32,
        counts_coverage=counts_coverage,
    )


def save_copying_model(directory: Path) -> Path:
    """Write a checkpoint of it."""
    model, fingerprint = copying_model(), digit_words().fingerprint
    info = CheckpointInfo(
        update=1,
        epochs=1.0,
        corpus_fingerprint="c0ffee",
        src_subword_fingerprint=fingerprint,
        tgt_subword_fingerprint=fingerprint,
        scores={},
    )
    content = CheckpointContent(
        info,
        parameters=model.state_dict(),
        config_yaml=json.dumps({"seed": 1, "model": asdict(model.config)}),
        src_subword=digit_words(),
        tgt_subword=digit_words(),
        snapshot=SNAPSHOT,
    )
    return save_checkpoint(directory, content)
