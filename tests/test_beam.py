"""Beam search over toy scorers: a probability table for every history, small enough to search by hand or in full."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nmt.choices import LengthPenaltyKind, ReplaceUnk
from nmt.config import LengthPenaltyConfig, SearchConfig
from nmt.errors import ConfigError
from nmt.search import beam
from nmt.search.beam import beam_search, check_search_config, max_len_subwords, search
from nmt.search.hypothesis import Floats, Hypothesis, length_penalty
from nmt.search.scorer import Candidates, EncodedSource, ModelScorer
from nmt.search.source_queue import SourceQueue
from nmt.text.subword import BOS_ID, EOS_ID, PAD_ID
from tests.search import search_config

A, B = 4, 5  # two words of a toy vocabulary
Table = dict[tuple[int, ...], dict[int, float]]  # generated subwords -> {token: probability}
History = tuple[int, ...]  # a sentence's source subword, then what is generated


class ToyScorer:
    """Makes up a random distribution for every history; its state is the list of histories."""

    members: tuple[ModelScorer, ...] = ()

    def __init__(self, tgt_vocab_size: int = 6, *, eos_bias: float = 0.0) -> None:
        self.tgt_vocab_size = tgt_vocab_size
        self.eos_bias = eos_bias
        self.num_steps = 0
        self.num_rows = 0
        self.max_rows = 0
        self.num_selects = 0
        self.stepped: list[History] = []

    def log_probs(self, history: History) -> Floats:
        rng = np.random.Generator(np.random.PCG64([*history, len(history)]))
        logits_V = rng.normal(0.0, 2.0, self.tgt_vocab_size)
        logits_V[EOS_ID] += self.eos_bias
        logits_V[[PAD_ID, BOS_ID]] = -math.inf
        log_prob_V: Floats = logits_V - np.logaddexp.reduce(logits_V)
        return log_prob_V

    def encode_sources(self, lines: Sequence[str]) -> list[EncodedSource]:
        return [EncodedSource(([int(line)],)) for line in lines]

    def start(self, sources: Sequence[EncodedSource]) -> list[History]:
        return [tuple(source.ids_by_member[0]) for source in sources]

    def step(self, prev_N: Tensor, state: list[History], num_candidates: int) -> Candidates[list[History]]:
        self.num_steps += 1
        self.num_rows += len(state)
        self.max_rows = max(self.max_rows, len(state))
        self.stepped.extend((*history, token) for history, token in zip(state, prev_N.tolist(), strict=True))
        grown = [
            history if token == BOS_ID else (*history, token)
            for history, token in zip(state, prev_N.tolist(), strict=True)
        ]
        log_prob_NV = torch.from_numpy(np.stack([self.log_probs(history) for history in grown]))
        log_prob_NC, token_NC = log_prob_NV.topk(min(num_candidates, self.tgt_vocab_size))
        log_coverage_N = torch.tensor([self.log_coverage(history) for history in grown], dtype=torch.float64)
        return Candidates(log_prob_NC, token_NC, grown, log_coverage_N)

    def log_coverage(self, history: History) -> float:
        """Sum up attention to three made-up source positions, in all steps so far."""
        steps = [history[:end] for end in range(1, len(history) + 1)]
        rngs = [np.random.Generator(np.random.PCG64([*step, 7])) for step in steps]
        sums = np.sum([rng.dirichlet([0.3] * 3) for rng in rngs], axis=0)
        return float(np.log(np.minimum(sums, 1.0).clip(1e-9)).sum())

    def select(self, state: list[History], rows_N: Tensor) -> list[History]:
        self.num_selects += 1
        return [state[row] for row in rows_N.tolist()]

    def concat(self, first: list[History], second: list[History]) -> list[History]:
        return first + second


class TableScorer(ToyScorer):
    """Returns the probabilities of a table."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    def log_probs(self, history: History) -> Floats:
        log_prob_V = np.full(self.tgt_vocab_size, -math.inf)
        for token, probability in self.table[history[1:]].items():
            log_prob_V[token] = math.log(probability)
        return log_prob_V


class CountScorer(ToyScorer):
    """Generates A as often as the source subword says, then EOS; records the rows of each step and of each start."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_by_step: list[int] = []
        self.read_at_once: list[int] = []

    def log_probs(self, history: History) -> Floats:
        log_prob_V = np.full(self.tgt_vocab_size, -math.inf)
        log_prob_V[A if len(history) - 1 < history[0] else EOS_ID] = 0.0
        return log_prob_V

    def start(self, sources: Sequence[EncodedSource]) -> list[History]:
        self.read_at_once.append(len(sources))
        return super().start(sources)

    def step(self, prev_N: Tensor, state: list[History], num_candidates: int) -> Candidates[list[History]]:
        self.rows_by_step.append(len(state))
        return super().step(prev_N, state, num_candidates)


def sources(*subwords: int) -> list[EncodedSource]:
    return [EncodedSource(([subword],)) for subword in subwords]


def forced_log_prob(scorer: ToyScorer, source: int, ids: Sequence[int], *, finished: bool = True) -> float:
    tokens = [*ids, EOS_ID] if finished else list(ids)
    return float(sum(scorer.log_probs((source, *tokens[:position]))[token] for position, token in enumerate(tokens)))


def score_of(scorer: ToyScorer, source: int, ids: Sequence[int], config: SearchConfig) -> float:
    """Score a finished hypothesis."""
    length_normalized = forced_log_prob(scorer, source, ids) / float(length_penalty(len(ids) + 1, config))
    return length_normalized + config.coverage_penalty * scorer.log_coverage((source, *ids))


def exhaustive(scorer: ToyScorer, source: int, config: SearchConfig, *, max_len: int) -> list[Hypothesis]:
    """Score every finished sequence of at most `max_len` subwords, best first."""
    words = [token for token in range(scorer.tgt_vocab_size) if token not in (PAD_ID, BOS_ID, EOS_ID)]
    found = []
    for num in range(max_len + 1):
        for ids in itertools.product(words, repeat=num):
            log_prob = forced_log_prob(scorer, source, ids)
            found.append(Hypothesis(ids, log_prob, score_of(scorer, source, ids, config), True))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def by_definition(scorer: ToyScorer, source: int, config: SearchConfig) -> list[Hypothesis]:
    """Search one sentence as Sutskever et al. 2014, §3.2 describe it: slowly, with lists, and never stopping early."""
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[Hypothesis] = []
    max_len = max_len_subwords(EncodedSource(([source],)), config)
    for length in range(max_len + 1):
        grown = [
            ((*ids, token), log_prob + float(token_log_prob))
            for ids, log_prob in live
            for token, token_log_prob in enumerate(scorer.log_probs((source, *ids)))
            if token_log_prob > -math.inf and not (token == EOS_ID and length < config.min_len)
        ]
        grown.sort(key=lambda hypothesis: -hypothesis[1])
        for (*ids, token), log_prob in grown[: config.beam_size]:
            if token == EOS_ID:
                finished.append(Hypothesis(tuple(ids), log_prob, score_of(scorer, source, ids, config), True))
        if length == max_len or (config.beam_size == 1 and finished):
            break
        live = [hypothesis for hypothesis in grown if hypothesis[0][-1] != EOS_ID][: config.beam_size]
    if finished:
        return sorted(finished, key=lambda hypothesis: -hypothesis.score)[: config.n_best]
    penalty = float(length_penalty(max_len, config))
    return [Hypothesis(ids, log_prob, log_prob / penalty, False) for ids, log_prob in live[: config.n_best]]


def assert_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [(h.ids, h.finished) for h in found] == [(h.ids, h.finished) for h in expected]
    assert [h.log_prob for h in found] == pytest.approx([h.log_prob for h in expected], abs=1e-12)
    assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_beam_of_one_is_greedy(alpha: float) -> None:
    scorer = ToyScorer(tgt_vocab_size=9)
    results = beam_search(scorer, sources(*range(30)), search_config(1, alpha=alpha, max_len=20))
    for source, (hypothesis,) in enumerate(results):
        ids: list[int] = []
        while (token := int(scorer.log_probs((source, *ids)).argmax())) != EOS_ID and len(ids) < 20:
            ids.append(token)
        assert hypothesis.ids == tuple(ids)
        assert hypothesis.finished == (token == EOS_ID)


@pytest.mark.parametrize("beta", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_the_space_is_exhaustive(alpha: float, beta: float) -> None:
    scorer = ToyScorer()
    config = replace(search_config(3**4, n_best=10, alpha=alpha, max_len=3), coverage_penalty=beta)
    for source in range(10):
        (found,) = beam_search(scorer, sources(source), config)
        assert_same(found, exhaustive(scorer, source, config, max_len=3)[:10])


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_search_follows_its_definition(data: st.DataObject) -> None:
    beam_size = data.draw(st.integers(1, 5), "beam size")
    n_best = data.draw(st.integers(1, beam_size), "n best")
    alpha = data.draw(st.sampled_from([0.0, 0.6, 1.0, 2.0]), "alpha")
    config = replace(
        search_config(beam_size, n_best=n_best, alpha=alpha, max_len=data.draw(st.integers(0, 6), "maximum length")),
        min_len=data.draw(st.integers(0, 3), "minimum length"),
        coverage_penalty=data.draw(st.sampled_from([0.0, 0.3, 2.0]), "coverage penalty"),
        batch_rows=data.draw(st.integers(beam_size, 6 * beam_size), "rows"),
    )
    scorer = ToyScorer(
        tgt_vocab_size=data.draw(st.integers(4, 9), "vocabulary"),
        eos_bias=data.draw(st.sampled_from([-4.0, -1.0, 0.0, 2.0]), "bias of EOS"),
    )
    first = data.draw(st.integers(0, 1000), "first source")
    found = beam_search(scorer, sources(*range(first, first + 5)), config)
    for number, hypotheses in enumerate(found):
        assert_same(hypotheses, by_definition(scorer, first + number, config))


def test_batch_of_n_is_n_singles() -> None:
    scorer, config = ToyScorer(tgt_vocab_size=20), search_config(4, n_best=3, alpha=0.6, max_len=12)
    together = beam_search(scorer, sources(*range(25)), config)
    assert together == [beam_search(scorer, sources(source), config)[0] for source in range(25)]


@pytest.mark.parametrize("batch_rows", [4, 7, 9, 40])
def test_small_batches_that_refill_change_nothing(batch_rows: int) -> None:
    config = search_config(4, n_best=2, max_len=12)
    at_once = beam_search(ToyScorer(tgt_vocab_size=20), sources(*range(25)), config)
    scorer = ToyScorer(tgt_vocab_size=20)
    assert beam_search(scorer, sources(*range(25)), replace(config, batch_rows=batch_rows)) == at_once
    assert scorer.max_rows <= batch_rows


def test_sentences_enter_while_others_are_searched() -> None:
    scorer = ToyScorer(eos_bias=-3.0)
    config = replace(search_config(1, max_len=12), batch_rows=4)
    found = [result.sentence for done in search(scorer, SourceQueue(sources(*range(8)), 4), config) for result in done]
    assert sorted(found) == list(range(8))
    ages = [len(history) for history in scorer.stepped]
    assert ages != sorted(ages[: len(ages) // 2]) + sorted(ages[len(ages) // 2 :])


def test_the_next_sentence_enters_when_one_is_done() -> None:
    scorer = CountScorer()
    config = replace(search_config(1, max_len=9), batch_rows=2)
    results = beam_search(scorer, sources(4, 0, 0, 0, 0), config)
    assert [len(hypothesis.ids) for (hypothesis,) in results] == [4, 0, 0, 0, 0]
    # during the five steps of the first sentence, the four others take one step each
    assert scorer.rows_by_step == [2, 2, 2, 2, 1]


def test_sentences_enter_when_an_eighth_of_the_batch_is_free() -> None:
    config = replace(search_config(1, max_len=9), batch_rows=16)
    scorer = CountScorer()
    beam_search(scorer, sources(*[0, 0], *[3] * 14, *[3] * 2), config)
    assert scorer.rows_by_step == [16, 16, 16, 16, 2]  # room for two of 16: the last two sentences enter at once
    scorer = CountScorer()
    beam_search(scorer, sources(*[0], *[3] * 15, *[3] * 2), config)
    assert scorer.rows_by_step == [16, 15, 15, 15, 2, 2, 2, 2]  # room for one of 16: they wait


def test_sources_are_read_before_the_batch_has_room() -> None:
    scorer = CountScorer()
    results = beam_search(scorer, sources(*range(10)), replace(search_config(2, max_len=20), batch_rows=4))
    assert [len(hypotheses[0].ids) for hypotheses in results] == list(range(10))
    assert scorer.read_at_once == [4, 4, 2]
    assert max(scorer.rows_by_step) == 2  # two sentences, each with the only hypothesis that is possible


def test_a_finished_hypothesis_is_never_extended() -> None:
    scorer = ToyScorer(eos_bias=1.0)
    beam_search(scorer, sources(*range(20)), search_config(4, n_best=4, max_len=8))
    assert scorer.stepped
    assert all(EOS_ID not in history[1:] for history in scorer.stepped)


def test_scores_are_those_of_forced_decoding() -> None:
    scorer, config = ToyScorer(tgt_vocab_size=20), search_config(4, n_best=4, alpha=0.6, max_len=12)
    for source, hypotheses in enumerate(beam_search(scorer, sources(*range(20)), config)):
        for hypothesis in hypotheses:
            forced = forced_log_prob(scorer, source, hypothesis.ids, finished=hypothesis.finished)
            num_tokens = len(hypothesis.ids) + hypothesis.finished
            assert hypothesis.log_prob == pytest.approx(forced, abs=1e-12)
            assert hypothesis.score == pytest.approx(forced / ((5 + num_tokens) / 6) ** 0.6, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("n_best", [1, 2, 5])
def test_stopping_early_changes_nothing(
    alpha: float, beta: float, n_best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(search_config(5, n_best=n_best, alpha=alpha, max_len=9), coverage_penalty=beta)
    early, late = ToyScorer(tgt_vocab_size=12), ToyScorer(tgt_vocab_size=12)
    found = beam_search(early, sources(*range(40)), config)
    monkeypatch.setattr(beam, "is_hopeless", never)
    assert found == beam_search(late, sources(*range(40)), config)
    assert early.num_rows < late.num_rows


def never(*_: object) -> np.bool_:
    """Drop no hypothesis: search then continues to the maximum length."""
    return np.False_


def test_hopeless_hypotheses_leave_the_batch() -> None:
    # EOS has 0.6, so that neither A (0.3) nor B (0.1) can beat it
    scorer = TableScorer({(): {EOS_ID: 0.6, A: 0.3, B: 0.1}})
    ((hypothesis,),) = beam_search(scorer, sources(0), search_config(2, max_len=10))
    assert hypothesis == Hypothesis((), math.log(0.6), math.log(0.6), True)
    assert scorer.num_steps == 1
    assert len(list(search(scorer, SourceQueue(sources(0), 1), search_config(2, max_len=10)))) == 1


def test_a_hypothesis_that_can_only_tie_with_the_nth_best_is_hopeless() -> None:
    scorer = TableScorer({(): {EOS_ID: 0.5, A: 0.5}, (A,): {EOS_ID: 1.0}})
    ((hypothesis,),) = beam_search(scorer, sources(0), search_config(2, max_len=10))
    assert hypothesis.ids == ()
    assert scorer.num_steps == 1


@pytest.mark.parametrize("n_best", [1, 2])
@pytest.mark.parametrize("stops_early", [False, True])
def test_of_equal_scores_the_one_that_finished_first_is_better(
    n_best: int, stops_early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not stops_early:
        monkeypatch.setattr(beam, "is_hopeless", never)
    scorer = TableScorer({(): {EOS_ID: 0.5, A: 0.5}, (A,): {EOS_ID: 1.0}})
    (found,) = beam_search(scorer, sources(0), search_config(2, n_best=n_best, max_len=3))
    assert [hypothesis.ids for hypothesis in found] == [(), (A,)][:n_best]


def test_of_equal_continuations_the_better_hypothesis_comes_first() -> None:
    # log 0.5 + log 0.5 and log 0.25 + log 1 are the same number
    table: Table = {(): {A: 0.5, B: 0.25}, (A,): {EOS_ID: 0.5, A: 0.25, B: 0.25}, (B,): {EOS_ID: 1.0}}
    table |= {(A, A): {EOS_ID: 1.0}, (A, B): {EOS_ID: 1.0}}
    for n_best in (1, 2):
        (found,) = beam_search(TableScorer(table), sources(0), search_config(2, n_best=n_best, max_len=3))
        assert [hypothesis.ids for hypothesis in found] == [(A,), (B,)][:n_best]


@pytest.mark.parametrize("beam_size", [3, 5, 8])
def test_equal_continuations_keep_the_order_of_hypotheses_and_candidates(beam_size: int) -> None:
    class EvenScorer(ToyScorer):
        """Gives every token one of two probabilities; of equal ones, the lower id comes first."""

        def log_probs(self, history: History) -> Floats:
            log_prob_V = np.log(np.where(np.arange(self.tgt_vocab_size) % 2 == len(history) % 2, 0.125, 0.0625))
            log_prob_V[[PAD_ID, BOS_ID, EOS_ID]] = -math.inf
            return log_prob_V

        def step(self, prev_N: Tensor, state: list[History], num_candidates: int) -> Candidates[list[History]]:
            grown = super().step(prev_N, state, num_candidates).state
            log_prob_NV = torch.from_numpy(np.stack([self.log_probs(history) for history in grown]))
            log_prob_NV, token_NV = log_prob_NV.sort(dim=1, descending=True, stable=True)
            return Candidates(log_prob_NV[:, :num_candidates].clone(), token_NV[:, :num_candidates].clone(), grown)

    scorer, config = EvenScorer(tgt_vocab_size=10), search_config(beam_size, n_best=beam_size, max_len=4)
    (found,) = beam_search(scorer, sources(0), config)
    assert len(found) == beam_size
    assert_same(found, by_definition(scorer, 0, config))


def test_eos_below_the_top_k_does_not_finish() -> None:
    table: Table = {(): {A: 0.5, B: 0.3, EOS_ID: 0.2}, (A,): {EOS_ID: 0.1, A: 0.9}, (B,): {EOS_ID: 0.1, B: 0.9}}
    table |= {(A, A): {EOS_ID: 1.0}, (B, B): {EOS_ID: 1.0}}
    (hypotheses,) = beam_search(TableScorer(table), sources(0), search_config(2, n_best=2, max_len=2))
    assert [hypothesis.ids for hypothesis in hypotheses] == [(A, A), (B, B)]
    (hypotheses,) = beam_search(TableScorer(table), sources(0), search_config(3, n_best=3, max_len=2))
    assert [hypothesis.ids for hypothesis in hypotheses] == [(A, A), (B, B), ()]


def test_a_beam_finds_what_greedy_search_misses() -> None:
    table: Table = {(): {A: 0.6, B: 0.4}, (A,): {EOS_ID: 0.4, A: 0.6}, (B,): {EOS_ID: 1.0}, (A, A): {EOS_ID: 1.0}}
    greedy = beam_search(TableScorer(table), sources(0), search_config(1, max_len=3))[0][0]
    assert greedy.ids == (A, A)
    assert greedy.log_prob == pytest.approx(math.log(0.36))
    beam = beam_search(TableScorer(table), sources(0), search_config(2, max_len=3))[0][0]
    assert beam.ids == (B,)
    assert type(beam.ids[0]) is int  # no numpy below
    assert beam.log_prob == pytest.approx(math.log(0.4))


def test_length_penalty_prefers_a_longer_one_by_hand() -> None:
    # log 0.45 / (6/6) = -0.799 for only EOS; log 0.4 / (8/6) = -0.687 for A A EOS
    table: Table = {(): {EOS_ID: 0.45, A: 0.4, B: 0.15}, (A,): {A: 1.0}, (B,): {B: 1.0}, (A, A): {EOS_ID: 1.0}}
    table |= {(B, B): {EOS_ID: 1.0}}
    plain = beam_search(TableScorer(table), sources(0), search_config(2, max_len=2))[0][0]
    assert plain.ids == ()
    assert plain.score == pytest.approx(math.log(0.45))
    penalized = beam_search(TableScorer(table), sources(0), search_config(2, alpha=1.0, max_len=2))[0][0]
    assert penalized.ids == (A, A)
    assert penalized.score == pytest.approx(math.log(0.4) * 6 / 8)
    assert penalized.log_prob == pytest.approx(math.log(0.4))


def test_greedy_search_stops_at_its_first_eos_under_a_length_penalty() -> None:
    table: Table = {(): {EOS_ID: 0.45, A: 0.4, B: 0.15}}
    scorer = TableScorer(table)
    assert beam_search(scorer, sources(0), search_config(1, alpha=1.0, max_len=2))[0][0].ids == ()
    assert scorer.num_steps == 1


def test_greedy_search_stops_at_its_first_eos_after_the_minimum_length() -> None:
    # log(0.9·0.51) / (7/6) = -0.667 for A, and log(0.9·0.49) / (8/6) = -0.614 for A A, which greedy search never sees
    table: Table = {(): {A: 0.9, B: 0.1}, (A,): {EOS_ID: 0.51, A: 0.49}, (A, A): {EOS_ID: 1.0}}
    scorer = TableScorer(table)
    config = replace(search_config(1, alpha=1.0, max_len=2), min_len=1)
    ((hypothesis,),) = beam_search(scorer, sources(0), config)
    assert hypothesis.ids == (A,)
    assert scorer.num_steps == 2


@pytest.mark.parametrize(("beam_size", "min_len", "expected"), [(1, 0, 1), (1, 2, 2), (2, 0, 3), (5, 0, 6), (5, 2, 6)])
def test_only_candidates_that_can_matter_are_ranked(beam_size: int, min_len: int, expected: int) -> None:
    numbers = set[int]()

    class Recorder(ToyScorer):
        def step(self, prev_N: Tensor, state: list[History], num_candidates: int) -> Candidates[list[History]]:
            numbers.add(num_candidates)
            return super().step(prev_N, state, num_candidates)

    beam_search(
        Recorder(tgt_vocab_size=12), sources(0, 1), replace(search_config(beam_size, max_len=4), min_len=min_len)
    )
    assert numbers == {expected}


def test_no_translation_is_shorter_than_the_minimum_length() -> None:
    scorer = ToyScorer(eos_bias=6.0)
    for beam_size in (1, 3):
        config = replace(search_config(beam_size, n_best=beam_size, max_len=8), min_len=3)
        for source, hypotheses in enumerate(beam_search(scorer, sources(*range(10)), config)):
            for hypothesis in hypotheses:
                assert len(hypothesis.ids) >= 3
                assert hypothesis.finished
                assert hypothesis.log_prob == pytest.approx(forced_log_prob(scorer, source, hypothesis.ids))


@pytest.mark.parametrize("beam_size", [1, 2, 3])
def test_minimum_length_by_hand(beam_size: int) -> None:
    histories = [ids for length in range(4) for ids in itertools.product((A, B), repeat=length)]
    table: Table = {ids: {EOS_ID: 0.75, A: 0.2, B: 0.05} for ids in histories}
    config = replace(search_config(beam_size, max_len=3), min_len=2)
    ((hypothesis,),) = beam_search(TableScorer(table), sources(0), config)
    assert hypothesis.ids == (A, A)
    assert hypothesis.log_prob == pytest.approx(math.log(0.2 * 0.2 * 0.75))


def test_maximum_length_by_hand() -> None:
    config = replace(search_config(1, max_len=3), max_len_ratio=1.5)
    assert max_len_subwords(EncodedSource(([7, 7, 7],)), config) == 7
    assert max_len_subwords(EncodedSource(([7], [7, 7, 7])), config) == 7  # the longest of the members decides
    assert max_len_subwords(EncodedSource(([7],)), replace(config, min_len=9)) == 9
    assert max_len_subwords(EncodedSource(([7],)), search_config(1, max_len=0)) == 1


def test_a_hypothesis_of_maximum_length_may_still_end() -> None:
    table: Table = {(): {A: 1.0}, (A,): {A: 0.7, EOS_ID: 0.3}, (A, A): {A: 0.1, EOS_ID: 0.9}}
    ((hypothesis,),) = beam_search(TableScorer(table), sources(0), search_config(1, max_len=2))
    assert (hypothesis.ids, hypothesis.finished) == ((A, A), True)


def test_unfinished_hypotheses_are_flagged_and_scored_without_eos() -> None:
    table: Table = {(): {A: 0.7, B: 0.3}, (A,): {A: 1.0}, (B,): {B: 1.0}, (A, A): {A: 1.0}, (B, B): {B: 1.0}}
    (hypotheses,) = beam_search(TableScorer(table), sources(0), search_config(2, n_best=2, alpha=1.0, max_len=2))
    assert [(h.ids, h.finished) for h in hypotheses] == [((A, A), False), ((B, B), False)]
    assert {type(token) for h in hypotheses for token in h.ids} == {int}
    assert [h.log_prob for h in hypotheses] == pytest.approx([math.log(0.7), math.log(0.3)])
    assert [h.score for h in hypotheses] == pytest.approx([math.log(0.7) * 6 / 7, math.log(0.3) * 6 / 7])


def test_unfinished_hypotheses_are_not_returned_with_a_finished_one() -> None:
    table: Table = {(): {A: 0.9, EOS_ID: 0.1}, (A,): {A: 1.0}, (A, A): {A: 1.0}}
    (hypotheses,) = beam_search(TableScorer(table), sources(0), search_config(2, n_best=2, max_len=2))
    assert hypotheses == (Hypothesis((), math.log(0.1), math.log(0.1), True),)


def test_n_best_are_sorted_and_distinct() -> None:
    config = search_config(6, n_best=6, alpha=0.6, max_len=10)
    for hypotheses in beam_search(ToyScorer(tgt_vocab_size=12), sources(*range(30)), config):
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.ids for hypothesis in hypotheses}) == len(hypotheses)


def test_a_smaller_n_best_is_the_beginning_of_a_larger_one() -> None:
    scorer = ToyScorer(tgt_vocab_size=12)
    many = beam_search(scorer, sources(*range(20)), search_config(6, n_best=6, max_len=8))
    few = beam_search(scorer, sources(*range(20)), search_config(6, n_best=2, max_len=8))
    assert few == [hypotheses[:2] for hypotheses in many]


def test_rows_that_do_not_move_are_not_selected() -> None:
    scorer = ToyScorer(eos_bias=-50.0)
    beam_search(scorer, sources(*range(5)), search_config(1, max_len=6))
    assert scorer.num_selects == 0


def test_no_sources_give_no_results() -> None:
    assert beam_search(ToyScorer(), [], search_config(3, max_len=3)) == []


def test_all_problems_of_a_config_are_reported_at_once() -> None:
    config = replace(
        search_config(3, n_best=4, max_len=3), batch_rows=2, max_len_ratio=-1.0, max_len_extra=-2, min_len=-3
    )
    config = replace(config, window_lines=0, length_penalty=LengthPenaltyConfig(LengthPenaltyKind.wu2016, -0.5))
    with pytest.raises(ConfigError) as caught:
        check_search_config(config)
    assert str(caught.value).split("; ") == [
        "search.length_penalty.alpha must be at least 0 and finite, but is -0.5",
        "search.max_len_ratio must be at least 0 and finite, but is -1.0",
        "search.max_len_extra must be at least 0, but is -2",
        "search.min_len must be at least 0, but is -3",
        "search.window_lines must be at least 1, but is 0",
        "search.n_best must be at most search.beam_size (3), but is 4",
        "search.batch_rows must be at least search.beam_size (3), but is 2",
    ]
    dictionary = {"dictionary": "nothing.tsv"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"replace_unk": ReplaceUnk.dictionary}, "search.replace_unk=dictionary needs search.dictionary=FILE"),
        (dictionary, "search.dictionary needs search.replace_unk=dictionary, but it is none"),
        (
            {"replace_unk": ReplaceUnk.dictionary, **dictionary},
            "search.dictionary must be a file, but nothing.tsv does not exist",
        ),
    ]
    for changes, message in cases:
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            check_search_config(replace(search_config(), **changes))
    with pytest.raises(ConfigError, match=r"search\.beam_size must be at least 1, but is 0"):
        beam_search(ToyScorer(), sources(0), search_config(0, max_len=3))
