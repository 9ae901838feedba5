"""The development set, on which a model is measured during training."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from nmt.config import BatchingConfig, TrainingPrecision
from nmt.corpus.batching import validation_batches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.model.seq2seq import Seq2Seq
from nmt.training.loss import batch_loss


@dataclass
class DevSet:
    """The development set.

    Attributes:
        bleu: translates the set with a model and returns BLEU; None if BLEU is not measured.
    """

    corpus: BinarizedCorpus
    batching: BatchingConfig
    bleu: Callable[[Seq2Seq], float] | None = None

    @torch.no_grad()
    def nats_per_token(self, model: Seq2Seq, *, device: torch.device, precision: TrainingPrecision) -> float:
        """Return the loss of a model, which must be in evaluation mode: nats per target token, EOS included."""
        nll, num_tokens = 0.0, 0
        for batch in validation_batches(self.corpus, self.batching):
            loss = batch_loss(model, batch.to(device), precision=precision, label_smoothing=0.0, scale=1.0)
            nll += float(loss.nll)
            num_tokens += batch.num_tgt_tokens
        return nll / num_tokens
