"""One training update, taken apart: the calls of nmt's trainer, one after the other, with a clock between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.timing import Laps
from nmt.config import LossPer
from nmt.corpus.batching import Batch, TrainingBatches
from nmt.model.encoder import Encoding
from nmt.model.seq2seq import Seq2Seq
from nmt.training.loss import token_loss
from nmt.training.optimizer import clip_gradients
from nmt.training.trainer import Trainer

DATA, COPY = "waiting for data", "copying to the device"
ENCODER, DECODER, LOSS = "encoder", "decoder", "softmax and loss, with its gradient"
DECODER_BACKWARD, ENCODER_BACKWARD = "decoder, backward", "encoder, backward"
CLIPPING, OPTIMIZER = "clipping", "optimizer"
FORWARD_PHASES = (ENCODER, DECODER, LOSS)
BACKWARD_PHASES = (DECODER_BACKWARD, ENCODER_BACKWARD)


class TimedBatches(TrainingBatches):
    """Counts what it hands out, and the seconds that this takes."""

    num_batches = 0
    num_sentences = 0
    src_tokens = 0
    tgt_tokens = 0
    laps: Laps | None = None

    def __next__(self) -> Batch:
        if self.laps is None:
            batch = super().__next__()
        else:
            self.laps.start()
            batch = super().__next__()
            self.laps.lap(DATA)
        self.num_batches += 1
        self.num_sentences += batch.num_sentences
        self.src_tokens += int(batch.src_len_B.sum())
        self.tgt_tokens += batch.num_tgt_tokens
        return batch


@contextmanager
def marks(model: Seq2Seq, laps: Laps) -> Iterator[None]:
    """Put a mark behind the encoder and the decoder, forward and, at the state between them, backward."""

    def behind_encoder(_module: Any, _inputs: Any, encoding: Encoding) -> None:
        laps.lap(ENCODER)
        if encoding.final.h_LNH.requires_grad:
            encoding.final.h_LNH.register_hook(  # type: ignore[no-untyped-call]
                lambda _grad: laps.lap(DECODER_BACKWARD)
            )

    handles = [
        model.encoder.register_forward_hook(behind_encoder),
        model.decoder.register_forward_hook(lambda *_: laps.lap(DECODER)),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def take_update(trainer: Trainer, laps: Laps) -> None:
    """Make one update of the trainer's model with its optimizer, on its next batches."""
    model, config, device = trainer.model, trainer.config, trainer.device
    laps.start()
    batches = [next(trainer.batches) for _ in range(config.accumulate)]
    laps.lap(DATA)
    per_sentence = config.loss_per == LossPer.sentence
    divisor = sum(batch.num_sentences if per_sentence else batch.num_tgt_tokens for batch in batches)
    for batch in batches:
        batch = batch.to(device)
        if device.type != "cpu":
            laps.lap(COPY)
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.precision == "bf16"):
            hidden_MH = model(batch)
            laps.lap(DECODER)  # taking the real positions belongs to it
            loss = token_loss(
                hidden_MH,
                model.decoder.output,
                batch.tgt_token_M,
                label_smoothing=config.label_smoothing,
                scale=1 / divisor,
            )
        laps.lap(LOSS)
        loss.objective.backward()  # type: ignore[no-untyped-call]
        laps.lap(ENCODER_BACKWARD)
    clip_gradients(model.parameters(), config.clip_norm)
    laps.lap(CLIPPING)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    laps.lap(OPTIMIZER)


def update_phases(trainer: Trainer, count: int) -> dict[str, float]:
    """Make `count` updates; returns seconds by phase, all of them together."""
    laps = Laps(trainer.device)
    with marks(trainer.model, laps):
        for _ in range(count):
            take_update(trainer, laps)
    return laps.take()
