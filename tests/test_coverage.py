"""The coverage penalty, from the sums of attention weights to the scores of translations."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from nmt.choices import AttentionPlacement, AttentionScore, EnsembleAverage, ReadoutInput
from nmt.model.attention import MemoryRows, SourceMemory
from nmt.model.decoder_state import DecoderState
from nmt.model.recurrent import RecurrentState
from nmt.search.alignment import Aligner, ToAlign
from nmt.search.beam import beam_search
from nmt.search.coverage import log_coverage
from nmt.search.hypothesis import Hypothesis
from nmt.search.scorer import EnsembleScorer, ModelScorer
from nmt.text.subword import BOS_ID
from tests.attending import LINES, attending_scorer
from tests.models import tiny_subword
from tests.search import ids_of, search_config

BETA = 0.4
SEARCH = replace(search_config(4, n_best=3, alpha=0.6), coverage_penalty=BETA)


def state_of(coverage: list[list[float]], *, sentences: list[int], padding: list[list[float]] | None) -> DecoderState:
    num_sentences, num_positions = max(sentences) + 1, len(coverage[0])
    values_BSD = torch.zeros(num_sentences, num_positions, 2)
    padding_BS = None if padding is None else torch.tensor(padding)
    memory = SourceMemory(values_BSD, values_BSD, padding_BS, None)
    return DecoderState(
        RecurrentState(()), memory, MemoryRows(torch.tensor(sentences)), coverage_NS=torch.tensor(coverage)
    )


def test_log_coverage_by_hand() -> None:
    state = state_of([[0.5, 1.5, 9.0], [1.0, 0.25, 0.0]], sentences=[0, 0], padding=None)
    assert log_coverage(state).tolist() == pytest.approx([math.log(0.5), math.log(0.25)])


def test_eos_and_padding_are_not_to_be_covered() -> None:
    padding = [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -math.inf, -math.inf]]
    coverage = [[0.5, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.0]]  # the second row is of the first sentence
    state = state_of(coverage, sentences=[1, 0], padding=padding)
    assert log_coverage(state).tolist() == pytest.approx([math.log(0.5), 3 * math.log(0.5)])


def test_no_attention_at_all_has_a_finite_penalty() -> None:
    state = state_of([[0.0, 0.0]], sentences=[0], padding=None)
    assert log_coverage(state).item() == pytest.approx(math.log(torch.finfo(torch.float32).tiny))


def penalties_of(scorer: ModelScorer, hypotheses: Sequence[Hypothesis], line: str) -> list[float]:
    """Work out the penalty without its weight from the attention of forced decoding."""
    [source] = scorer.encode_sources([line])
    items = [ToAlign(line, source, hypothesis) for hypothesis in hypotheses]
    sums = [alignment.weights.sum(axis=0)[:-1] for alignment in Aligner([scorer], batch_rows=100).align(items)]
    return [sum(math.log(min(float(value), 1.0)) for value in values) for values in sums]


@pytest.mark.parametrize("placement", list(AttentionPlacement))
@pytest.mark.parametrize("num_heads", [1, 2])
def test_scores_have_the_penalty_of_forced_decoding(placement: AttentionPlacement, num_heads: int) -> None:
    scorer = attending_scorer(counts_coverage=True, attention_placement=placement, attention_heads=num_heads)
    config = replace(SEARCH, batch_rows=9)  # two sentences at a time, so that others enter
    num_finished, lowest = 0, 0.0
    for line, hypotheses in zip(LINES, beam_search(scorer, scorer.encode_sources(LINES), config), strict=True):
        for hypothesis, penalty in zip(hypotheses, penalties_of(scorer, hypotheses, line), strict=True):
            lp = ((5 + len(hypothesis.ids) + hypothesis.finished) / 6) ** 0.6
            expected = hypothesis.log_prob / lp + BETA * penalty * hypothesis.finished
            assert hypothesis.score == pytest.approx(expected, rel=1e-5)
            num_finished += hypothesis.finished
            lowest = min(lowest, penalty)
    assert num_finished > len(LINES)
    assert lowest < -1


def test_a_batch_of_n_is_n_singles() -> None:
    scorer = attending_scorer(counts_coverage=True)
    sources = scorer.encode_sources(LINES)
    singles = [beam_search(scorer, [source], SEARCH)[0] for source in sources]
    for batch_rows in (10_000, 9):
        together = beam_search(scorer, sources, replace(SEARCH, batch_rows=batch_rows))
        assert ids_of(together) == ids_of(singles)
        assert scores_of(together) == pytest.approx(scores_of(singles), abs=1e-12)


def test_without_weight_nothing_changes() -> None:
    counting, plain = attending_scorer(counts_coverage=True), attending_scorer()
    sources = plain.encode_sources(LINES)
    config = replace(SEARCH, coverage_penalty=0.0)
    assert beam_search(counting, sources, config) == beam_search(plain, sources, config)


def test_the_penalty_changes_the_order_of_translations() -> None:
    scorer = attending_scorer(counts_coverage=True)
    sources = scorer.encode_sources(LINES)
    assert ids_of(beam_search(scorer, sources, replace(SEARCH, coverage_penalty=5.0))) != ids_of(
        beam_search(scorer, sources, replace(SEARCH, coverage_penalty=0.0))
    )


def test_fast_search_in_float32_is_exact_search() -> None:
    exact = attending_scorer(counts_coverage=True)
    fast = attending_scorer(counts_coverage=True, dtype=torch.float32)
    sources = exact.encode_sources(LINES)
    found, expected = (beam_search(scorer, sources, SEARCH) for scorer in (fast, exact))
    assert ids_of(found) == ids_of(expected)
    assert scores_of(found) == pytest.approx(scores_of(expected), rel=1e-4)


@pytest.mark.parametrize("average", list(EnsembleAverage))
def test_an_ensemble_of_twins_is_one_model(average: EnsembleAverage) -> None:
    one = attending_scorer(counts_coverage=True)
    twins = EnsembleScorer([one, one], average=average)
    expected = beam_search(one, one.encode_sources(LINES), SEARCH)
    found = beam_search(twins, twins.encode_sources(LINES), SEARCH)
    assert ids_of(found) == ids_of(expected)
    assert scores_of(found) == pytest.approx(scores_of(expected), abs=1e-12)


def test_an_ensemble_takes_the_mean_of_its_members_with_attention() -> None:
    first = attending_scorer(1, counts_coverage=True)
    second = attending_scorer(2, counts_coverage=True, src_subword=tiny_subword(("0 1 2 3", "4 5")))
    without = attending_scorer(3, counts_coverage=True, attention=AttentionScore.none, readout_input=ReadoutInput.state)
    ensemble = EnsembleScorer([without, first, second], average=EnsembleAverage.prob)
    prev_N = torch.full((len(LINES),), BOS_ID)
    parts = [
        scorer.step(prev_N, scorer.start(scorer.encode_sources(LINES)), 2).log_coverage_N for scorer in (first, second)
    ]
    found_N = ensemble.step(prev_N, ensemble.start(ensemble.encode_sources(LINES)), 2).log_coverage_N
    assert found_N is not None
    torch.testing.assert_close(found_N, sum(part_N for part_N in parts if part_N is not None) / 2)
    assert without.step(prev_N, without.start(without.encode_sources(LINES)), 2).log_coverage_N is None


def scores_of(results: Sequence[Sequence[Hypothesis]]) -> list[float]:
    return [hypothesis.score for hypotheses in results for hypothesis in hypotheses]
