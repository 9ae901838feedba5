"""`nmt embeddings`, and word vectors in `nmt train`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nmt.text.word_vector_file import read_vectors
from nmt.training.checkpoint import load_checkpoint, load_snapshot
from tests.commands import DIGITS, Done, data_settings, error, nmt, train_settings

PLANE = "4 2\neast 2 0\nnorth 0 3\nnorth-east 1 1\nété -1 0\n"


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    (tmp_path / "plane.vec").write_text(PLANE)
    return tmp_path / "plane.vec"


@pytest.fixture(scope="module")
def corpus(digits: Path) -> str:
    return nmt("prepare", *data_settings(digits)).out.strip()


@pytest.fixture(scope="module")
def digit_vectors(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of the source subwords, of the size that `train_settings` has."""
    path = tmp_path_factory.mktemp("vectors") / "en.vec"
    done = nmt("embeddings", f"corpus={corpus}", "dim=8", f"output={path}")
    assert (done.status, done.out) == (0, ""), done.err
    return path


# nmt embeddings


def test_neighbours_and_analogies_are_printed_one_per_line(plane: Path) -> None:
    done = nmt("embeddings", f"vectors={plane}", "neighbours=[été,east]", "analogies=[été:east::north]", "k=2")
    assert done.status == 0, done.err
    assert done.out == (
        "été\tnorth\t0.0000\nété\tnorth-east\t-0.7071\neast\tnorth-east\t0.7071\neast\tnorth\t0.0000\n"
        "été:east::north\tnorth-east\t0.9487\n"
    )
    assert done.err.endswith(f" {plane}: 4 vectors of size 2\n")


@pytest.mark.parametrize(("name", "form"), [("a.vec.gz", "text"), ("a.bin", "binary"), ("a.bin.xz", "binary")])
def test_a_file_is_converted(plane: Path, name: str, form: str) -> None:
    output = plane.with_name(name)
    done = nmt("embeddings", f"vectors={plane}", f"output={output}", f"format={form}")
    assert (done.status, done.out) == (0, ""), done.err
    before, after = read_vectors(plane), read_vectors(output)
    assert after.words == before.words
    assert np.array_equal(after.values, before.values)


def test_the_embeddings_of_a_checkpoint_are_written(checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    for side, part in (("src", loaded.model.encoder), ("tgt", loaded.model.decoder)):
        output = tmp_path / side
        assert nmt("embeddings", f"checkpoint={checkpoint}", f"side={side}", f"output={output}").status == 0
        vectors = read_vectors(output)
        subword = loaded.src_subword if side == "src" else loaded.tgt_subword
        assert vectors.words == subword.pieces[1:]  # without PAD
        assert np.array_equal(vectors.values, part.embedding.weight[1:].detach().numpy())


def test_neighbours_in_a_checkpoint_are_subwords(checkpoint: Path) -> None:
    done = nmt("embeddings", f"checkpoint={checkpoint}", "neighbours=[three]", "k=12")
    assert done.status == 0, done.err
    words = {line.split("\t")[1] for line in done.out.splitlines()}
    assert words == {f"▁{digit}" for digit in DIGITS if digit != "three"} | {"<unk>", "<s>", "</s>"}


def test_vectors_of_a_corpus_are_learned_by_either_method(corpus: str) -> None:
    skip_gram, cbow = (
        nmt("embeddings", f"corpus={corpus}", "side=tgt", "dim=4", f"method={method}", "neighbours=[zéro]")
        for method in ("skip_gram", "cbow")
    )
    assert len(skip_gram.out.splitlines()) == len(cbow.out.splitlines()) == 9
    assert skip_gram.out != cbow.out
    assert "learning cbow vectors of size 4 from 200 sentences in 5 passes" in cbow.err


def test_an_output_in_a_corpus_is_refused(corpus: str) -> None:
    line = error("embeddings", f"corpus={corpus}", f"output={corpus}/a")
    assert f"belongs to the prepared corpus {corpus}, which it would damage" in line


def test_a_missing_word_does_not_lose_learned_vectors(corpus: str, tmp_path: Path) -> None:
    done = nmt("embeddings", f"corpus={corpus}", "dim=4", f"output={tmp_path / 'a'}", "neighbours=[eleven]")
    assert (done.status, done.out) == (1, "")
    assert len(read_vectors(tmp_path / "a").words) == 10


# nmt train


def train(digits: Path, run_dir: Path, *overrides: str) -> Done:
    return nmt("train", *train_settings(digits), f"run_dir={run_dir}", *overrides)


def test_training_starts_from_the_vectors(digits: Path, digit_vectors: Path, tmp_path: Path) -> None:
    done = train(digits, tmp_path / "run", f"training.src_embeddings={digit_vectors}", "training.freeze_embeddings=src")
    assert done.status == 0, done.err
    assert "src embeddings: 10 of 14 subwords (100.0% of the training tokens) have a vector in" in done.err
    loaded = load_checkpoint(tmp_path / "run" / "checkpoints" / "last")
    vectors = read_vectors(digit_vectors)
    rows = [loaded.src_subword.pieces.index(word) for word in vectors.words]
    assert np.array_equal(loaded.model.encoder.embedding.weight[rows].detach().numpy(), vectors.values)


def test_training_starts_from_vectors_of_words(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("cat 0 0 0 0 0 0 0 0\nun 1 2 3 4 5 6 7 8\ncinq 8 7 6 5 4 3 2 1\n")
    settings = [f"training.tgt_embeddings={tmp_path / 'glove.txt'}", "training.freeze_embeddings=tgt"]
    done = train(digits, tmp_path / "run", *settings)
    assert done.status == 0, done.err
    assert "tgt embeddings: 2 of 14 subwords (" in done.err
    loaded = load_checkpoint(tmp_path / "run" / "checkpoints" / "last")
    assert loaded.model.decoder.embedding.weight[loaded.tgt_subword.pieces.index("▁un")].tolist() == [*range(1, 9)]


def test_frozen_embeddings_keep_every_bit_and_have_no_optimizer_state(digits: Path, tmp_path: Path) -> None:
    names = ("encoder.embedding.weight", "decoder.embedding.weight")
    parameters = {}
    for frozen in ("none", "src", "both"):
        run = tmp_path / frozen
        done = train(digits, run, f"training.freeze_embeddings={frozen}", "optimizer=adamw", "training.keep_last=9")
        assert done.status == 0, done.err
        early, late = (load_checkpoint(run / "checkpoints" / f"update_00000{n}").model.state_dict() for n in (2, 6))
        is_same = [torch.equal(early[name], late[name]) for name in names]
        assert is_same == [frozen != "none", frozen == "both"]
        assert not torch.equal(early["decoder.output.weight"], late["decoder.output.weight"])
        state = load_snapshot(run / "checkpoints" / "last").optimizer
        assert [f"{name}/exp_avg" in state for name in names] == [not same for same in is_same]
        parameters[frozen] = early
    assert not torch.equal(parameters["none"][names[0]], parameters["src"][names[0]])


def test_a_run_resumes_bit_for_bit_without_its_vectors(digits: Path, digit_vectors: Path, tmp_path: Path) -> None:
    vectors = shutil.copy(digit_vectors, tmp_path / "en.vec")
    settings = [f"training.src_embeddings={vectors}", "training.freeze_embeddings=src"]
    assert train(digits, tmp_path / "whole", *settings).status == 0
    assert train(digits, tmp_path / "cut", *settings, "training.max_updates=4").status == 0
    Path(vectors).unlink()
    done = train(digits, tmp_path / "cut", *settings, "resume=true")
    assert done.status == 0, done.err
    for file in ("model.safetensors", "training/optimizer.safetensors"):
        cut, whole = (tmp_path / run / "checkpoints" / "last" / file for run in ("cut", "whole"))
        assert cut.read_bytes() == whole.read_bytes()


def test_a_run_cannot_resume_with_other_frozen_embeddings(digits: Path, copied_run: Path) -> None:
    line = error(
        "train", *train_settings(digits), f"run_dir={copied_run}", "resume=true", "training.freeze_embeddings=src"
    )
    assert "training.freeze_embeddings was none and is src" in line


def test_vectors_are_checked_before_the_corpus_is_prepared(digits: Path, plane: Path, tmp_path: Path) -> None:
    new = [*train_settings(digits), f"run_dir={tmp_path / 'run'}", f"data.prepared_dir={tmp_path / 'prepared'}"]
    for path, message in (
        (plane, f"model.embedding_dim must be 2, as in training.tgt_embeddings={plane}, but is 8: set model.embedding"),
        (tmp_path / "nothing", "nothing must be a file of word vectors"),
    ):
        assert message in error("train", *new, f"training.tgt_embeddings={path}")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "prepared").exists()


def test_a_start_from_a_checkpoint_brings_its_own_embeddings(digits: Path, plane: Path, checkpoint: Path) -> None:
    settings = [*train_settings(digits), f"training.init_from={checkpoint}", f"training.src_embeddings={plane}"]
    assert error("train", *settings) == (
        "nmt: training.init_from brings its own embeddings: leave out training.src_embeddings and tgt_embeddings"
    )
