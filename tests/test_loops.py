"""What search computes between its products, in torch and compiled: the same."""

import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from nmt.model import compiled_loops, loops
from nmt.model.loops import TableRows, dequantize, log_sum_exp, quantize
from nmt.text.subword import BOS_ID, PAD_ID

both = pytest.mark.parametrize("module", [loops, compiled_loops], ids=["torch", "compiled"])


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@both
@pytest.mark.parametrize("vocab_size", [5, 64, 640, 641, 1000])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_top_k_by_slices_is_top_k(module: ModuleType, vocab_size: int, k: int) -> None:
    value_NV = normal(8, vocab_size, seed=vocab_size + k)
    value_NV[0] = torch.arange(vocab_size)  # the greatest stand together at the end
    value_NV[1, 4:] = -math.inf
    value_NV[2] = 0.5  # nothing but ties
    value_NV[3] = value_NV[3].round()
    expected_NC, _ = value_NV.topk(min(k, vocab_size))
    found_NC, index_NC = module.top_k(value_NV, k)
    assert torch.equal(found_NC, expected_NC)
    is_there_NC = found_NC > -math.inf  # what is not there has no index
    assert torch.equal(value_NV.gather(1, index_NC)[is_there_NC], expected_NC[is_there_NC])
    rows = [row[there].tolist() for row, there in zip(index_NC, is_there_NC, strict=True)]
    assert all(len(set(row)) == len(row) for row in rows)


@pytest.mark.parametrize("shift", [0.0, 40.0, 300.0, -300.0])
def test_the_normalizer_holds_for_logits_of_any_size(shift: float) -> None:
    logits_NV = 3 * normal(70, 50)
    logits_NV[3] += shift
    expected = torch.logsumexp(logits_NV.double(), dim=1, keepdim=True)
    torch.testing.assert_close(log_sum_exp(logits_NV).double(), expected, atol=2e-5, rtol=1e-6)


@both
@pytest.mark.parametrize("shift", [0.0, 40.0, 300.0, -300.0])
@pytest.mark.parametrize(("vocab_size", "k"), [(4, 6), (60, 1), (700, 13)])
def test_ranked_are_log_probabilities_without_pad_and_bos(
    module: ModuleType, vocab_size: int, k: int, shift: float
) -> None:
    logits_NV = 3 * normal(40, vocab_size, seed=k)
    logits_NV[3] += shift
    logits_NV[4, PAD_ID] = 200.0  # has nearly all of the probability, and yet is no candidate
    logits_NV[5, BOS_ID] = -math.inf
    logits_NV[6, 3] = 500.0
    expected_NV = torch.log_softmax(logits_NV.double(), dim=1)
    expected_NV[:, [PAD_ID, BOS_ID]] = -math.inf
    expected_NC, _ = expected_NV.topk(min(k, vocab_size))
    log_prob_NC, token_NC = module.rank(logits_NV, k)
    torch.testing.assert_close(log_prob_NC.double(), expected_NC, atol=5e-5, rtol=1e-6)
    assert float(log_prob_NC.max()) <= 0.0
    possible_NC = log_prob_NC > -math.inf
    assert not torch.isin(token_NC[possible_NC], torch.tensor([PAD_ID, BOS_ID])).any()
    torch.testing.assert_close(expected_NV.gather(1, token_NC)[possible_NC], expected_NC[possible_NC])


@both
def test_softmax_gives_probabilities(module: ModuleType) -> None:
    logits_NV = 5 * normal(9, 300)
    logits_NV[2] += 1000.0
    logits_NV[3, 7] = -math.inf
    expected_NV = torch.softmax(logits_NV.double(), dim=1)
    torch.testing.assert_close(module.softmax_(logits_NV).double(), expected_NV, atol=1e-7, rtol=1e-5)


@both
@pytest.mark.parametrize("hidden_dim", [1, 7, 64])
@pytest.mark.parametrize("with_table", [False, True])
@pytest.mark.parametrize("quantized", [False, True])
def test_a_cell_is_the_equations(module: ModuleType, hidden_dim: int, with_table: bool, quantized: bool) -> None:
    gates_NG, before_c_NH = 4 * normal(6, 4 * hidden_dim), normal(6, hidden_dim, seed=2)
    gates_NG[0], gates_NG[1] = 1e4, -1e4  # saturated
    added = TableRows(normal(3, 4 * hidden_dim, seed=3), torch.tensor([2, 0, 1, 1, 2, 0])) if with_table else None
    summed_NG = gates_NG.double() + (0 if added is None else added.table_XG[added.index_N].double())
    i, f, g, o = summed_NG.chunk(4, dim=1)
    expected_c_NH = f.sigmoid() * before_c_NH + i.sigmoid() * g.tanh()
    expected_h_NH = o.sigmoid() * expected_c_NH.tanh()
    h_NH = torch.empty(6, hidden_dim, dtype=torch.uint8 if quantized else torch.float32)
    c_NH = torch.empty(6, hidden_dim)
    module.lstm_cell(gates_NG, added, before_c_NH, h_NH=h_NH, c_NH=c_NH)
    torch.testing.assert_close(c_NH.double(), expected_c_NH, atol=1e-6, rtol=1e-5)
    if quantized:
        torch.testing.assert_close(dequantize(h_NH).double(), expected_h_NH, atol=0.5001 / 127, rtol=0.0)
    else:
        torch.testing.assert_close(h_NH.double(), expected_h_NH, atol=1e-6, rtol=1e-5)


def test_quantizing_keeps_the_multiples_of_the_grid() -> None:
    grid = torch.arange(-127, 128) / 127
    assert quantize(grid).tolist() == list(range(1, 256))
    assert torch.equal(quantize(dequantize(quantize(grid))), quantize(grid))


def test_loops_compile_where_nothing_can_be_kept(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    program = (
        "import torch; from nmt.model import compiled_loops; "
        "print(compiled_loops.top_k(torch.tensor([[1.0, 3.0, 2.0]]), 1)[1].item())"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(blocked / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
