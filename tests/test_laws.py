"""Laws that hold across modules: from source text to translation, in every implementation."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nmt.config import Implementation, ModelConfig, SearchConfig, SearchPrecision, SourceOrder
from nmt.errors import ConfigError
from nmt.model.cell import CellState, LSTMCell
from nmt.model.fast.inference import FastModel
from nmt.search.scorer import ModelScorer
from nmt.search.translator import TranslatedHypothesis, Translator
from nmt.text.subword import EOS_ID, UNK_ID
from tests.hardware import needs_int8
from tests.models import MODEL, tiny_model, tiny_subword
from tests.search import search_config

CPU = torch.device("cpu")
EQUAL = ["0 1 2 3 4", "5 6 7 8 9", "9 7 5 3 1", "0 0 0 1 1"]
MIXED = ["0 1 2", "", "9", "4 3 2 1 0 9 8 7", "5 5", "  ", "1 2 3 4 5 6", "7 8"]
ORDERS = pytest.mark.parametrize("order", list(SourceOrder))
LINES = pytest.mark.parametrize("lines", [EQUAL, MIXED], ids=["equal lengths", "mixed lengths"])


def scorer_of(
    order: SourceOrder,
    *,
    dtype: torch.dtype,
    precision: SearchPrecision = SearchPrecision.fp32,
    implementation: Implementation = Implementation.fast,
) -> ModelScorer:
    config: ModelConfig = replace(MODEL, hidden_dim=16, source_order=order, init_range=2.0)
    size = tiny_subword().vocab_size
    model = tiny_model(config, seed=4, src_vocab_size=size, tgt_vocab_size=size, dtype=dtype).eval()
    with torch.no_grad():
        # so that translations are long and differ
        model.decoder.output.bias[[UNK_ID, EOS_ID]] -= torch.tensor([9.0, 3.0], dtype=dtype)
    model.implementation = implementation
    return ModelScorer(model, src_subword=tiny_subword(), tgt_subword=tiny_subword(), device=CPU, precision=precision)


def translations(
    scorer: ModelScorer, lines: list[str], *, config: SearchConfig | None = None
) -> list[TranslatedHypothesis]:
    translator = Translator(scorer, tiny_subword(), config or search_config(4, n_best=3))
    return [hypothesis for translation in translator.translate(lines) for hypothesis in translation.hypotheses]


def assert_same(found: list[TranslatedHypothesis], expected: list[TranslatedHypothesis], *, tolerance: float) -> None:
    assert [hypothesis.text for hypothesis in found] == [hypothesis.text for hypothesis in expected]
    assert [hypothesis.finished for hypothesis in found] == [hypothesis.finished for hypothesis in expected]
    assert [hypothesis.log_prob for hypothesis in found] == pytest.approx(
        [hypothesis.log_prob for hypothesis in expected], rel=tolerance, abs=tolerance
    )


@LINES
@ORDERS
def test_fast_and_reference_translate_alike(order: SourceOrder, lines: list[str]) -> None:
    fast, reference = (
        scorer_of(order, dtype=torch.float32, implementation=implementation) for implementation in Implementation
    )
    assert isinstance(fast.inference_model, FastModel)
    assert reference.inference_model is reference.model
    assert_same(translations(fast, lines), translations(reference, lines), tolerance=1e-5)


def test_the_reference_ranks_by_a_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = scorer_of(SourceOrder.reversed, dtype=torch.float32, implementation=Implementation.reference)
    monkeypatch.setattr("nmt.search.ranking.rank", None)
    assert translations(reference, EQUAL)


@pytest.mark.parametrize("implementation", list(Implementation))
def test_an_edit_of_the_equations_changes_translations(
    implementation: Implementation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = translations(scorer_of(SourceOrder.reversed, dtype=torch.float32, implementation=implementation), EQUAL)

    def step(self: LSTMCell, input_gates_NG: Tensor, state: CellState) -> CellState:  # without an output gate
        h_NH, c_NH = state
        i, f, g, _ = (input_gates_NG + self.hidden_map(h_NH)).chunk(4, dim=1)
        c_NH = torch.sigmoid(f) * c_NH + torch.sigmoid(i) * torch.tanh(g)
        return torch.tanh(c_NH), c_NH

    monkeypatch.setattr(LSTMCell, "step", step)
    scorer = scorer_of(SourceOrder.reversed, dtype=torch.float32, implementation=implementation)
    assert translations(scorer, EQUAL) != before
    assert "LSTMCell computes other equations than torch's LSTM: the plain modules run" in caplog.text
    with pytest.raises(ConfigError, match=r"^search\.precision=int8 needs the fast implementation, which computes an"):
        scorer_of(
            SourceOrder.reversed, dtype=torch.float32, precision=SearchPrecision.int8, implementation=implementation
        )


@LINES
@ORDERS
def test_the_fast_model_translates_like_the_plain_one(order: SourceOrder, lines: list[str]) -> None:
    plain, fast = (scorer_of(order, dtype=dtype) for dtype in (torch.float64, torch.float32))
    assert plain.inference_model is plain.model
    assert isinstance(fast.inference_model, FastModel)
    expected = translations(plain, lines)
    assert len({hypothesis.text for hypothesis in expected}) >= len(lines)
    assert {hypothesis.finished for hypothesis in expected} == {False, True}
    assert_same(translations(fast, lines), expected, tolerance=1e-4)


@needs_int8
@LINES
@ORDERS
def test_int8_log_probs_are_the_plain_models_up_to_rounding(order: SourceOrder, lines: list[str]) -> None:
    plain, fast = (
        scorer_of(order, dtype=torch.float64),
        scorer_of(order, dtype=torch.float32, precision=SearchPrecision.int8),
    )
    other = scorer_of(next(one for one in SourceOrder if one != order), dtype=torch.float64)
    sources = plain.encode_sources([line for line in lines if line.strip()])
    prev_N = torch.full((len(sources),), 7)
    logits_NV, right_NV, wrong_NV = (
        scorer.logits(prev_N, scorer.start(sources))[0].double() for scorer in (fast, plain, other)
    )
    assert (logits_NV - right_NV).abs().max() < 0.2 * (wrong_NV - right_NV).abs().max()


def test_a_translation_depends_on_neither_neighbours_nor_batch_size() -> None:
    scorer = scorer_of(SourceOrder.reversed, dtype=torch.float64)
    config = search_config(4, n_best=3)
    alone = [hypothesis for line in MIXED for hypothesis in translations(scorer, [line], config=config)]
    for batch_rows, window_lines in ((4, 100), (9, 3), (64, 1), (64, 100)):
        settings = replace(config, batch_rows=batch_rows, window_lines=window_lines)
        assert_same(translations(scorer, MIXED, config=settings), alone, tolerance=1e-12)
