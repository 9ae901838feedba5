"""Tiny models with attention and random weights, ready for search."""

from dataclasses import replace
from typing import Any

import torch

from nmt.choices import AttentionScore, ReadoutInput, ReadoutKind, SearchPrecision, SourceOrder
from nmt.search.scorer import ModelScorer
from nmt.text.subword import EOS_ID, UNK_ID, SubwordModel
from tests.models import MODEL, tiny_model, tiny_subword

LINES = ["0 1 2 3", "9", "5 5", "4 3 2 1 0 9", "0 0 0 1", "7 8"]


def attending_scorer(
    seed: int = 6,
    *,
    counts_coverage: bool = False,
    dtype: torch.dtype = torch.float64,
    precision: SearchPrecision = SearchPrecision.fp32,
    src_subword: SubwordModel | None = None,
    **settings: Any,
) -> ModelScorer:
    """Make a scorer; `settings` are those of its model."""
    config = replace(
        MODEL,
        **{
            "embedding_dim": 8,
            "hidden_dim": 8,
            "source_order": SourceOrder.forward,
            "attention": AttentionScore.general,
            "readout": ReadoutKind.tanh,
            "readout_input": ReadoutInput.state_context,
            "init_range": 1.5,  # far from uniform, so that beams and weights differ
            **settings,
        },
    )
    source, target = src_subword or tiny_subword(), tiny_subword()
    model = tiny_model(
        config, seed=seed, src_vocab_size=source.vocab_size, tgt_vocab_size=target.vocab_size, dtype=dtype
    ).eval()
    with torch.no_grad():
        # so that translations finish, and differ from source to source
        model.decoder.output.bias[[UNK_ID, EOS_ID]] += torch.tensor([-9.0, 4.0], dtype=dtype)
    return ModelScorer(
        model,
        src_subword=source,
        tgt_subword=target,
        device=torch.device("cpu"),
        precision=precision,
        name=f"runs/member{seed}",
        counts_coverage=counts_coverage,
    )
