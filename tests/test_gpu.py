"""The laws of a CPU on a GPU; skipped if there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from nmt.choices import DropoutMask, SearchPrecision, TrainingPrecision
from nmt.corpus.batching import collate
from nmt.device import bf16_failure, choose_tf32, has_fast_bf16, resolve_training_precision
from nmt.search.scorer import ModelScorer
from nmt.search.translator import Translation, Translator
from nmt.training.loss import batch_loss, token_loss
from nmt.training.optimizer import clip_gradients
from tests.commands import Done, nmt, train_settings
from tests.family import FAMILY
from tests.models import MODEL, PAIRS, tiny_model, tiny_subword
from tests.search import search_config

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _no_tf32() -> None:
    choose_tf32(TrainingPrecision.fp32, GPU)


def _product_error() -> float:
    """Multiply on the GPU in float32; returns the largest error, relative to the numbers that are added up."""
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    error = (a.to(GPU) @ b.to(GPU)).cpu().double() - a.double() @ b.double()
    return float(error.abs().max()) / 16


def test_matmuls_are_exact_in_fp32_and_may_be_rounded_in_bf16() -> None:
    assert _product_error() < 3e-6
    choose_tf32(TrainingPrecision.bf16, GPU)
    if torch.cuda.get_device_capability() >= (8, 0):
        assert 1e-5 < _product_error() < 1e-2


def test_bf16_works_if_the_gpu_has_it() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("the GPU has no bf16")
    assert bf16_failure(GPU) is None
    assert resolve_training_precision(TrainingPrecision.auto, GPU) == TrainingPrecision.bf16


def test_a_factor_on_the_objective_multiplies_all_gradients() -> None:
    _, gradients = _loss_and_gradients(GPU)
    _, scaled = _loss_and_gradients(GPU, factor=-2.5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(scaled[name], -2.5 * gradient, rtol=1e-4, atol=1e-6, msg=name)


def _loss_and_gradients(device: torch.device, *, factor: float = 1.0) -> tuple[float, dict[str, Tensor]]:
    model = tiny_model(dtype=torch.float32).to(device)
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS]).to(device)
    loss = token_loss(model(batch), model.decoder.output, batch.tgt_token_M, label_smoothing=0.1, scale=0.1)
    (factor * loss.objective).backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert {gradient.device.type for gradient in gradients.values() if gradient is not None} == {device.type}
    return float(loss.nll), {name: gradient.cpu() for name, gradient in gradients.items() if gradient is not None}


def test_loss_and_gradients_are_those_of_the_cpu() -> None:
    (nll, gradients), (gpu_nll, gpu_gradients) = _loss_and_gradients(CPU), _loss_and_gradients(GPU)
    assert gpu_nll == pytest.approx(nll, rel=1e-5)
    assert gpu_gradients.keys() == gradients.keys() == dict(tiny_model().named_parameters()).keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gpu_gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("name", FAMILY)
@torch.no_grad()
def test_every_wiring_computes_and_steps_as_on_the_cpu(name: str) -> None:
    logits = []
    for device in (CPU, GPU):
        model = tiny_model(FAMILY[name], src_vocab_size=12, dtype=torch.float32).to(device).eval()
        batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS]).to(device)
        state = model.decoder.start(model.encode(batch.src_BS, batch.src_len_B))
        state = state.select(torch.tensor([3, 0, 0], device=device)).concat(state)
        step_NV, _ = model.decoder.step(torch.full((8,), 5, device=device), state)
        logits.append((model.decoder.output(model(batch)).cpu(), step_NV.cpu()))
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILY)
def test_every_wiring_has_the_gradients_of_float32_in_bf16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_fast_bf16(GPU):
        pytest.skip("the GPU has no bf16")
    monkeypatch.setattr("nmt.model.layer.ROWS_IN_BF16", 1)
    gradients: list[dict[str, Tensor]] = []
    for precision in (TrainingPrecision.fp32, TrainingPrecision.bf16):
        model = tiny_model(FAMILY[name], src_vocab_size=12, dtype=torch.float32).to(GPU)
        batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS]).to(GPU)
        loss = batch_loss(model, batch, precision=precision, label_smoothing=0.1, scale=0.1)
        loss.objective.backward()  # type: ignore[no-untyped-call]
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        gradients.append({name: gradient for name, gradient in found.items() if gradient is not None})
    exact, rounded = gradients
    assert exact.keys() == rounded.keys()
    total = torch.stack([gradient.norm() for gradient in exact.values()]).norm()
    for parameter, gradient in exact.items():
        assert rounded[parameter].dtype == torch.float32
        assert (rounded[parameter] - gradient).norm() < 0.1 * gradient.norm() + 1e-4 * total, parameter


@pytest.mark.parametrize("name", FAMILY)
def test_every_wiring_trains_with_one_mask_a_sentence(name: str) -> None:
    config = replace(FAMILY[name], dropout=0.3, dropout_recurrent=0.3, dropout_mask=DropoutMask.sentence)
    model = tiny_model(config, src_vocab_size=12, dtype=torch.float32).to(GPU).train()
    batch = collate([src for src, _ in PAIRS], [tgt for _, tgt in PAIRS]).to(GPU)
    model.decoder.output(model(batch)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("max_norm", [0.5, 1000.0], ids=["clipped", "untouched"])
def test_gradients_are_clipped_as_on_the_cpu(max_norm: float) -> None:
    clipped: list[list[Tensor]] = []
    for device in (CPU, GPU):
        parameters = [torch.nn.Parameter(torch.zeros(size, device=device)) for size in (2, 1)]
        for parameter, gradient in zip(parameters, ([6.0, 0.0], [-8.0]), strict=True):
            parameter.grad = torch.tensor(gradient, device=device)
        assert float(clip_gradients(parameters, max_norm)) == pytest.approx(10)
        clipped.append([parameter.grad.cpu() for parameter in parameters if parameter.grad is not None])
    torch.testing.assert_close(clipped[1], clipped[0])


def _translations(
    device: torch.device, *, beam_size: int, precision: SearchPrecision = SearchPrecision.fp32
) -> list[Translation]:
    subword = tiny_subword()
    config = replace(MODEL, init_range=1.5)  # far from uniform, so that rounding decides nothing
    size = subword.vocab_size
    model = tiny_model(config, src_vocab_size=size, tgt_vocab_size=size, dtype=torch.float32).eval()
    scorer = ModelScorer(model, src_subword=subword, tgt_subword=subword, device=device, precision=precision)
    lines = [f"{n} {n * n} {n**3}" for n in range(20)]
    return list(Translator(scorer, subword, search_config(beam_size, n_best=beam_size)).translate(lines))


@pytest.mark.parametrize("beam_size", [1, 4])
def test_search_finds_the_translations_of_the_cpu(beam_size: int) -> None:
    on_cpu, on_gpu = _translations(CPU, beam_size=beam_size), _translations(GPU, beam_size=beam_size)
    for expected, found in zip(on_cpu, on_gpu, strict=True):
        assert [one.text for one in found.hypotheses] == [one.text for one in expected.hypotheses]
        assert [one.score for one in found.hypotheses] == pytest.approx([one.score for one in expected.hypotheses])


def test_search_in_bf16_is_close_to_that_of_the_cpu() -> None:
    if bf16_failure(GPU):
        pytest.skip("the GPU has no bf16")
    on_cpu, on_gpu = _translations(CPU, beam_size=1), _translations(GPU, beam_size=1, precision=SearchPrecision.bf16)
    for expected, found in zip(on_cpu, on_gpu, strict=True):
        if found.text == expected.text:
            tolerance = 0.05 * expected.hypotheses[0].num_tokens
            assert found.hypotheses[0].score == pytest.approx(expected.hypotheses[0].score, abs=tolerance)
    assert sum(found.text == expected.text for expected, found in zip(on_cpu, on_gpu, strict=True)) >= 10


def _train(digits: Path, run_dir: Path, *overrides: str) -> Done:
    often = ["training.log_every=1", "training.validate_every=100"]
    done = nmt(
        "train", *train_settings(digits), *often, "optimizer.lr=0.02", f"device={GPU}", f"run_dir={run_dir}", *overrides
    )
    assert done.status == 0, done.err
    return done


def _losses(run_dir: Path, *, after_update: int = 0) -> dict[tuple[str, int], float]:
    records: list[dict[str, Any]] = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {
        (record["kind"], record["update"]): record["nats_per_token"]
        for record in records
        if record["update"] > after_update
    }


def test_training_in_bf16_lowers_the_loss(digits: Path, tmp_path: Path) -> None:
    large = ("model.hidden_dim=32", "model.embedding_dim=32")
    done = _train(digits, tmp_path / "run", *large, "training.precision=bf16", "training.max_updates=60")
    assert f"on {GPU} in bf16" in done.err
    losses = [nats_per_token for (kind, _), nats_per_token in _losses(tmp_path / "run").items() if kind == "train"]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_a_resumed_run_equals_the_uninterrupted_one(digits: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _train(digits, whole, "training.max_updates=9")
    _train(digits, cut, "training.max_updates=6")
    assert f"resuming {cut} at update 6" in _train(digits, cut, "training.max_updates=9", "resume=true").err
    expected, found = (_losses(run, after_update=6) for run in (whole, cut))
    assert expected.keys() == {("train", 7), ("train", 8), ("train", 9), ("valid", 9)}
    assert found == pytest.approx(expected, rel=1e-4)  # a GPU adds up in no fixed order
