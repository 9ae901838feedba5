"""Vanishing and exploding gradients: the gradient of the loss with respect to the state after each time step.

Backpropagation through time multiplies the gradient, from each time step to the one before, by the derivatives of a
step. If they shrink it, it vanishes, and the network cannot learn what distant words mean; if they enlarge it, it
explodes (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013). Clipping multiplies the whole gradient of an
update by one factor: it bounds what explodes, but does not restore what has vanished.

The gradient here is that of a sentence's loss, the sum over its tokens, so that it does not depend on the batch; and,
for the decoder, also that of the loss of the last token alone, which reaches a time step through all later ones. Models
run without dropout.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nmt.choices import CellKind, LossPer, TrainingPrecision
from nmt.command_config import TrainCommand
from nmt.config import BatchingConfig, TrainingConfig
from nmt.corpus.batching import Batch, collate, plan_epoch
from nmt.errors import ConfigError
from nmt.model.cell import CELLS
from nmt.model.initialization import initialize
from nmt.model.recurrent import LayerStack
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import PlainError, from_plain
from nmt.report.trace import STATE_PARTS, Trace, TracedStep, traced
from nmt.text.parallel import SentencePair
from nmt.training.checkpoint import Checkpoint
from nmt.training.loss import batch_loss
from nmt.training.optimizer import clip_gradients

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

COMPARED = (CellKind.rnn_tanh, CellKind.gru, CellKind.lstm)
_RAREST = 0.1  # share of the sentences that a time step needs to be shown


class NormCurve(NamedTuple):
    """The mean norm of the gradient by the state of a layer, over the sentences that have the time step.

    Attributes:
        part: hidden state or cell state.
        steps: of the encoder, counted back from its last time step, which is 0; of the decoder, from 1, or also back
            from 0.
        clipped: the norms after clipping.
    """

    layer: str
    part: str
    steps: tuple[int, ...]
    norms: tuple[float, ...]
    clipped: tuple[float, ...]

    @property
    def factor(self) -> float:
        """The geometric mean of the factors by which the norm grows from a time step to the one before."""
        if len(self.steps) < 2 or not self.norms[-1] > 0:
            return math.nan
        return float((self.norms[0] / self.norms[-1]) ** (1 / (self.steps[-1] - self.steps[0])))


@dataclass(frozen=True)
class ModelGradients:
    """The gradients of one model.

    Attributes:
        label: the cell, and whether it is trained.
        of_last_token: the curves of the decoder if only the last token, EOS, has a loss.
        update_norms: the norm of the gradient by all parameters, for each batch; `clipped_norms` after clipping.
    """

    label: str
    curves: tuple[NormCurve, ...]
    of_last_token: tuple[NormCurve, ...]
    update_norms: tuple[float, ...]
    clipped_norms: tuple[float, ...]


@dataclass(frozen=True)
class Gradients:
    """The gradients of a trained model, then of the same model with several cells and initial values.

    Attributes:
        encoder_layer, decoder_layer: the names of the top layers.
    """

    models: tuple[ModelGradients, ...]
    clip_norm: float
    num_sentences: int
    encoder_layer: str
    decoder_layer: str
    has_attention: bool


def measure_gradients(checkpoint: Checkpoint, pairs: Sequence[SentencePair], *, num_batches: int = 3) -> Gradients:
    """Measure the model of a checkpoint and, one after the other, the same model with the cells of `COMPARED`.

    Args:
        pairs: from which batches of the run's size are made.

    Raises:
        ConfigError: if the checkpoint lacks settings of training.
    """
    settings = _settings(checkpoint)
    batches = make_batches(checkpoint, pairs, settings.batching)[:num_batches]
    config = checkpoint.model_config
    models = [measure_model(checkpoint.model, batches, settings.training, label=f"{config.cell}, trained")]
    for kind in dict.fromkeys((config.cell, *COMPARED)):
        model = initial_model(checkpoint, kind, seed=settings.seed)
        models.append(measure_model(model, batches, settings.training, label=f"{kind}, initial"))
    decoder = checkpoint.model.decoder
    return Gradients(
        tuple(models),
        settings.training.clip_norm,
        sum(batch.num_sentences for batch in batches),
        _top_layer(checkpoint.model.encoder.rnn),
        _top_layer(decoder.upper or decoder.rnn),
        decoder.attention is not None,
    )


def _top_layer(stack: LayerStack) -> str:
    return stack.place(len(stack.layers) - 1)


def _settings(checkpoint: Checkpoint) -> TrainCommand:
    try:
        return from_plain(TrainCommand, checkpoint.config)
    except PlainError as error:
        raise ConfigError(
            f"{checkpoint.path} must have the settings of its training, but has not ({error}): use another checkpoint"
        ) from error


def make_batches(checkpoint: Checkpoint, pairs: Sequence[SentencePair], config: BatchingConfig) -> list[Batch]:
    """Batch pairs as in training; those with a blank side are left out."""
    whole = [pair for pair in pairs if pair.src.strip() and pair.tgt.strip()]
    src = checkpoint.src_subword.encode_batch([pair.src for pair in whole])
    tgt = checkpoint.tgt_subword.encode_batch([pair.tgt for pair in whole])
    src_lens, tgt_lens = (np.array([len(ids) for ids in side], dtype=np.int64) for side in (src, tgt))
    plan = plan_epoch(src_lens, tgt_lens, config, seed=0, epoch=0)
    return [collate([src[index] for index in batch], [tgt[index] for index in batch]) for batch in plan]


def initial_model(checkpoint: Checkpoint, kind: CellKind, *, seed: int) -> Seq2Seq:
    """Make the model of a checkpoint with these cells and the initial values of its run."""
    config = checkpoint.model_config
    forget_bias = config.forget_bias if CELLS[kind].has_forget_gate else 0.0
    model = Seq2Seq(
        replace(config, cell=kind, forget_bias=forget_bias),
        src_vocab_size=checkpoint.src_subword.vocab_size,
        tgt_vocab_size=checkpoint.tgt_subword.vocab_size,
    )
    initialize(model, generator=torch.Generator().manual_seed(seed))
    return model.eval()


def measure_model(model: Seq2Seq, batches: Sequence[Batch], training: TrainingConfig, *, label: str) -> ModelGradients:
    """Measure a model, which must be in evaluation mode, on batches."""
    whole = [_measure_batch(model, batch, training) for batch in batches]
    last = [_measure_batch(model, last_tokens(batch), training) for batch in batches]
    return ModelGradients(
        label,
        _curves([one.norms for one in whole]),
        tuple(curve for curve in _curves([one.norms_from_end for one in last]) if curve.layer.startswith("decoder")),
        tuple(one.update_norm for one in whole),
        tuple(one.clipped_norm for one in whole),
    )


def last_tokens(batch: Batch) -> Batch:
    """Return the batch with a loss of each sentence's last token only."""
    step_B = _num_steps(batch) - 1
    position_B = step_B * batch.num_sentences + torch.arange(batch.num_sentences)
    is_last_M = torch.isin(batch.tgt_position_M, position_B)
    return batch._replace(tgt_token_M=batch.tgt_token_M[is_last_M], tgt_position_M=batch.tgt_position_M[is_last_M])


def _num_steps(batch: Batch) -> Tensor:
    """Return the time steps of each target."""
    step_M, sentence_M = batch.tgt_position_M // batch.num_sentences, batch.tgt_position_M % batch.num_sentences
    return torch.zeros(batch.num_sentences, dtype=torch.int64).scatter_reduce(0, sentence_M, step_M + 1, "amax")


class _StateNorms(NamedTuple):
    """Number, norm, and norm after clipping, of each time step of each sentence, in no particular order."""

    step: Integers
    norm: Numbers
    clipped: Numbers


class _BatchGradients(NamedTuple):
    norms: dict[tuple[str, str], _StateNorms]  # by layer and part
    norms_from_end: dict[tuple[str, str], _StateNorms]  # the time steps of the decoder are counted back from the last
    update_norm: float
    clipped_norm: float


def _measure_batch(model: Seq2Seq, batch: Batch, training: TrainingConfig) -> _BatchGradients:
    size = batch.num_sentences if training.loss_per == LossPer.sentence else batch.num_tgt_tokens
    with traced(model) as trace:
        loss = batch_loss(
            model, batch, precision=TrainingPrecision.fp32, label_smoothing=training.label_smoothing, scale=1 / size
        )
    for state in (step.state for steps in trace.values() for step in steps):
        for part in state:
            part.retain_grad()
    loss.objective.backward()  # type: ignore[no-untyped-call]
    norm = float(clip_gradients(model.parameters(), training.clip_norm))
    clipped_norm = float(clip_gradients(model.parameters(), math.inf))  # clips nothing
    model.zero_grad(set_to_none=True)
    scales = (float(size), size * clipped_norm / norm if norm > 0 else float(size))
    num_steps = _num_steps(batch).numpy()
    return _BatchGradients(
        _state_norms(trace, num_steps, origin=np.zeros_like(num_steps), scales=scales),
        _state_norms(trace, num_steps, origin=num_steps, scales=scales),
        norm,
        clipped_norm,
    )


def _state_norms(
    trace: Trace, num_steps: Integers, *, origin: Integers, scales: tuple[float, float]
) -> dict[tuple[str, str], _StateNorms]:
    """Collect the norms of the gradient, by layer and part.

    Args:
        num_steps: time steps of each target.
        origin: of each target, the time step that is number 0.
        scales: factors of the gradient, and of the clipped one.
    """
    found = {}
    for layer, steps in trace.items():
        lengths = _num_steps_of_rows(steps) if layer.startswith("encoder") else num_steps
        origins = lengths if layer.startswith("encoder") else origin
        for index, part in enumerate(STATE_PARTS[: len(steps[0].state)]):
            numbers, norms = [], []
            for t, step in enumerate(steps, start=1):
                norm = _grad_norm(step.state[index])
                is_real = lengths[: len(norm)] >= t
                numbers.append((t - origins[: len(norm)])[is_real])
                norms.append(norm[is_real])
            norm = np.concatenate(norms)
            found[layer, part] = _StateNorms(np.concatenate(numbers), scales[0] * norm, scales[1] * norm)
    return found


def _num_steps_of_rows(steps: Sequence[TracedStep]) -> Integers:
    """Return the number of time steps of each row: rows end from the last."""
    num_rows = np.array([len(step.state[0]) for step in steps])
    lengths: Integers = (num_rows[:, None] > np.arange(num_rows[0])).sum(0)
    return lengths


def _grad_norm(state_NH: Tensor) -> Numbers:
    if state_NH.grad is None:  # the loss does not depend on it
        return np.zeros(len(state_NH))
    norm: Numbers = state_NH.grad.double().norm(dim=1).numpy()
    return norm


def _curves(batches: Sequence[Mapping[tuple[str, str], _StateNorms]]) -> tuple[NormCurve, ...]:
    """Average over all sentences, at the time steps that enough of them have."""
    curves = []
    for layer, part in batches[0]:
        number, norm, clipped = map(np.concatenate, zip(*(batch[layer, part] for batch in batches), strict=True))
        steps, place, counts = np.unique(number, return_inverse=True, return_counts=True)
        is_kept = counts >= _RAREST * counts.max()  # all sentences have the first or the last step
        means = [(np.bincount(place, values) / counts)[is_kept].tolist() for values in (norm, clipped)]
        curves.append(NormCurve(layer, part, tuple(map(int, steps[is_kept])), tuple(means[0]), tuple(means[1])))
    return tuple(curves)
