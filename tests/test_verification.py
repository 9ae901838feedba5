"""Verification: a checkpoint that has changed is found out, and rounding is not mistaken for a change."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from nmt.choices import Implementation, SearchPrecision
from nmt.errors import CheckpointError
from nmt.search.greedy_samples import translate_samples
from nmt.training.checkpoint import Validation, record_validation
from nmt.training.samples import SAMPLES_FILE, Sample, samples_to_json
from nmt.verification import Computation, Verification, verify
from tests.checkpoints import edit_json, rehash
from tests.copying import LINES, copying_scorer, digit_words, save_copying_model
from tests.hardware import needs_bf16, needs_int8

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("no_fsync")

CPU = torch.device("cpu")
FP32 = Computation(CPU, SearchPrecision.fp32, Implementation.fast)
FORMAT_1 = Path(__file__).parent / "fixtures" / "format_1" / "bpe_adam" / "checkpoints" / "last"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a model that copies digits, with samples."""
    path = save_copying_model(tmp_path)
    record_validation(path, Validation({}, 1.0, translate_samples(copying_scorer(), [line for line in LINES if line])))
    return path


def with_samples(checkpoint: Path, change: Callable[[Sample], Sample]) -> Verification:
    """Change the first sample, as if it had been written so, and verify."""
    first, *others = translate_samples(copying_scorer(), [line for line in LINES if line])
    (checkpoint / SAMPLES_FILE).write_bytes(samples_to_json([change(first), *others]))
    rehash(checkpoint)
    return verify(checkpoint, FP32)


@pytest.mark.parametrize("implementation", Implementation)
def test_a_checkpoint_translates_as_it_did(checkpoint: Path, implementation: Implementation) -> None:
    found = verify(checkpoint, FP32._replace(implementation=implementation))
    assert found.differences == []
    assert found.notes[0] == "8 files were compared with their hashes"
    assert found.notes[1] == (
        "5 sample translations were made again, in fp32 on cpu: 5 equal, 0 different after a near tie, 0 different"
    )
    assert found.notes[2].endswith("nats a token; fp32 explains 0.0001")


@pytest.mark.parametrize(
    "precision",
    [pytest.param(SearchPrecision.bf16, marks=needs_bf16), pytest.param(SearchPrecision.int8, marks=needs_int8)],
)
def test_another_precision_is_no_difference(checkpoint: Path, precision: SearchPrecision) -> None:
    assert verify(checkpoint, FP32._replace(precision=precision)).differences == []


def test_every_file_that_has_changed_is_named(checkpoint: Path) -> None:
    for name in ("model.safetensors", "training/state.json"):
        content = bytearray((checkpoint / name).read_bytes())
        content[-2] ^= 1
        (checkpoint / name).write_bytes(content)
    (checkpoint / SAMPLES_FILE).unlink()
    found = verify(checkpoint, FP32)
    assert [line.partition(" is ")[0] for line in found.differences] == [
        str(checkpoint / name) for name in ("model.safetensors", "training/state.json", SAMPLES_FILE)
    ]
    assert found.differences[2].endswith("samples.json is missing: use another checkpoint of the run")
    assert found.notes[-1] == "the samples were not translated, since files are damaged"


def test_other_parameters_with_matching_hashes_translate_otherwise(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    parameters = load_file(file)
    parameters["decoder.output.weight"] = -parameters["decoder.output.weight"]
    save_file(parameters, file)
    rehash(checkpoint)
    found = verify(checkpoint, FP32)
    assert len(found.differences) == 5
    assert found.differences[0].startswith("sample 1: '0 1 2' is translated by ")
    assert found.notes[1].endswith("0 equal, 0 different after a near tie, 5 different")


def test_another_log_probability_is_a_difference_if_the_precision_does_not_explain_it(checkpoint: Path) -> None:
    within = with_samples(checkpoint, lambda sample: replace(sample, log_prob=sample.log_prob - 3e-4))  # four tokens
    assert within.differences == []
    beyond = with_samples(checkpoint, lambda sample: replace(sample, log_prob=-0.5))
    [line] = beyond.differences
    assert line.startswith("sample 1: the log-probability of '0 1 2' is ")
    assert line.endswith(", but was -0.5: fp32 explains no more than 0.0001 nats a token")


def test_a_log_probability_that_is_no_number_is_a_difference(checkpoint: Path) -> None:
    assert len(with_samples(checkpoint, lambda sample: replace(sample, log_prob=float("nan"))).differences) == 1


def test_another_text_of_the_same_subwords_is_a_difference(checkpoint: Path) -> None:
    [line] = with_samples(checkpoint, lambda sample: replace(sample, text="0 1 2.")).differences
    assert "is translated by '0 1 2' (" in line
    assert "but was by '0 1 2.' (" in line


@pytest.mark.parametrize("ids", [[5, 5], [10**6], [-1], [0]], ids=["improbable", "too large", "negative", "PAD"])
def test_improbable_or_impossible_tokens_are_a_difference(checkpoint: Path, ids: list[int]) -> None:
    assert len(with_samples(checkpoint, lambda sample: replace(sample, ids=ids)).differences) == 1


@pytest.mark.parametrize("length", [1, 3])
def test_a_translation_that_was_cut_short_is_a_difference(checkpoint: Path, length: int) -> None:
    found = with_samples(checkpoint, lambda sample: replace(sample, ids=sample.ids[:length], finished=False))
    assert len(found.differences) == 1


@pytest.mark.parametrize(("gap", "num_differences"), [(5e-4, 0), (0.1, 1)])
def test_a_translation_that_begins_at_a_near_tie_is_explained(
    checkpoint: Path, gap: float, num_differences: int
) -> None:
    """The model may begin with 0 or with 1, by a bias; what was written began with the less probable one."""
    file = checkpoint / "model.safetensors"
    parameters = load_file(file)
    zero, one = digit_words().encode("0 1")
    weight, bias = parameters["decoder.output.weight"], parameters["decoder.output.bias"]
    weight[one], bias[one] = weight[zero], bias[zero] - gap
    save_file(parameters, file)
    rehash(checkpoint)
    found = with_samples(checkpoint, lambda sample: replace(sample, ids=[one, *sample.ids[1:]], text="1 1 2"))
    others = [line for line in found.differences if not line.startswith("sample 1:")]
    assert len(found.differences) - len(others) == num_differences, found


def test_a_checkpoint_without_samples_says_so(tmp_path: Path) -> None:
    found = verify(save_copying_model(tmp_path), FP32)
    assert found.differences == []
    assert found.notes[-1] == "it holds no sample translations: only its files were checked"


def test_format_1_has_no_hashes_to_check() -> None:
    found = verify(FORMAT_1, FP32)
    assert found.differences == []
    assert found.notes[0] == "checkpoint format 1 has no hashes: no file was compared"


def test_the_folder_for_resuming_may_be_deleted(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint / "training")
    found = verify(checkpoint, FP32)
    assert found.differences == []
    assert found.notes[:2] == [
        "5 files were compared with their hashes",
        "its folder training/ was deleted: no run can resume from it",
    ]


def test_a_single_missing_file_of_that_folder_is_a_difference(checkpoint: Path) -> None:
    (checkpoint / "training" / "state.json").unlink()
    assert len(verify(checkpoint, FP32).differences) == 1


def test_files_outside_of_a_checkpoint_are_never_read(checkpoint: Path) -> None:
    values = json.loads((checkpoint / "checkpoint.json").read_text())
    rehash(checkpoint, files={**values["files"], "../x": "0" * 32, "/etc/passwd": "0" * 32})
    found = verify(checkpoint, FP32)
    assert [line.partition("checkpoint.json ")[2] for line in found.differences] == [
        "names '../x', which is no file of the checkpoint",
        "names '/etc/passwd', which is no file of the checkpoint",
    ]


def test_files_of_strangers_with_matching_hashes_are_a_difference(checkpoint: Path) -> None:
    (checkpoint / SAMPLES_FILE).write_text('{"samples": [1]}')
    rehash(checkpoint)
    [line] = verify(checkpoint, FP32).differences
    assert "samples.json is damaged (sample 1 must be" in line


def test_a_damaged_description_is_an_error(checkpoint: Path) -> None:
    edit_json(checkpoint / "checkpoint.json", lambda values: values.update(update=3))
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged"):
        verify(checkpoint, FP32)
