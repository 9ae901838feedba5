"""Whether a checkpoint is what was written, and still translates as it did: hashes, text and log-probabilities.

A checkpoint holds greedy translations that the plain modules made in float32 (`nmt.training.samples`). Another machine
or another implementation rounds differently. Therefore log-probabilities are compared within what the precision
explains, and another translation is accepted if it begins at a near tie: the first token that differs is nearly as
probable as the stored one.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from nmt.choices import Implementation, SearchPrecision
from nmt.errors import CheckpointError
from nmt.search.greedy_samples import gap_between, translate_samples
from nmt.search.scorer import ModelScorer
from nmt.text.subword import EOS_ID
from nmt.training.checkpoint import Checkpoint, check_files, load_checkpoint, load_samples
from nmt.training.checkpoint_links import read_checkpoint
from nmt.training.samples import Sample

log = logging.getLogger(__name__)

# Nats a token by which the log-probability of a whole translation may differ. The largest differences of 1,200
# translations by six models were 4e-6, 0.008 and 0.036 (docs/decisions.md).
EXPLAINED = {SearchPrecision.fp32: 1e-4, SearchPrecision.bf16: 0.03, SearchPrecision.int8: 0.1}
_ONE_TOKEN = 10  # times as much may the difference of two tokens be, at a single choice


class Computation(NamedTuple):
    """How the samples are translated again; `auto` must have been resolved."""

    device: torch.device
    precision: SearchPrecision
    implementation: Implementation


class Verification(NamedTuple):
    """What was found, a line each: differences, and what was checked or could not be."""

    differences: list[str]
    notes: list[str]


def verify(path: Path, computation: Computation) -> Verification:
    """Compare a checkpoint with its hashes, then translate its samples again and compare them.

    Raises:
        CheckpointError: if there is no checkpoint, or its description cannot be read.
        ConfigError: if the model cannot be computed as asked.
    """
    return read_checkpoint(path, lambda place: _verify(place, computation))


def _verify(path: Path, computation: Computation) -> Verification:
    report = check_files(path)
    notes = [
        f"{report.num_checked} files were compared with their hashes"
        if report.num_checked
        else "checkpoint format 1 has no hashes: no file was compared"
    ]
    if not report.can_resume:
        notes.append("its folder training/ was deleted: no run can resume from it")
    if report.problems:
        return Verification(report.problems, [*notes, "the samples were not translated, since files are damaged"])
    try:
        checkpoint, samples = load_checkpoint(path), load_samples(path)
    except CheckpointError as error:  # the hashes are right, but not what they are of
        return Verification([str(error)], notes)
    if not samples:
        return Verification([], [*notes, "it holds no sample translations: only its files were checked"])
    compared = _compare_samples(checkpoint, samples, computation)
    return Verification(compared.differences, [*notes, *compared.notes])


def _compare_samples(checkpoint: Checkpoint, samples: Sequence[Sample], computation: Computation) -> Verification:
    device, precision, implementation = computation
    checkpoint.model.implementation = implementation
    scorer = ModelScorer(
        checkpoint.model,
        src_subword=checkpoint.src_subword,
        tgt_subword=checkpoint.tgt_subword,
        device=device,
        precision=precision,
    )
    found = translate_samples(scorer, [sample.source for sample in samples])
    differences, largest, num_ties = [], 0.0, 0
    for number, (stored, now) in enumerate(zip(samples, found, strict=True), start=1):
        if _tokens(stored) == _tokens(now):
            difference = abs(now.log_prob - stored.log_prob) / max(1, stored.num_tokens)
            largest = max(largest, difference)
            is_explained = now.text == stored.text and difference <= EXPLAINED[precision]
        else:
            is_explained = _begins_at_tie(scorer, stored, now, precision)
            num_ties += is_explained
        if not is_explained:
            differences.append(_describe(number, stored, now, precision))
    num_equal = len(samples) - num_ties - len(differences)
    notes = [
        f"{len(samples)} sample translations were made again, in {precision} on {device}: {num_equal} equal, "
        f"{num_ties} different after a near tie, {len(differences)} different",
        f"log-probabilities of the same translations differ by at most {largest:.1e} nats a token; {precision} "
        f"explains {EXPLAINED[precision]:g}",
    ]
    return Verification(differences, notes)


def _tokens(sample: Sample) -> list[int]:
    return [*sample.ids, *[EOS_ID] * sample.finished]


def _begins_at_tie(scorer: ModelScorer, stored: Sample, now: Sample, precision: SearchPrecision) -> bool:
    """Return whether the first token that differs is nearly as probable as the stored one, or is beyond its end."""
    theirs, ours = _tokens(stored), _tokens(now)
    first = next((n for n, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other), None)
    if first is None:  # one was cut short by a maximum length
        return False
    if not 0 <= theirs[first] < scorer.tgt_vocab_size:
        return False
    [source] = scorer.encode_sources([stored.source])
    gap = gap_between(scorer, source, ours[:first], ours[first], theirs[first])
    return gap <= _ONE_TOKEN * EXPLAINED[precision]


def _describe(number: int, stored: Sample, now: Sample, precision: SearchPrecision) -> str:
    if (now.text, _tokens(now)) != (stored.text, _tokens(stored)):
        return (
            f"sample {number}: {stored.source!r} is translated by {now.text!r} ({now.log_prob:.4f}), but was by "
            f"{stored.text!r} ({stored.log_prob:.4f})"
        )
    return (
        f"sample {number}: the log-probability of {now.text!r} is {now.log_prob:.6g}, but was {stored.log_prob:.6g}: "
        f"{precision} explains no more than {EXPLAINED[precision]:g} nats a token"
    )
