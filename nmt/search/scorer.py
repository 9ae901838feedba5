"""What beam search needs from a model: the interface, and its implementations by one model and by an ensemble.

Search reads sources, starts a state with one row per sentence, and then steps, selects and concatenates rows; the
contents of a state are up to the scorer. Tensors passed between search and scorer are on the CPU; states are on the
device of the model.
"""

import math
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from nmt.choices import AttentionScore, EnsembleAverage, Implementation, SearchPrecision
from nmt.corpus.batching import pad_source
from nmt.errors import CheckpointError
from nmt.model.decoder_state import DecoderState
from nmt.model.fast.inference import prepare_for_inference
from nmt.model.seq2seq import Seq2Seq
from nmt.search import ranking
from nmt.search.coverage import log_coverage
from nmt.text.subword import SubwordModel
from nmt.transfer import to_device

StateT = TypeVar("StateT")


class EncodedSource(NamedTuple):
    """A source sentence in the subwords of every member, in natural order, without EOS.

    `unknown_share` is the share of its characters that are unknown to a member; of an ensemble, the smallest.
    """

    ids_by_member: tuple[Sequence[int], ...]
    unknown_share: float = 0.0

    @property
    def num_subwords(self) -> int:
        """Length in subwords; of an ensemble, the largest of its members."""
        return max(len(ids) for ids in self.ids_by_member)


class Candidates(NamedTuple, Generic[StateT]):
    """The best continuations of every row, best first, and the state after the step.

    Attributes:
        log_prob_NC: log-probabilities in nats, never above 0; -inf if a row has fewer than C continuations.
        token_NC: the tokens; never PAD, never BOS, unless their log-probability is -inf.
        log_coverage_N: see `nmt.search.coverage`, up to this step; of an ensemble, the mean of its members with
            attention, each over its own source subwords. None if the scorer does not count coverage.
    """

    log_prob_NC: Tensor
    token_NC: Tensor
    state: StateT
    log_coverage_N: Tensor | None = None


class StepScorer(Protocol[StateT]):
    """Gives the distribution of the next token, one token at a time."""

    @property
    def tgt_vocab_size(self) -> int: ...

    @property
    def members(self) -> "Sequence[ModelScorer]":
        """The models that predict together, or the only one."""

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        """Segment source sentences."""

    def start(self, sources: Sequence[EncodedSource]) -> StateT:
        """Read the sources; returns a state with one row per sentence, before the first token."""

    def step(self, prev_N: Tensor, state: StateT, num_candidates: int) -> Candidates[StateT]:
        """Read one token per row (BOS at first); returns the best `num_candidates` continuations, or all V."""

    def select(self, state: StateT, rows_N: Tensor) -> StateT:
        """Take the rows `rows_N`, in that order; a row may be taken several times."""

    def concat(self, first: StateT, second: StateT) -> StateT:
        """Append the rows of `second` to those of `first`."""


class ModelScorer:
    """One model with its own subwords. Its log-probabilities are those of `Seq2Seq.log_probs`."""

    def __init__(
        self,
        model: Seq2Seq,
        *,
        src_subword: SubwordModel,
        tgt_subword: SubwordModel,
        device: torch.device,
        precision: SearchPrecision,
        name: str = "the model",
        counts_coverage: bool = False,
    ) -> None:
        """Prepare `model`, which must be in evaluation mode whenever the scorer is used.

        Args:
            name: the model's name in messages, such as its checkpoint.
            counts_coverage: for the coverage penalty, if the model has attention.
        """
        self.name = name
        self.model = model
        self.src_subword = src_subword
        self.tgt_subword = tgt_subword
        self.device = device
        self.precision = precision
        self.inference_model = prepare_for_inference(model, device=device, precision=precision)
        self.has_attention = model.config.attention != AttentionScore.none
        self._counts_coverage = counts_coverage and self.has_attention

    @property
    def members(self) -> "Sequence[ModelScorer]":
        return (self,)

    @property
    def tgt_vocab_size(self) -> int:
        return self.tgt_subword.vocab_size

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        """Segment source sentences; the model itself reverses them if it is configured so."""
        rows = self.src_subword.encode_batch(list(lines))
        return [
            EncodedSource((ids,), unknown_share=self.src_subword.unknown_share(line, ids))
            for line, ids in zip(lines, rows, strict=True)
        ]

    @torch.inference_mode()
    def start(self, sources: Sequence[EncodedSource]) -> DecoderState:
        """Encode the sources; this is fastest if all are of equal length."""
        assert not self.model.training, "search needs model.eval(): dropout would change its states"
        src_BS, src_len_B = pad_source([source.ids_by_member[0] for source in sources])
        state = self.inference_model.decoder.start(
            self.inference_model.encode(to_device(src_BS, self.device), src_len_B)
        )
        return state.count_coverage() if self._counts_coverage else state

    @torch.inference_mode()
    def logits(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one time step; returns the logits `(N, V)` in the model's precision, on its device."""
        assert not self.model.training, "search needs model.eval(): dropout would change its states"
        return self.inference_model.decoder.step(to_device(prev_N, self.device), state)

    @torch.inference_mode()
    def read(self, prev_N: Tensor, state: DecoderState) -> DecoderState:
        """Make one time step without predicting the next token."""
        assert not self.model.training, "search needs model.eval(): dropout would change its states"
        return self.inference_model.decoder.read(to_device(prev_N, self.device), state)[1]

    @torch.inference_mode()
    def step(self, prev_N: Tensor, state: DecoderState, num_candidates: int) -> Candidates[DecoderState]:
        logits_NV, state = self.logits(prev_N, state)
        is_reference = self.model.implementation == Implementation.reference
        rank = ranking.rank_plainly if is_reference else ranking.rank
        log_prob_NC, token_NC = rank(logits_NV, num_candidates)
        return Candidates(log_prob_NC.cpu(), token_NC.cpu(), state, _mean_log_coverage([state]))

    @torch.inference_mode()
    def select(self, state: DecoderState, rows_N: Tensor) -> DecoderState:
        return state.select(to_device(rows_N, self.device))

    @torch.inference_mode()
    def concat(self, first: DecoderState, second: DecoderState) -> DecoderState:
        return first.concat(second)


EnsembleState = tuple[DecoderState, ...]


class EnsembleScorer:
    """Several models that predict each token together (Sutskever et al. 2014, §3.6), each with its own source subwords.

    `average=prob` takes the mean of the members' probabilities. `average=log_prob` takes the mean of their
    log-probabilities and does not normalize it, so that the log-probability of a translation is the mean of those
    that its members give it.
    """

    def __init__(self, members: Sequence[ModelScorer], *, average: EnsembleAverage) -> None:
        """Join `members`, of which there must be at least one.

        Raises:
            CheckpointError: if two members differ in target vocabulary.
        """
        first = members[0]
        for member in members[1:]:
            if member.tgt_subword.fingerprint != first.tgt_subword.fingerprint:
                raise CheckpointError(
                    "members of an ensemble must share one target vocabulary, but those of "
                    f"{first.name} and {member.name} differ: train all members on one prepared corpus, or with the "
                    "same subword.src_model and subword.tgt_model"
                )
        self.members = tuple(members)
        self.tgt_subword = first.tgt_subword
        self.average = average

    @property
    def tgt_vocab_size(self) -> int:
        return self.members[0].tgt_vocab_size

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        by_member = [member.encode_sources(lines) for member in self.members]
        return [
            EncodedSource(
                tuple(source.ids_by_member[0] for source in sources),
                unknown_share=min(source.unknown_share for source in sources),
            )
            for sources in zip(*by_member, strict=True)
        ]

    def start(self, sources: Sequence[EncodedSource]) -> EnsembleState:
        return tuple(
            member.start([EncodedSource((source.ids_by_member[index],)) for source in sources])
            for index, member in enumerate(self.members)
        )

    @torch.inference_mode()
    def step(self, prev_N: Tensor, state: EnsembleState, num_candidates: int) -> Candidates[EnsembleState]:
        """Step every member, average over the whole vocabulary, and rank."""
        steps = [member.logits(prev_N, own) for member, own in zip(self.members, state, strict=True)]
        device, dtype = steps[0][0].device, torch.promote_types(steps[0][0].dtype, torch.float32)
        logits_by_member = [logits_NV.to(device, dtype) for logits_NV, _ in steps]
        rank_mean = _rank_mean_prob if self.average == EnsembleAverage.prob else _rank_mean_log_prob
        log_prob_NC, token_NC = rank_mean(logits_by_member, num_candidates)
        own_states = tuple(own for _, own in steps)
        log_coverage_N = _mean_log_coverage(own_states)
        return Candidates(log_prob_NC.clamp_(max=0.0).cpu(), token_NC.cpu(), own_states, log_coverage_N)

    def select(self, state: EnsembleState, rows_N: Tensor) -> EnsembleState:
        return tuple(member.select(own, rows_N) for member, own in zip(self.members, state, strict=True))

    def concat(self, first: EnsembleState, second: EnsembleState) -> EnsembleState:
        return tuple(member.concat(*both) for member, *both in zip(self.members, first, second, strict=True))


def _mean_log_coverage(states: Sequence[DecoderState]) -> Tensor | None:
    """Return the mean over the states that count coverage; None if none does."""
    counted = [log_coverage(state).cpu() for state in states if state.coverage_NS is not None]
    return torch.stack(counted).mean(0) if counted else None


def _rank_mean_prob(logits_by_member: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Rank by the mean of probabilities; logarithms are taken only of the candidates."""
    sum_NV = torch.softmax(logits_by_member[0], dim=1)
    for logits_NV in logits_by_member[1:]:
        sum_NV += torch.softmax(logits_NV, dim=1)
    ranking.forbid_specials(sum_NV)
    sum_NC, token_NC = ranking.top_k(sum_NV, k)
    # a probability that has underflowed to 0 still belongs to a valid token; -inf marks forbidden ones
    log_prob_NC = (sum_NC / len(logits_by_member)).clamp_(min=torch.finfo(sum_NC.dtype).tiny).log_()
    return log_prob_NC.masked_fill_(sum_NC < 0, -math.inf), token_NC


def _rank_mean_log_prob(logits_by_member: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Rank by the mean of log-probabilities; changes the first member's logits."""
    sum_NV = logits_by_member[0]
    normalizer_N1 = sum(map(ranking.log_sum_exp, logits_by_member), start=torch.zeros_like(sum_NV[:, :1]))
    for logits_NV in logits_by_member[1:]:
        sum_NV += logits_NV
    ranking.forbid_specials(sum_NV)
    sum_NC, token_NC = ranking.top_k(sum_NV, k)
    return (sum_NC - normalizer_N1).div_(len(logits_by_member)), token_NC
