"""The development set, on which a model is measured during training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from nmt.choices import BestBy, ScheduleKind, TrainingPrecision
from nmt.command_config import TrainCommand
from nmt.config import BatchingConfig
from nmt.corpus.batching import validation_batches
from nmt.corpus.binarized import BinarizedCorpus
from nmt.distributed import ALONE, Group
from nmt.model.seq2seq import Seq2Seq
from nmt.training.loss import batch_loss
from nmt.training.samples import Sample

Scores = Mapping[str, float]

# The measures that need translations, and how the log names them.
TEXT_MEASURES = {BestBy.bleu: "BLEU", BestBy.chrf: "chrF", BestBy.exact: "exact"}


def is_better(one: float, other: float, measure: BestBy) -> bool:
    return one > other if measure in TEXT_MEASURES else one < other


def decisive_text_measures(settings: TrainCommand) -> dict[str, BestBy]:
    """Return the settings by which scores of translations decide something about training."""
    measures = {"training.best_by": settings.training.best_by}
    if settings.optimizer.schedule.kind == ScheduleKind.plateau:
        measures["optimizer.schedule.plateau_by"] = settings.optimizer.schedule.plateau_by
    return {key: measure for key, measure in measures.items() if measure in TEXT_MEASURES}


@dataclass
class DevSet:
    """The development set.

    Attributes:
        text_scores: translates the set with a model and returns its `TEXT_MEASURES`; None if they are not measured.
        samples: translates a few sentences of the set for `nmt verify`; None if checkpoints hold none.
    """

    corpus: BinarizedCorpus
    batching: BatchingConfig
    text_scores: Callable[[Seq2Seq], Scores] | None = None
    samples: Callable[[Seq2Seq], Sequence[Sample]] | None = None

    @torch.no_grad()
    def nats_per_token(
        self, model: Seq2Seq, *, device: torch.device, precision: TrainingPrecision, group: Group = ALONE
    ) -> float:
        """Return the loss of a model, which must be in evaluation mode: nats per target token, EOS included."""
        nll, num_tokens = 0.0, 0
        for batch in validation_batches(self.corpus, self.batching, rank=group.rank, num_ranks=group.size):
            loss = batch_loss(model, batch.to(device), precision=precision, label_smoothing=0.0, scale=1.0)
            nll += float(loss.nll)
            num_tokens += batch.num_tgt_tokens
        sums = group.sum(torch.tensor([nll, num_tokens], dtype=torch.float64))
        return float(sums[0] / sums[1])
