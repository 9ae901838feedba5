"""The Python API: a few names, imported when they are used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import nmt
from nmt import NmtError, Translator, load_checkpoint, score_corpus
from nmt.errors import CheckpointError
from nmt.text.subword import SubwordModel

if TYPE_CHECKING:
    from pathlib import Path


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_nmt_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'sacrebleu', 'hydra'} & set(sys.modules)"
    assert python(f"import sys, nmt; print(sorted({heavy}))") == "[]"
    assert python(f"import sys, nmt; nmt.score_corpus; print(sorted({heavy} - {{'numpy'}}))") == "['sacrebleu']"


def test_translating_needs_no_hydra(checkpoint: Path) -> None:
    load = f"nmt.Translator.load({str(checkpoint)!r}, device='cpu', threads=1)"
    code = (
        f"import sys, nmt; print(type({load}('one two')).__name__, 'hydra' in sys.modules, 'omegaconf' in sys.modules)"
    )
    assert python(code) == "str False False"


def test_the_api_has_exactly_the_documented_names() -> None:
    assert {name: getattr(nmt, name).__name__ for name in nmt.__all__} == {name: name for name in nmt.__all__}
    assert "Translator" in (nmt.__doc__ or "")
    assert python("import nmt; print(set(nmt.__all__) <= set(dir(nmt)))") == "True"
    with pytest.raises(AttributeError, match="module 'nmt' has no attribute 'translate'"):
        nmt.translate  # type: ignore[attr-defined]  # noqa: B018


def test_a_checkpoint_is_loaded_by_its_name_or_link(checkpoint: Path) -> None:
    loaded = load_checkpoint(str(checkpoint))
    assert not loaded.model.training
    assert isinstance(loaded.src_subword, SubwordModel)
    assert loaded.config["model"]["name"] == loaded.model_config.name
    assert load_checkpoint(checkpoint.resolve()).info == loaded.info


def test_what_a_user_can_fix_is_an_nmt_error(tmp_path: Path) -> None:
    assert issubclass(CheckpointError, NmtError)
    with pytest.raises(NmtError, match="does not exist: name a checkpoint such as RUN_DIR/checkpoints/best"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(NmtError, match="does not exist"):
        Translator.load([tmp_path / "nothing"])


def test_translations_are_scored(checkpoint: Path) -> None:
    references = ["un deux", "trois"]
    translations = Translator.load(checkpoint, beam_size=1)(["one two", "three"])
    [bleu] = score_corpus(translations, references)
    assert 0 <= bleu.value <= 100
    assert bleu.signature.startswith("nrefs:1|")
