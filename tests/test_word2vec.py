from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nmt.choices import Side, VectorMethod
from nmt.corpus.manifest import read_manifest
from nmt.corpus.prepare import PreparedCorpus
from nmt.corpus.word2vec import Word2VecSpec, learn_vectors
from nmt.errors import ConfigError
from tests.commands import CHIFFRES, DIGITS, data_settings, nmt

SPEC = Word2VecSpec(VectorMethod.skip_gram, dim=6, window=2, epochs=2, seed=1, threads=1)


@pytest.fixture(scope="module")
def corpus(digits: Path) -> PreparedCorpus:
    directory = Path(nmt("prepare", *data_settings(digits)).out.strip())
    return PreparedCorpus(directory, read_manifest(directory).fingerprint)


def test_every_subword_of_the_text_has_a_vector(corpus: PreparedCorpus) -> None:
    for side, words in ((Side.src, DIGITS), (Side.tgt, CHIFFRES)):
        vectors = learn_vectors(corpus, side, spec=SPEC)
        assert set(vectors.words) == {f"▁{word}" for word in words}
        assert vectors.values.shape == (10, 6)
        assert vectors.name == f"{corpus.directory} ({side})"


def test_one_thread_gives_the_same_vectors_in_every_process(corpus: PreparedCorpus) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.test_word2vec import *\n"
        "corpus = PreparedCorpus(Path(sys.argv[1]), sys.argv[2])\n"
        "sys.stdout.buffer.write(learn_vectors(corpus, Side.src, spec=SPEC).values.tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(corpus.directory), corpus.fingerprint],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=True,
    )
    assert done.stdout == learn_vectors(corpus, Side.src, spec=SPEC).values.tobytes()


@pytest.mark.parametrize(
    "change",
    [{"method": VectorMethod.cbow}, {"window": 1}, {"epochs": 3}, {"seed": 2}],
    ids=str,
)
def test_every_setting_has_its_effect(corpus: PreparedCorpus, change: dict[str, object]) -> None:
    before = learn_vectors(corpus, Side.src, spec=SPEC)
    after = learn_vectors(corpus, Side.src, spec=SPEC._replace(**change))  # type: ignore[arg-type]
    order = [after.row_of[word] for word in before.words]
    assert not np.array_equal(after.values[order], before.values)


def test_subwords_in_the_same_contexts_become_neighbours(tmp_path: Path) -> None:
    animals, colours = ("cat", "dog"), ("red", "blue")
    lines = [f"a {animal} runs home\na {colour} coat is warm\n" for animal in animals for colour in colours] * 300
    for split in ("train", "dev"):
        (tmp_path / f"{split}.en").write_text("".join(lines))
        (tmp_path / f"{split}.fr").write_text("un deux\n" * len("".join(lines).splitlines()))
    done = nmt("prepare", *data_settings(tmp_path), "subword.tgt_vocab_size=6")
    assert done.status == 0, done.err
    directory = Path(done.out.strip())
    corpus = PreparedCorpus(directory, read_manifest(directory).fingerprint)
    for method in VectorMethod:
        vectors = learn_vectors(corpus, Side.src, spec=SPEC._replace(method=method, epochs=20))
        assert vectors.neighbours("cat", 1)[0].word == "▁dog"
        assert vectors.neighbours("blue", 1)[0].word == "▁red"
    assert set(learn_vectors(corpus, Side.tgt, spec=SPEC).words) == {"▁un", "▁deux"}


def test_without_the_extra_one_line_says_what_to_install(
    corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "gensim"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gensim", None)
    with pytest.raises(ConfigError, match="needs gensim, which is not installed: pip install gensim, or install nmt"):
        learn_vectors(corpus, Side.src, spec=SPEC)
