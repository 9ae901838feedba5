"""The loss: cross-entropy of the target tokens, with label smoothing.

For a token y whose logits are l, with V subwords and smoothing ε:

    log p = l - log Σ_v exp(l_v)                              softmax
    nll = -log p[y]                                           negative log-likelihood, in nats
    loss = (1 - ε) nll - ε/V Σ_v log p[v]                     label smoothing (Szegedy et al. 2016, §7)
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nmt.choices import Implementation, TrainingPrecision
from nmt.corpus.batching import Batch
from nmt.model.output import OutputLayer
from nmt.model.seq2seq import Seq2Seq
from nmt.training.fast_loss import chunked_token_loss


class TokenLoss(NamedTuple):
    """Sums over the tokens of a batch, in nats.

    Attributes:
        objective: what training minimizes: the smoothed cross-entropy times `scale`; carries the gradient.
        nll: the negative log-likelihood, neither smoothed nor scaled, for reporting.
    """

    objective: Tensor
    nll: Tensor


def token_loss(
    hidden_MH: Tensor,
    output: OutputLayer,
    token_M: Tensor,
    *,
    label_smoothing: float,
    scale: float,
    implementation: Implementation = Implementation.fast,
) -> TokenLoss:
    """Compute the loss of real target tokens from the states before the output layer, without those of padding.

    The fast implementation computes the same chunk by chunk, in less memory.
    """
    if implementation == Implementation.fast:
        return TokenLoss(*chunked_token_loss(hidden_MH, output, token_M, label_smoothing=label_smoothing, scale=scale))
    logits_MV = output(hidden_MH)
    log_prob_MV = torch.log_softmax(logits_MV.to(torch.promote_types(logits_MV.dtype, torch.float32)), dim=1)
    nll = -log_prob_MV.gather(1, token_M.unsqueeze(1)).sum()
    objective = (1 - label_smoothing) * nll - label_smoothing * log_prob_MV.mean(1).sum()
    return TokenLoss(scale * objective, nll.detach())


def batch_loss(
    model: Seq2Seq,
    batch: Batch,
    *,
    precision: TrainingPrecision,
    label_smoothing: float,
    scale: float,
    sampling: float = 0.0,
) -> TokenLoss:
    """Run a model forward on a batch with teacher forcing, and compute the loss; both are on one device.

    `nmt.model.decoder.Decoder.forward` explains `sampling`.
    """
    with torch.autocast(batch.src_BS.device.type, torch.bfloat16, enabled=precision == TrainingPrecision.bf16):
        return token_loss(
            model(batch, sampling=sampling),
            model.decoder.output,
            batch.tgt_token_M,
            label_smoothing=label_smoothing,
            scale=scale,
            implementation=model.implementation,
        )


def perplexity(nats_per_token: float) -> float:
    """Return exp of the loss in nats per token; infinity if that is too large for a float."""
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf
