"""Alignments: attention weights of finished translations, by subword and by word."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nmt.choices import AttentionPlacement, AttentionScore, EnsembleAverage, ReadoutInput, ReplaceUnk, SourceOrder
from nmt.corpus.batching import collate
from nmt.errors import ConfigError
from nmt.model.decoder import DecoderWiring
from nmt.model.decoder_state import DecoderState
from nmt.search.alignment import (
    Aligner,
    Alignment,
    ToAlign,
    attention_weights,
    pharaoh,
    require_attention,
    settings_with_attention,
)
from nmt.search.beam import beam_search
from nmt.search.scorer import EnsembleScorer, StepScorer
from nmt.search.translator import Translator
from tests.attending import LINES, attending_scorer
from tests.copying import LINES as COUNTING
from tests.copying import copying_scorer, digit_words
from tests.models import tiny_subword
from tests.search import search_config

SEARCH = search_config(3, n_best=2)


def items_of(scorer: StepScorer[Any], lines: Sequence[str] = LINES) -> list[ToAlign]:
    sources = scorer.encode_sources(lines)
    return [
        ToAlign(line, source, hypothesis)
        for line, source, n_best in zip(lines, sources, beam_search(scorer, sources, SEARCH), strict=True)
        for hypothesis in n_best
    ]


@pytest.mark.parametrize("order", list(SourceOrder))
def test_the_alignment_of_a_copy_is_the_diagonal(order: SourceOrder) -> None:
    translator = Translator(copying_scorer(order), digit_words(), search_config(2))
    for translation in translator.translate(COUNTING, align=True):
        assert translation.text == translation.source
        alignment = translation.hypotheses[0].alignment
        if translation.source:
            assert alignment is not None
            size = len(translation.source.split()) + 1
            np.testing.assert_allclose(alignment.weights, np.eye(size), atol=1e-3)
            assert alignment.aligned_words() == alignment.aligned_subwords() == list(range(size - 1))
            assert alignment.source == alignment.target
            assert alignment.source[-1] == "</s>"
            assert alignment.source_words == tuple(translation.source.split())


@pytest.mark.parametrize("placement", list(AttentionPlacement))
@pytest.mark.parametrize("order", list(SourceOrder))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_sum_to_1_and_have_a_weight_for_every_subword(
    placement: AttentionPlacement, order: SourceOrder, dtype: torch.dtype
) -> None:
    scorer = attending_scorer(attention_placement=placement, source_order=order, attention_heads=2, dtype=dtype)
    items = items_of(scorer)
    for item, alignment in zip(items, Aligner([scorer], batch_rows=100).align(items), strict=True):
        num_tokens = len(item.hypothesis.ids) + item.hypothesis.finished
        assert alignment.weights.shape == (num_tokens, item.source.num_subwords + 1)
        assert alignment.weights.shape == (len(alignment.target), len(alignment.source))
        np.testing.assert_allclose(alignment.weights.sum(axis=1), 1, atol=1e-5)
        assert alignment.weights.min() >= 0


@torch.no_grad()
def test_weights_are_those_of_teacher_forcing() -> None:
    """The query of attention after the layers is their output, which depends on the target alone."""
    scorer = attending_scorer()
    model = scorer.model
    for item in items_of(scorer):
        batch = collate([item.source.ids_by_member[0]], [item.hypothesis.ids])
        state = model.decoder.start(model.encode(batch.src_BS, batch.src_len_B))
        query_TBH, _ = model.decoder.rnn(model.decoder.embedding(batch.tgt_in_BT.t()), state.recurrent)
        assert model.decoder.attention is not None
        assert state.memory is not None
        weight_BTS = model.decoder.attention.over()(query_TBH.transpose(0, 1), state.memory).weight_BQS
        [weights] = attention_weights(scorer, [item.source], [item.hypothesis])
        np.testing.assert_allclose(weights, weight_BTS[0, : len(weights)].numpy(), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # the fast and the plain decoder
def test_the_output_layer_does_not_run(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = attending_scorer(dtype=dtype, input_feeding=True)
    items = items_of(scorer)
    wirings: list[DecoderWiring] = []
    read = DecoderWiring.read

    def spy(wiring: DecoderWiring, prev_N: torch.Tensor, state: DecoderState) -> tuple[torch.Tensor, DecoderState]:
        wirings.append(wiring)
        monkeypatch.setattr(wiring, "output", None)
        return read(wiring, prev_N, state)

    monkeypatch.setattr(DecoderWiring, "read", spy)
    Aligner([scorer], batch_rows=100).align(items)
    assert len(wirings) == max(len(item.hypothesis.ids) + item.hypothesis.finished for item in items)


def test_a_batch_of_n_is_n_singles_in_any_order() -> None:
    scorer = attending_scorer()
    items = items_of(scorer)
    singles = [Aligner([scorer], batch_rows=1).align([item])[0] for item in items]
    for order in (range(len(items)), range(len(items))[::-1]):
        for batch_rows in (4, 100):
            together = Aligner([scorer], batch_rows=batch_rows).align([items[index] for index in order])
            for index, alignment in zip(order, together, strict=True):
                np.testing.assert_allclose(alignment.weights, singles[index].weights, atol=1e-6)
                assert alignment[1:] == singles[index][1:]


def test_an_ensemble_takes_the_mean_of_members_that_read_the_same_subwords() -> None:
    first, second = attending_scorer(1), attending_scorer(2)
    other = attending_scorer(3, src_subword=tiny_subword(("0 1 2 3 4", "5 6 7 8 9 x")))
    without = attending_scorer(4, attention=AttentionScore.none, readout_input=ReadoutInput.state)
    ensemble = EnsembleScorer([without, first, other, second], average=EnsembleAverage.prob)
    items = items_of(ensemble)
    found = Aligner(ensemble.members, batch_rows=100).align(items)
    own = [item._replace(source=first.encode_sources([item.line])[0]) for item in items]
    by_member = [Aligner([member], batch_rows=100).align(own) for member in (first, second)]
    for alignment, *expected in zip(found, *by_member, strict=True):
        np.testing.assert_allclose(alignment.weights, np.mean([one.weights for one in expected], axis=0), atol=1e-6)
        assert alignment.source == expected[0].source


def test_weights_of_words_are_summed_and_eos_is_no_word() -> None:
    weights = np.array(
        [
            [0.3, 0.3, 0.4, 0.0],  # 0.6 for the first word
            [0.1, 0.1, 0.2, 0.6],  # EOS has most, the two words have 0.2 each: the first
            [0.0, 0.1, 0.8, 0.1],  # of the same target word: 0.3 and 1.0
            [0.0, 0.0, 0.0, 1.0],
        ],
        np.float32,
    )
    source, target = ("▁a", "b", "▁c", "</s>"), ("▁x", "▁y", "z", "</s>")
    alignment = Alignment(weights, source, target, ("ab", "c"), (0, 0, 1), (0, 1, 1))
    assert alignment.aligned_words() == [0, 1]
    assert alignment.aligned_subwords() == [2, 2, 2]
    assert alignment._replace(target_word_of=(0, 1, 2)).aligned_words() == [0, 0, 1]
    assert pharaoh(alignment.aligned_words()) == "0-0 1-1"
    assert pharaoh([2, 0]) == "2-0 0-1"
    assert pharaoh([]) == ""


def test_a_translation_without_words_is_aligned_to_nothing() -> None:
    alignment = Alignment(np.full((1, 2), 0.5, np.float32), ("▁a", "</s>"), ("</s>",), ("a",), (0,), ())
    assert alignment.aligned_words() == []


def test_an_unfinished_translation_has_no_eos() -> None:
    translator = Translator(copying_scorer(), digit_words(), search_config(1, max_len=2))
    [translation] = translator.translate(["0 1 2 3"], align=True)
    alignment = translation.hypotheses[0].alignment
    assert alignment is not None
    assert alignment.target == ("▁0", "▁1")
    assert alignment.aligned_words() == [0, 1]


def test_alignments_come_only_on_request() -> None:
    translator = Translator(copying_scorer(), digit_words(), search_config(2))
    [translation] = translator.translate(["0 1"])
    assert translation.hypotheses[0].alignment is None


def test_attention_is_required_by_name() -> None:
    without = attending_scorer(1, attention=AttentionScore.none, readout_input=ReadoutInput.state)
    config = replace(search_config(), coverage_penalty=0.1, replace_unk=ReplaceUnk.source)
    assert settings_with_attention(search_config()) == []
    assert settings_with_attention(config) == ["search.coverage_penalty", "search.replace_unk"]
    with pytest.raises(
        ConfigError,
        match=r"^search\.coverage_penalty and search\.replace_unk need attention, but runs/member1 has none: name a "
        r"checkpoint trained with model\.attention, or leave it out$",
    ):
        Translator(without, tiny_subword(), config)
    with pytest.raises(
        ConfigError, match=r"^alignments needs attention, but runs/member1 and runs/member1 have none: "
    ):
        require_attention([without, without], ["alignments"])
    require_attention([without], [])
    require_attention([without, attending_scorer()], ["alignments"])
    with pytest.raises(ConfigError, match=r"^align=True needs attention, but runs/member1 has none: "):
        next(Translator(without, tiny_subword(), search_config()).translate(["1"], align=True))
