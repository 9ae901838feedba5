"""Laws that hold across modules: from source text to translation, in every implementation."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nmt.choices import Bridge, CellKind, EnsembleAverage, Implementation, SearchPrecision, SourceOrder
from nmt.config import ModelConfig, SearchConfig
from nmt.corpus.batching import collate
from nmt.errors import ConfigError
from nmt.model.cell import CELLS, Cell, CellState, LSTMCell
from nmt.model.fast.inference import FastModel
from nmt.model.seq2seq import Seq2Seq
from nmt.search.beam import beam_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.scorer import EnsembleScorer, ModelScorer
from nmt.search.translator import TranslatedHypothesis, Translator
from nmt.text.subword import EOS_ID, UNK_ID
from tests.family import FAMILY
from tests.hardware import needs_int8
from tests.models import MODEL, PAIRS, tiny_model, tiny_subword
from tests.search import forced_log_probs, log_prob_of, search_config

CPU = torch.device("cpu")
EQUAL = ["0 1 2 3 4", "5 6 7 8 9", "9 7 5 3 1", "0 0 0 1 1"]
MIXED = ["0 1 2", "", "9", "4 3 2 1 0 9 8 7", "5 5", "  ", "1 2 3 4 5 6", "7 8"]
ORDERS = pytest.mark.parametrize("order", list(SourceOrder))
LINES = pytest.mark.parametrize("lines", [EQUAL, MIXED], ids=["equal lengths", "mixed lengths"])


PAPER = {order: replace(MODEL, hidden_dim=16, source_order=order, init_range=2.0) for order in SourceOrder}
REVERSED = PAPER[SourceOrder.reversed]
# Far from linear, but not so far that rounding grows at every step. Cells by themselves step in test_inference.py.
FAR = {name: replace(config, init_range=1.0) for name, config in FAMILY.items() if name not in list(CellKind)}
MODELS = pytest.mark.parametrize("config", [*PAPER.values(), *FAR.values()], ids=[*PAPER, *FAR])


def model_of(config: ModelConfig, *, dtype: torch.dtype) -> Seq2Seq:
    size = tiny_subword().vocab_size
    model = tiny_model(config, seed=4, src_vocab_size=size, tgt_vocab_size=size, dtype=dtype).eval()
    with torch.no_grad():
        # so that translations are long and differ
        model.decoder.output.bias[[UNK_ID, EOS_ID]] -= torch.tensor([9.0, 3.0], dtype=dtype)
    return model


def scorer_of(
    config: ModelConfig,
    *,
    dtype: torch.dtype,
    precision: SearchPrecision = SearchPrecision.fp32,
    implementation: Implementation = Implementation.fast,
) -> ModelScorer:
    model = model_of(config, dtype=dtype)
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
@MODELS
def test_fast_and_reference_translate_alike(config: ModelConfig, lines: list[str]) -> None:
    fast, reference = (
        scorer_of(config, dtype=torch.float32, implementation=implementation) for implementation in Implementation
    )
    assert isinstance(fast.inference_model, FastModel)
    assert reference.inference_model is reference.model
    search = search_config(4, n_best=3) if config in PAPER.values() else search_config(2, n_best=2)
    expected = translations(reference, lines, config=search)
    assert len({round(hypothesis.log_prob, 4) for hypothesis in expected}) > len(lines)  # they depend on the source
    assert_same(translations(fast, lines, config=search), expected, tolerance=1e-5)


def test_the_reference_ranks_by_a_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = scorer_of(REVERSED, dtype=torch.float32, implementation=Implementation.reference)
    monkeypatch.setattr("nmt.search.ranking.rank", None)
    assert translations(reference, EQUAL)


@pytest.mark.parametrize("implementation", list(Implementation))
def test_an_edit_of_the_equations_changes_translations(
    implementation: Implementation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = translations(scorer_of(REVERSED, dtype=torch.float32, implementation=implementation), EQUAL)

    def step(self: LSTMCell, input_gates_NG: Tensor, state: CellState) -> CellState:  # without an output gate
        h_NH, c_NH = state
        i, f, g, _ = (input_gates_NG + self.hidden_map(h_NH)).chunk(4, dim=1)
        c_NH = torch.sigmoid(f) * c_NH + torch.sigmoid(i) * torch.tanh(g)
        return torch.tanh(c_NH), c_NH

    monkeypatch.setattr(LSTMCell, "step", step)
    scorer = scorer_of(REVERSED, dtype=torch.float32, implementation=implementation)
    assert translations(scorer, EQUAL) != before
    assert "LSTMCell computes other equations than torch's LSTM: the plain modules run" in caplog.text
    with pytest.raises(ConfigError, match=r"^search\.precision=int8 needs the fast implementation, which computes un"):
        scorer_of(REVERSED, dtype=torch.float32, precision=SearchPrecision.int8, implementation=implementation)


TORCHS_NAMES = {
    CellKind.lstm: "LSTM",
    CellKind.gru: "GRU",
    CellKind.rnn_tanh: "recurrent network",
    CellKind.rnn_relu: "recurrent network",
}


@pytest.mark.parametrize("kind", list(CellKind))
def test_changed_equations_run_in_training_and_in_search(
    kind: CellKind, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of cells that torch has are noticed, and the plain modules run; the others run anyway."""
    config = replace(MODEL, cell=kind, bridge=Bridge.dense)
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS])

    def results() -> tuple[Tensor, Hypothesis, Implementation]:
        scorer = scorer_of(config, dtype=torch.float32)
        [[hypothesis]] = beam_search(scorer, scorer.encode_sources(EQUAL[:1]), search_config(4))
        return scorer.model.train()(batch).detach(), hypothesis, scorer.model.implementation

    trained_MH, before, implementation = results()
    assert implementation == Implementation.fast
    step = CELLS[kind].step

    def halved(self: Cell, input_gates_NG: Tensor, state: CellState) -> CellState:
        return tuple(part / 2 for part in step(self, input_gates_NG, state))

    monkeypatch.setattr(CELLS[kind], "step", halved)
    changed_MH, after, implementation = results()
    assert not torch.allclose(changed_MH, trained_MH)
    assert after.log_prob != pytest.approx(before.log_prob, abs=1e-3)
    expected_TV = forced_log_probs(model_of(config, dtype=torch.float64), tiny_subword().encode(EQUAL[0]), after.ids)
    assert after.log_prob == pytest.approx(log_prob_of(after, expected_TV), abs=1e-4)
    if kind in TORCHS_NAMES:
        assert implementation == Implementation.reference
        name = CELLS[kind].__name__
        assert (
            f"{name} computes other equations than torch's {TORCHS_NAMES[kind]}: the plain modules run" in caplog.text
        )
    else:
        assert implementation == Implementation.fast
        assert not caplog.records


@LINES
@ORDERS
def test_the_fast_model_translates_like_the_plain_one(order: SourceOrder, lines: list[str]) -> None:
    plain, fast = (scorer_of(PAPER[order], dtype=dtype) for dtype in (torch.float64, torch.float32))
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
        scorer_of(PAPER[order], dtype=torch.float64),
        scorer_of(PAPER[order], dtype=torch.float32, precision=SearchPrecision.int8),
    )
    other = scorer_of(PAPER[next(one for one in SourceOrder if one != order)], dtype=torch.float64)
    sources = plain.encode_sources([line for line in lines if line.strip()])
    prev_N = torch.full((len(sources),), 7)
    logits_NV, right_NV, wrong_NV = (
        scorer.logits(prev_N, scorer.start(sources))[0].double() for scorer in (fast, plain, other)
    )
    assert (logits_NV - right_NV).abs().max() < 0.2 * (wrong_NV - right_NV).abs().max()


def test_a_translation_depends_on_neither_neighbours_nor_batch_size() -> None:
    scorer = scorer_of(REVERSED, dtype=torch.float64)
    config = search_config(4, n_best=3)
    alone = [hypothesis for line in MIXED for hypothesis in translations(scorer, [line], config=config)]
    for batch_rows, window_lines in ((4, 100), (9, 3), (64, 1), (64, 100)):
        settings = replace(config, batch_rows=batch_rows, window_lines=window_lines)
        assert_same(translations(scorer, MIXED, config=settings), alone, tolerance=1e-12)


@pytest.mark.parametrize("name", FAR)
def test_in_every_wiring_a_batch_of_n_is_n_singles(name: str) -> None:
    """With few rows at a time, sentences begin while others go on: memories are joined and cut."""
    scorer, config, lines = scorer_of(FAR[name], dtype=torch.float64), search_config(2, n_best=2), MIXED[:5]
    alone = [hypothesis for line in lines for hypothesis in translations(scorer, [line], config=config)]
    assert len({hypothesis.text for hypothesis in alone}) > 2
    for batch_rows in (6, 64):
        settings = replace(config, batch_rows=batch_rows)
        assert_same(translations(scorer, lines, config=settings), alone, tolerance=1e-12)


@pytest.mark.parametrize("average", list(EnsembleAverage))
@pytest.mark.parametrize("precision", [SearchPrecision.fp32, pytest.param(SearchPrecision.int8, marks=needs_int8)])
def test_an_ensemble_of_unlike_members_is_their_mean(precision: SearchPrecision, average: EnsembleAverage) -> None:
    """Attention and none, LSTM and GRU, one direction and two, tied and not."""
    configs = [REVERSED, FAR["bahdanau_2015"], FAR["cho_2014"], FAR["luong_2015"], FAR["strings_256"]]
    members = [scorer_of(config, dtype=torch.float32, precision=precision) for config in configs]
    exact = [model_of(config, dtype=torch.float64) for config in configs]
    ensemble = EnsembleScorer(members, average=average)
    lines = [line for line in MIXED if line.strip()]
    results = beam_search(ensemble, ensemble.encode_sources(lines), search_config(4, n_best=2))
    for line, n_best in zip(lines, results, strict=True):
        for hypothesis in n_best:
            ids = tiny_subword().encode(line)
            log_prob_XTV = torch.stack([forced_log_probs(model, ids, hypothesis.ids) for model in exact])
            is_prob = average == EnsembleAverage.prob
            mean_TV = log_prob_XTV.exp().mean(0).log() if is_prob else log_prob_XTV.mean(0)
            tolerance = 1e-4 if precision == SearchPrecision.fp32 else 0.05 * len(log_prob_XTV[0])
            assert hypothesis.log_prob == pytest.approx(log_prob_of(hypothesis, mean_TV), abs=tolerance)
    assert len({n_best[0].ids for n_best in results}) > 1
