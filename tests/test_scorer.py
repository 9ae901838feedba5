"""One model and ensembles as search uses them: tiny models with random weights, real subword models."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch

from nmt.choices import EnsembleAverage, SearchPrecision, SourceOrder, SubwordKind
from nmt.corpus.batching import collate
from nmt.errors import CheckpointError
from nmt.model.seq2seq import Seq2Seq
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.scorer import EncodedSource, EnsembleScorer, ModelScorer, StepScorer
from nmt.text.subword import BOS_ID, EOS_ID, PAD_ID, SubwordModel
from nmt.text.subword_learning import learn_subword
from tests.hardware import needs_bf16
from tests.models import CHARACTERS, MODEL, tiny_model, tiny_subword
from tests.search import ids_of, search_config

CPU = torch.device("cpu")
LINES = ["the cat sat on the mat", "a dog", "the dog saw a cat and a mat", "cats", "on a mat sat the dog", "a cat saw"]


@lru_cache
def learn(vocab_size: int, *, kind: str = "bpe") -> SubwordModel:
    spec = replace(CHARACTERS, kind=SubwordKind(kind), vocab_size=vocab_size)
    return learn_subword(LINES, spec, lang="en")


def model_of(seed: int, *, src_vocab_size: int, source_order: SourceOrder, dtype: torch.dtype) -> Seq2Seq:
    # init_range: far from uniform, so that beams differ
    config = replace(MODEL, embedding_dim=6, hidden_dim=8, dropout=0.3, source_order=source_order, init_range=1.5)
    tgt_vocab_size = learn(28).vocab_size
    model = tiny_model(config, seed=seed, src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size, dtype=dtype)
    with torch.no_grad():
        model.decoder.output.bias[EOS_ID] += 3.0  # so that some hypotheses finish
    return model.eval()


def tiny_scorer(
    seed: int = 1,
    *,
    src_vocab_size: int = 24,
    source_order: SourceOrder = SourceOrder.reversed,
    dtype: torch.dtype = torch.float64,
    precision: SearchPrecision = SearchPrecision.fp32,
    tgt_subword: SubwordModel | None = None,
) -> ModelScorer:
    return ModelScorer(
        model_of(seed, src_vocab_size=src_vocab_size, source_order=source_order, dtype=dtype),
        src_subword=learn(src_vocab_size),
        tgt_subword=tgt_subword or learn(28),
        device=CPU,
        precision=precision,
        name=f"runs/member{seed}",
    )


def test_unknown_share_of_an_ensemble_is_the_smallest_of_its_members() -> None:
    knows_more, knows_less = tiny_scorer(1), tiny_scorer(2)
    knows_less.src_subword = tiny_subword(("a b",))
    line = "cat z"
    [more], [less] = knows_more.encode_sources([line]), knows_less.encode_sources([line])
    assert more.unknown_share < less.unknown_share
    for members in ([knows_more, knows_less], [knows_less, knows_more]):
        [both] = EnsembleScorer(members, average=EnsembleAverage.prob).encode_sources([line])
        assert both.unknown_share == more.unknown_share


def forced(scorer: ModelScorer, source: EncodedSource, hypothesis: Hypothesis) -> float:
    log_prob_M = scorer.model.log_probs(collate([source.ids_by_member[0]], [hypothesis.ids]))
    return float(log_prob_M.sum() if hypothesis.finished else log_prob_M[:-1].sum())


def log_probs_of(results: list[tuple[Hypothesis, ...]]) -> list[float]:
    return [hypothesis.log_prob for hypotheses in results for hypothesis in hypotheses]


@torch.no_grad()
def test_scores_are_those_of_forced_decoding() -> None:
    scorer = tiny_scorer()
    sources = scorer.encode_sources(LINES)
    num_finished = 0
    for source, hypotheses in zip(sources, beam_search(scorer, sources, search_config(4, n_best=4)), strict=True):
        for hypothesis in hypotheses:
            # `log_probs` computes in float32
            assert hypothesis.log_prob == pytest.approx(forced(scorer, source, hypothesis), rel=1e-5)
            num_finished += hypothesis.finished
    assert num_finished > 0


@torch.no_grad()
def test_greedy_search_takes_the_most_likely_token_of_teacher_forcing() -> None:
    scorer = tiny_scorer()
    for source in scorer.encode_sources(LINES):
        ((hypothesis,),) = beam_search(scorer, [source], search_config(1))
        batch = collate([source.ids_by_member[0]], [hypothesis.ids])
        logits_MV = scorer.model.decoder.output(scorer.model(batch))
        logits_MV[:, [PAD_ID, BOS_ID]] = -math.inf
        num_tokens = len(hypothesis.ids) + hypothesis.finished
        assert torch.equal(logits_MV.argmax(1)[:num_tokens], batch.tgt_token_M[:num_tokens])


@pytest.mark.parametrize("beam_size", [1, 4])
def test_padding_and_other_sentences_change_nothing(beam_size: int) -> None:
    scorer = tiny_scorer(dtype=torch.float64)
    config = search_config(beam_size, n_best=beam_size)
    sources = scorer.encode_sources(LINES)
    singles = [beam_search(scorer, [source], config)[0] for source in sources]
    for batch_rows in (10_000, 2 * beam_size):
        together = beam_search(scorer, sources, replace(config, batch_rows=batch_rows))
        assert ids_of(together) == ids_of(singles)
        assert log_probs_of(together) == pytest.approx(log_probs_of(singles), abs=1e-12)


def test_the_same_input_gives_the_same_output() -> None:
    scorer = tiny_scorer(dtype=torch.float32)
    sources = scorer.encode_sources(LINES)
    assert beam_search(scorer, sources, search_config(4)) == beam_search(scorer, sources, search_config(4))


@pytest.mark.parametrize("average", list(EnsembleAverage))
def test_an_ensemble_of_twins_is_one_model(average: EnsembleAverage) -> None:
    one = tiny_scorer()
    twins = EnsembleScorer([one, one, one], average=average)
    config = search_config(4, n_best=3)
    expected = beam_search(one, one.encode_sources(LINES), config)
    found = beam_search(twins, twins.encode_sources(LINES), config)
    assert ids_of(found) == ids_of(expected)
    assert log_probs_of(found) == pytest.approx(log_probs_of(expected), abs=1e-12)


@pytest.mark.parametrize("average", list(EnsembleAverage))
def test_an_ensemble_averages_its_members(average: EnsembleAverage) -> None:
    members = [
        tiny_scorer(1),
        tiny_scorer(2, src_vocab_size=22),
        tiny_scorer(3, source_order=SourceOrder.forward),
    ]
    ensemble = EnsembleScorer(members, average=average)
    state = ensemble.start(ensemble.encode_sources(LINES))
    prev_N = torch.full((len(LINES),), BOS_ID)
    candidates = ensemble.step(prev_N, state, ensemble.tgt_vocab_size)
    log_prob_XNV = torch.stack(
        [
            torch.log_softmax(member.logits(prev_N, member.start(member.encode_sources(LINES)))[0], dim=1)
            for member in members
        ]
    )
    log_prob_NV = log_prob_XNV.exp().mean(0).log() if average == EnsembleAverage.prob else log_prob_XNV.mean(0)
    expected_NC = log_prob_NV.gather(1, candidates.token_NC)
    expected_NC[(candidates.token_NC == PAD_ID) | (candidates.token_NC == BOS_ID)] = -math.inf
    torch.testing.assert_close(candidates.log_prob_NC, expected_NC, rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_log_prob_ensemble_scores_the_mean_of_its_members() -> None:
    members = [tiny_scorer(1), tiny_scorer(2, src_vocab_size=22), tiny_scorer(3, source_order=SourceOrder.forward)]
    ensemble = EnsembleScorer(members, average=EnsembleAverage.log_prob)
    results = beam_search(ensemble, ensemble.encode_sources(LINES), search_config(3))
    for line, (hypothesis,) in zip(LINES, results, strict=True):
        by_member = [forced(member, member.encode_sources([line])[0], hypothesis) for member in members]
        assert hypothesis.log_prob == pytest.approx(sum(by_member) / 3, rel=1e-5)


def test_order_of_members_does_not_matter() -> None:
    members = [tiny_scorer(1), tiny_scorer(2, src_vocab_size=22)]
    results = []
    for order in (members, members[::-1]):
        ensemble = EnsembleScorer(order, average=EnsembleAverage.prob)
        results.append(beam_search(ensemble, ensemble.encode_sources(LINES), search_config(3)))
    assert ids_of(results[0]) == ids_of(results[1])


def test_members_of_different_target_vocabularies_are_refused() -> None:
    other = tiny_scorer(2, tgt_subword=learn(100, kind=SubwordKind.char))
    with pytest.raises(
        CheckpointError,
        match=r"^members of an ensemble must share one target vocabulary, but those of runs/member1 and runs/member2 "
        r"differ: train all members on one prepared corpus, or with the same subword.src_model and subword.tgt_model$",
    ):
        EnsembleScorer([tiny_scorer(1), other], average=EnsembleAverage.prob)


def test_source_length_of_an_ensemble_is_the_largest_of_its_members() -> None:
    members = [tiny_scorer(1), tiny_scorer(2, src_vocab_size=22)]
    (source,) = EnsembleScorer(members, average=EnsembleAverage.prob).encode_sources(["the cat sat on the mat"])
    lengths = [len(member.encode_sources(["the cat sat on the mat"])[0].ids_by_member[0]) for member in members]
    assert lengths[0] < lengths[1] == source.num_subwords


@pytest.mark.parametrize("ensemble", [False, True])
def test_pad_and_bos_are_never_generated(ensemble: bool) -> None:
    member = tiny_scorer()
    with torch.no_grad():
        member.model.decoder.output.bias[[PAD_ID, BOS_ID]] += 5.0
    scorer: StepScorer[Any] = EnsembleScorer([member, member], average=EnsembleAverage.prob) if ensemble else member
    state = scorer.start(scorer.encode_sources(LINES))
    candidates = scorer.step(torch.full((len(LINES),), BOS_ID), state, 100)
    is_special_NC = (candidates.token_NC == PAD_ID) | (candidates.token_NC == BOS_ID)
    assert candidates.token_NC.shape[1] == scorer.tgt_vocab_size
    assert candidates.log_prob_NC[is_special_NC].tolist() == [-math.inf] * 2 * len(LINES)
    # and their share stays in the normalizer
    assert candidates.log_prob_NC.exp().sum(1).max() < 0.5


def test_log_probabilities_never_exceed_zero() -> None:
    scorer = tiny_scorer(dtype=torch.float32)
    with torch.no_grad():
        scorer.model.decoder.output.bias[5] += 100.0
    state = scorer.start(scorer.encode_sources(LINES))
    candidates = scorer.step(torch.full((len(LINES),), BOS_ID), state, 3)
    assert candidates.log_prob_NC.max() <= 0.0


@needs_bf16
def test_bf16_scores_are_close_to_fp32_and_the_model_is_unchanged() -> None:
    exact, rounded = tiny_scorer(dtype=torch.float32), tiny_scorer(dtype=torch.float32, precision=SearchPrecision.bf16)
    assert {parameter.dtype for parameter in rounded.model.parameters()} == {torch.float32}
    prev_N = torch.full((len(LINES),), BOS_ID)
    logits = [scorer.logits(prev_N, scorer.start(scorer.encode_sources(LINES)))[0] for scorer in (exact, rounded)]
    logits[1] = logits[1].float()
    # 8 bits of mantissa: logits of up to 8 in size, rounded to 1/32, of sums rounded likewise
    torch.testing.assert_close(*logits, rtol=0.0, atol=0.15)
    assert not torch.equal(*logits)


@needs_bf16
@pytest.mark.parametrize("average", list(EnsembleAverage))
def test_an_ensemble_averages_logits_of_bf16_in_float32(average: EnsembleAverage) -> None:
    one = tiny_scorer(dtype=torch.float32, precision=SearchPrecision.bf16)
    twins = EnsembleScorer([one, one], average=average)
    prev_N, state = torch.full((len(LINES),), BOS_ID), one.start(one.encode_sources(LINES))
    expected, found = one.step(prev_N, state, 3), twins.step(prev_N, (state, state), 3)
    torch.testing.assert_close(found.log_prob_NC, expected.log_prob_NC, rtol=0, atol=1e-5)


def test_a_model_in_training_mode_is_refused() -> None:
    scorer = tiny_scorer()
    scorer.model.train()
    with pytest.raises(AssertionError, match=r"search needs model\.eval\(\)"):
        scorer.start(scorer.encode_sources(LINES))
