"""Search with the default implementation, float32 laid out for speed, against the equations.

The equations are computed in float64, sentence by sentence and step by step, with only the parameters of the model.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.choices import EnsembleAverage, SearchPrecision, SourceOrder
from nmt.config import SearchConfig
from nmt.model.fast.inference import FastModel
from nmt.model.fast.linear import onednn_packs
from nmt.model.seq2seq import Seq2Seq
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.scorer import EncodedSource, EnsembleScorer, ModelScorer, StepScorer
from nmt.search.translator import Translator
from nmt.text.subword import BOS_ID, EOS_ID
from tests.hardware import needs_bf16, needs_int8
from tests.models import MODEL, tiny_model, tiny_subword
from tests.search import ids_of, log_prob_of, search_config
from tests.test_recurrent import by_the_equations

CPU = torch.device("cpu")
UNEQUAL = [[4, 5, 6, 7, 8], [9], [], [10, 4], [6, 6, 6], [5, 9, 8, 7, 4, 10, 12], [9, 9]]
EQUAL = [[4, 5, 6], [7, 8, 9], [6, 5, 4], [10, 10, 4], [12, 9, 5]]
LAYERS = pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
ORDERS = pytest.mark.parametrize("source_order", list(SourceOrder))
LENGTHS = pytest.mark.parametrize("sources", [EQUAL, UNEQUAL], ids=["equal", "unequal"])
SEARCH = replace(search_config(3, n_best=3), min_len=2)

Ids = Sequence[int]
Results = list[tuple[Hypothesis, ...]]


@lru_cache
def model_of(num_layers: int = 2, source_order: SourceOrder = SourceOrder.reversed, seed: int = 6) -> Seq2Seq:
    """Make a float32 model whose translations differ from source to source; it must not be changed."""
    config = replace(
        MODEL, embedding_dim=6, hidden_dim=8, num_layers=num_layers, source_order=source_order, init_range=1.5
    )
    size = tiny_subword().vocab_size
    model = tiny_model(config, seed=seed, src_vocab_size=size, tgt_vocab_size=size, dtype=torch.float32)
    with torch.no_grad():
        model.decoder.output.bias[EOS_ID] += 1.0  # so that most translations finish
    return model.eval()


@lru_cache
def exact(model: Seq2Seq) -> Seq2Seq:
    return copy.deepcopy(model).double()


def scorer_of(model: Seq2Seq, *, precision: SearchPrecision = SearchPrecision.fp32) -> ModelScorer:
    subword = tiny_subword()
    return ModelScorer(model, src_subword=subword, tgt_subword=subword, device=CPU, precision=precision)


def fast_scorer(model: Seq2Seq, *, precision: SearchPrecision = SearchPrecision.fp32) -> ModelScorer:
    scorer = scorer_of(model, precision=precision)
    assert isinstance(scorer.inference_model, FastModel)
    return scorer


def encoded(sources: Sequence[Ids], *, members: int = 1) -> list[EncodedSource]:
    return [EncodedSource((ids,) * members) for ids in sources]


@torch.no_grad()
def by_equations(model: Seq2Seq, src: Ids, tgt: Ids) -> Tensor:
    """Read the source, reversed or not, and EOS, then BOS and the target; returns log p of the next tokens `(T, V)`."""
    model = exact(model)
    words = [*src[::-1]] if model.config.source_order == SourceOrder.reversed else [*src]
    zeros_LH = torch.zeros(model.config.num_layers, model.config.hidden_dim, dtype=torch.float64)
    src_TE, tgt_TE = model.encoder.embedding.weight[[*words, EOS_ID]], model.decoder.embedding.weight[[BOS_ID, *tgt]]
    _, h_LH, c_LH = by_the_equations(model.encoder.rnn.directions(), src_TE, zeros_LH, zeros_LH)
    hidden_TH, _, _ = by_the_equations(model.decoder.rnn.directions(), tgt_TE, h_LH, c_LH)
    return torch.log_softmax(hidden_TH @ model.decoder.output.weight.t() + model.decoder.output.bias, dim=1)


def assert_same(found: Results, expected: Results, *, tolerance: float) -> None:
    assert ids_of(found) == ids_of(expected)
    for n_best, expected_n_best in zip(found, expected, strict=True):
        for hypothesis, other in zip(n_best, expected_n_best, strict=True):
            assert hypothesis.log_prob == pytest.approx(other.log_prob, abs=tolerance)
            assert hypothesis.finished == other.finished


def singly(scorer: StepScorer[Any], sources: Sequence[EncodedSource], config: SearchConfig = SEARCH) -> Results:
    return [beam_search(scorer, [source], config)[0] for source in sources]


@LAYERS
@ORDERS
@LENGTHS
def test_log_probabilities_are_those_of_the_equations(
    sources: list[Ids], source_order: SourceOrder, num_layers: int
) -> None:
    model = model_of(num_layers, source_order)
    results = beam_search(fast_scorer(model), encoded(sources), SEARCH)
    for src, n_best in zip(sources, results, strict=True):
        for hypothesis in n_best:
            expected = log_prob_of(hypothesis, by_equations(model, src, hypothesis.ids))
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-5)
    assert len({n_best[0].ids for n_best in results}) > 1  # translations depend on the source


@LAYERS
@ORDERS
@LENGTHS
@pytest.mark.parametrize("beam_size", [1, 4])
def test_translations_equal_those_of_the_plain_model_in_float64(
    sources: list[Ids], source_order: SourceOrder, num_layers: int, beam_size: int
) -> None:
    model, config = model_of(num_layers, source_order), replace(SEARCH, beam_size=beam_size, n_best=beam_size)
    expected = singly(scorer_of(exact(model)), encoded(sources), config)
    assert_same(beam_search(fast_scorer(model), encoded(sources), config), expected, tolerance=1e-5)


@LENGTHS
@pytest.mark.parametrize("batch_rows", [3, 7, 100])
@pytest.mark.parametrize("num_searches", [1, 3])
def test_other_sentences_padding_and_threads_change_nothing(
    sources: list[Ids], batch_rows: int, num_searches: int
) -> None:
    scorer, many = fast_scorer(model_of()), encoded(sources * 6)
    config = replace(SEARCH, batch_rows=batch_rows * num_searches)
    expected = singly(scorer, encoded(sources)) * 6
    assert_same(beam_search(scorer, many, config, num_searches=num_searches), expected, tolerance=1e-5)


@pytest.mark.parametrize("average", list(EnsembleAverage))
def test_an_ensemble_averages_the_results_of_the_equations(average: EnsembleAverage) -> None:
    models = [model_of(2), model_of(3, SourceOrder.forward, seed=2), model_of(1, seed=3)]
    ensemble, plain = (
        EnsembleScorer([make(model) for model in made_of], average=average)
        for make, made_of in ((fast_scorer, models), (scorer_of, [exact(model) for model in models]))
    )
    sources = encoded(UNEQUAL, members=3)
    results = beam_search(ensemble, sources, SEARCH)
    assert_same(results, singly(plain, sources), tolerance=1e-5)
    for src, n_best in zip(UNEQUAL, results, strict=True):
        for hypothesis in n_best:
            log_prob_XTV = torch.stack([by_equations(model, src, hypothesis.ids) for model in models])
            mean_TV = (
                log_prob_XTV.logsumexp(0) - math.log(3) if average == EnsembleAverage.prob else log_prob_XTV.mean(0)
            )
            assert hypothesis.log_prob == pytest.approx(log_prob_of(hypothesis, mean_TV), abs=1e-5)


@pytest.mark.parametrize("num_searches", [1, 2])
def test_text_is_translated_like_the_plain_model_in_float64(num_searches: int) -> None:
    model, subword = model_of(), tiny_subword()
    lines = [f"{n} {n * n} {n**3}" for n in range(20)] + ["", "7", " "]
    config = replace(SEARCH, batch_rows=24)
    fast, plain = (
        list(Translator(scorer, subword, config, num_searches=number).translate(lines))
        for scorer, number in ((fast_scorer(model), num_searches), (scorer_of(exact(model)), 1))
    )
    for translation, expected in zip(fast, plain, strict=True):
        assert [one.text for one in translation.hypotheses] == [one.text for one in expected.hypotheses]
        scores = [one.score for one in expected.hypotheses]
        assert [one.score for one in translation.hypotheses] == pytest.approx(scores, abs=1e-5)
    assert len({one.text for translation in fast for one in translation.hypotheses}) > 5


@pytest.mark.parametrize(
    "precision",
    [pytest.param(SearchPrecision.bf16, marks=needs_bf16), pytest.param(SearchPrecision.int8, marks=needs_int8)],
)
@LENGTHS
@ORDERS
def test_a_lower_precision_is_close_to_the_equations(
    source_order: SourceOrder, sources: list[Ids], precision: SearchPrecision
) -> None:
    model = model_of(2, source_order)
    for src, n_best in zip(
        sources, beam_search(fast_scorer(model, precision=precision), encoded(sources), SEARCH), strict=True
    ):
        for hypothesis in n_best:
            expected = log_prob_of(hypothesis, by_equations(model, src, hypothesis.ids))
            # a state rounded to 8 bits or to 1/127 is off by up to 0.004; errors add up as roots of sums, not as sums
            assert hypothesis.log_prob == pytest.approx(expected, abs=0.015 * (len(hypothesis.ids) + 1))


@pytest.mark.usefixtures("without_onednn")
@LENGTHS
def test_without_onednn_translations_are_the_same(sources: list[Ids]) -> None:
    assert not onednn_packs()
    model = model_of()
    expected = singly(scorer_of(exact(model)), encoded(sources))
    assert_same(beam_search(fast_scorer(model), encoded(sources), SEARCH), expected, tolerance=1e-5)
