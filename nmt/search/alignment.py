"""Alignments: which source subwords a translation attends to, by forced decoding of the finished translation.

Search keeps no attention weights, so that it is as fast as without alignments; reading the translations once more takes
about a fifth of the time of a search with 5 hypotheses.

For alignments of words, the weights are summed over the subwords of each source and each target word; a target word is
aligned to the source word with the greatest sum, of equals the first. EOS belongs to no word.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nmt.choices import ReplaceUnk, SourceOrder
from nmt.config import SearchConfig
from nmt.errors import ConfigError
from nmt.search.hypothesis import Hypothesis
from nmt.search.scorer import EncodedSource, ModelScorer
from nmt.text.subword import BOS_ID, EOS_ID

Weights = npt.NDArray[np.float32]


class Alignment(NamedTuple):
    """The attention weights of a translation.

    Attributes:
        weights: `(target subwords, source subwords)`, EOS included; each row sums to 1.
        source, target: the subwords, the last of which is EOS unless the translation is unfinished; "▁" begins a word.
        source_words: the words of the source.
        source_word_of, target_word_of: the number of the word of each subword but EOS.
    """

    weights: Weights
    source: tuple[str, ...]
    target: tuple[str, ...]
    source_words: tuple[str, ...]
    source_word_of: tuple[int, ...]
    target_word_of: tuple[int, ...]

    def aligned_words(self) -> list[int]:
        """Return the number of the source word of each target word."""
        return _most_attended(self.weights, self.source_word_of, self.target_word_of)

    def aligned_subwords(self) -> list[int]:
        """Return the number of the source subword of each target subword."""
        return _most_attended(self.weights, range(len(self.source_word_of)), range(len(self.target_word_of)))


def pharaoh(aligned: Sequence[int]) -> str:
    """Write an alignment as `0-0 1-2`: source and target position, from 0, in the order of the target."""
    return " ".join(f"{source}-{target}" for target, source in enumerate(aligned))


def _most_attended(weights: Weights, source_of: Sequence[int], target_of: Sequence[int]) -> list[int]:
    """Return the source unit with the greatest sum of weights for each target unit, from the units of all positions."""
    if not source_of or not target_of:
        return []
    sums = np.zeros((max(target_of) + 1, max(source_of) + 1))
    np.add.at(sums, np.ix_(target_of, source_of), weights[: len(target_of), : len(source_of)])
    best: list[int] = sums.argmax(axis=1).tolist()
    return best


class ToAlign(NamedTuple):
    """A source line, its subwords, and one of its translations."""

    line: str
    source: EncodedSource
    hypothesis: Hypothesis


class Aligner:
    """Aligns translations to their sources by the attention of the models that made them.

    Weights are the mean over the members of an ensemble that have attention and the source subwords of the first such
    member.
    """

    def __init__(self, members: Sequence[ModelScorer], *, batch_rows: int) -> None:
        """Choose the members that align; at least one must have attention."""
        attending = [(index, member) for index, member in enumerate(members) if member.has_attention]
        self._first = attending[0][1]
        fingerprint = self._first.src_subword.fingerprint
        self._members = [pair for pair in attending if pair[1].src_subword.fingerprint == fingerprint]
        self._batch_rows = batch_rows

    def align(self, items: Sequence[ToAlign]) -> list[Alignment]:
        """Align translations; the order of the items does not matter."""
        order = sorted(range(len(items)), key=lambda index: len(items[index].hypothesis.ids))
        alignments: dict[int, Alignment] = {}
        for start in range(0, len(order), self._batch_rows):
            batch = order[start : start + self._batch_rows]
            weights_by_member = [
                attention_weights(
                    member,
                    [EncodedSource((items[index].source.ids_by_member[number],)) for index in batch],
                    [items[index].hypothesis for index in batch],
                )
                for number, member in self._members
            ]
            for index, *weights in zip(batch, *weights_by_member, strict=True):
                alignments[index] = self._alignment(items[index], np.mean(weights, axis=0))
        return [alignments[index] for index in range(len(items))]

    def _alignment(self, item: ToAlign, weights: Weights) -> Alignment:
        src_subword, tgt_subword = self._first.src_subword, self._first.tgt_subword
        words = src_subword.encode_words(item.line)
        ids = [i for _, ids_of_word in words for i in ids_of_word]
        tgt_words = tgt_subword.split_words(item.hypothesis.ids)
        tgt_ids = [*item.hypothesis.ids, *[EOS_ID] * item.hypothesis.finished]
        return Alignment(
            weights,
            source=tuple(src_subword.pieces[i] for i in [*ids, EOS_ID]),
            target=tuple(tgt_subword.pieces[i] for i in tgt_ids),
            source_words=tuple(word for word, _ in words),
            source_word_of=_numbers([ids_of_word for _, ids_of_word in words]),
            target_word_of=_numbers(tgt_words),
        )


def _numbers(words: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(number for number, ids in enumerate(words) for _ in ids)


@torch.inference_mode()
def attention_weights(
    member: ModelScorer, sources: Sequence[EncodedSource], hypotheses: Sequence[Hypothesis]
) -> list[Weights]:
    """Return the attention weights of each hypothesis, `(target tokens, source subwords)`, in natural source order."""
    lengths = [len(hypothesis.ids) + hypothesis.finished for hypothesis in hypotheses]
    tokens = np.full((max(lengths) + 1, len(hypotheses)), EOS_ID)  # what ended reads EOS
    tokens[0] = BOS_ID
    for column, hypothesis in enumerate(hypotheses):
        tokens[1 : len(hypothesis.ids) + 1, column] = hypothesis.ids
    state, steps = member.start(sources), []
    for prev_N in torch.from_numpy(tokens[:-1]):
        state = member.read(prev_N, state.count_coverage())  # from here on: the weights of this step
        assert state.coverage_NS is not None
        steps.append(state.coverage_NS.float().cpu().numpy())
    weights = np.stack(steps)
    is_reversed = member.model.config.source_order == SourceOrder.reversed
    found = []
    for column, (source, length) in enumerate(zip(sources, lengths, strict=True)):
        num_words = source.num_subwords
        position = [*(reversed(range(num_words)) if is_reversed else range(num_words)), num_words]
        found.append(weights[:length, column, position])
    return found


def settings_with_attention(config: SearchConfig) -> list[str]:
    """Name the settings of a search that need a model with attention."""
    needed = {
        "search.coverage_penalty": config.coverage_penalty > 0,
        "search.replace_unk": config.replace_unk != ReplaceUnk.none,
    }
    return [name for name, is_set in needed.items() if is_set]


def require_attention(members: Sequence[ModelScorer], needed_by: Sequence[str]) -> None:
    """Refuse settings that need attention if no member has it.

    Raises:
        ConfigError: if none has it; it names the settings.
    """
    if not needed_by or any(member.has_attention for member in members):
        return
    names = " and ".join(member.name for member in members) or "the scorer"
    raise ConfigError(
        f"{' and '.join(needed_by)} {'needs' if len(needed_by) == 1 else 'need'} attention, but {names} "
        f"{'has' if len(members) < 2 else 'have'} none: name a checkpoint trained with model.attention, or leave it out"
    )
