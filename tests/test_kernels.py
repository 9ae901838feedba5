"""What search computes between its products, in torch and compiled: the same."""

import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nmt.linear import dequantize
from nmt.model import compiled_kernels, kernels
from nmt.model.kernels import add_rows, log_sum_exp, lstm_cell, rank, softmax_, top_k
from nmt.text.subword import BOS_ID, PAD_ID


@pytest.fixture(params=["torch", "compiled"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_compiled", compiled_kernels if request.param == "compiled" else None)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("vocab_size", [5, 64, 640, 641, 1000])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_top_k_by_slices_is_top_k(vocab_size: int, k: int) -> None:
    value_NV = normal(8, vocab_size, seed=vocab_size + k)
    value_NV[0] = torch.arange(vocab_size)  # the greatest stand together at the end
    value_NV[1, 4:] = -math.inf
    value_NV[2] = 0.5  # nothing but ties
    value_NV[3] = value_NV[3].round()
    expected_NC, _ = value_NV.topk(min(k, vocab_size))
    found_NC, index_NC = top_k(value_NV, k)
    assert torch.equal(found_NC, expected_NC)
    is_there_NC = found_NC > -math.inf  # what is not there has no index
    assert torch.equal(value_NV.gather(1, index_NC)[is_there_NC], expected_NC[is_there_NC])
    rows = [row[there].tolist() for row, there in zip(index_NC, is_there_NC, strict=True)]
    assert all(len(set(row)) == len(row) for row in rows)


@pytest.mark.usefixtures("both")
def test_top_k_where_small_numbers_are_flushed_to_zero() -> None:
    torch.set_flush_denormal(True)
    try:
        value_NC, index_NC = top_k(torch.zeros(2, 300), 3)
    finally:
        torch.set_flush_denormal(False)
    assert value_NC.tolist() == [[0.0] * 3] * 2
    assert [len(set(row)) for row in index_NC.tolist()] == [3, 3]


@pytest.mark.parametrize("shift", [0.0, 40.0, 300.0, -300.0])
def test_the_normalizer_holds_for_logits_of_any_size(shift: float) -> None:
    logits_NV = 3 * normal(70, 50)
    logits_NV[3] += shift
    expected = torch.logsumexp(logits_NV.double(), dim=1, keepdim=True)
    torch.testing.assert_close(log_sum_exp(logits_NV).double(), expected, atol=2e-5, rtol=1e-6)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("shift", [0.0, 40.0, 300.0, -300.0])
@pytest.mark.parametrize(("vocab_size", "k"), [(4, 6), (60, 1), (700, 13)])
def test_ranked_are_log_probabilities_without_pad_and_bos(vocab_size: int, k: int, shift: float) -> None:
    logits_NV = 3 * normal(40, vocab_size, seed=k)
    logits_NV[3] += shift
    logits_NV[4, PAD_ID] = 200.0  # has nearly all of the probability, and yet is no candidate
    logits_NV[5, BOS_ID] = -math.inf
    logits_NV[6, 3] = 500.0
    expected_NV = torch.log_softmax(logits_NV.double(), dim=1)
    expected_NV[:, [PAD_ID, BOS_ID]] = -math.inf
    expected_NC, _ = expected_NV.topk(min(k, vocab_size))
    log_prob_NC, token_NC = rank(logits_NV, k)
    torch.testing.assert_close(log_prob_NC.double(), expected_NC, atol=5e-5, rtol=1e-6)
    assert float(log_prob_NC.max()) <= 0.0
    possible_NC = log_prob_NC > -math.inf
    assert not torch.isin(token_NC[possible_NC], torch.tensor([PAD_ID, BOS_ID])).any()
    torch.testing.assert_close(expected_NV.gather(1, token_NC)[possible_NC], expected_NC[possible_NC])


@pytest.mark.usefixtures("both")
def test_softmax_gives_probabilities() -> None:
    logits_NV = 5 * normal(9, 300)
    logits_NV[2] += 1000.0
    logits_NV[3, 7] = -math.inf
    expected_NV = torch.softmax(logits_NV.double(), dim=1)
    torch.testing.assert_close(softmax_(logits_NV).double(), expected_NV, atol=1e-7, rtol=1e-5)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("hidden_dim", [1, 7, 64])
@pytest.mark.parametrize("quantized", [False, True])
def test_a_cell_is_the_equations(hidden_dim: int, quantized: bool) -> None:
    gates_NG, before_c_NH = 4 * normal(6, 4 * hidden_dim), normal(6, hidden_dim, seed=2)
    gates_NG[0], gates_NG[1] = 1e4, -1e4  # saturated
    i, f, g, o = gates_NG.double().chunk(4, dim=1)
    expected_c_NH = f.sigmoid() * before_c_NH + i.sigmoid() * g.tanh()
    expected_h_NH = o.sigmoid() * expected_c_NH.tanh()
    h_NH = torch.empty(6, hidden_dim, dtype=torch.uint8 if quantized else torch.float32)
    c_NH = torch.empty(6, hidden_dim)
    lstm_cell(gates_NG, before_c_NH, h_NH=h_NH, c_NH=c_NH)
    torch.testing.assert_close(c_NH.double(), expected_c_NH, atol=1e-6, rtol=1e-5)
    if quantized:
        torch.testing.assert_close(dequantize(h_NH).double(), expected_h_NH, atol=0.5001 / 127, rtol=0.0)
    else:
        torch.testing.assert_close(h_NH.double(), expected_h_NH, atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("both")
def test_rows_of_a_table_are_added() -> None:
    sum_NX, table_VX = normal(4, 8), normal(3, 8, seed=2)
    expected_NX = sum_NX + table_VX[[2, 0, 1, 2]]
    add_rows(sum_NX, table_VX, torch.tensor([2, 0, 1, 2]))
    assert torch.equal(sum_NX, expected_NX)
    for beyond in (3, -1):
        with pytest.raises(IndexError):
            add_rows(sum_NX, table_VX, torch.tensor([0, beyond, 1, 2]))
    assert torch.equal(sum_NX, expected_NX)


def test_what_is_not_float32_stays_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_compiled", compiled_kernels)
    value_NV = normal(3, 20).double()
    assert top_k(value_NV, 2)[0].dtype == torch.float64


LOAD_AND_RANK = """
import logging, torch
from nmt.model import kernels
logging.basicConfig(format="%(message)s")
kernels.load_compiled()
kernels.load_compiled()
print(kernels._compiled is not None, kernels.top_k(torch.tensor([[1.0, 3.0, 2.0]]), 1)[1].item())
"""


def load_and_rank(**environment: str) -> tuple[str, str]:
    """Load the compiled kernels in a process of their own; returns what it printed and what it logged."""
    program = [sys.executable, "-c", LOAD_AND_RANK]
    done = subprocess.run(program, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.mark.slow
def test_what_was_compiled_is_kept(tmp_path: Path) -> None:
    assert load_and_rank(NUMBA_CACHE_DIR=str(tmp_path)) == ("True 1", "")
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert kept
    assert load_and_rank(NUMBA_CACHE_DIR=str(tmp_path)) == ("True 1", "")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == kept


@pytest.mark.slow
def test_kernels_compile_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": str(tmp_path / "file" / "x"),
    }
    assert load_and_rank(**nowhere) == ("True 1", "")


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["*.nbi", "*.nbc"])
def test_damaged_files_of_numba_cost_speed_and_nothing_else(damaged: str, tmp_path: Path) -> None:
    load_and_rank(NUMBA_CACHE_DIR=str(tmp_path))
    for path in tmp_path.rglob(damaged):
        path.write_bytes(path.read_bytes()[:20])
    printed, logged = load_and_rank(NUMBA_CACHE_DIR=str(tmp_path))
    assert printed == "False 1"
    assert logged.startswith("search goes on without compiled kernels")
    assert logged.count("\n") == 1


def test_without_numba_torch_goes_on_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernels, "_compiled", None)
    monkeypatch.setattr(kernels, "_loading_failed", False)
    monkeypatch.delitem(sys.modules, "nmt.model.compiled_kernels")
    monkeypatch.delattr("nmt.model.compiled_kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    with caplog.at_level(logging.WARNING):
        kernels.load_compiled()
        kernels.load_compiled()
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "search goes on without compiled kernels, up to a third slower: numba fails with ModuleNotFoundError: "
    )
    assert top_k(torch.tensor([[1.0, 3.0, 2.0]]), 1)[1].item() == 1
