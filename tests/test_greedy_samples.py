"""Sample translations: greedy, in float32 by the plain modules, and without an effect on the model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nmt.choices import Device, Implementation
from nmt.config import FilesConfig
from nmt.search import greedy_samples
from nmt.search.greedy_samples import build_dev_samples, gap_between, translate_samples
from nmt.search.scorer import EncodedSource
from nmt.text.subword import BOS_ID, EOS_ID
from tests.copying import LINES, copying_model, copying_scorer, digit_words

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = [line for line in LINES if line]


def settings_of(folder: Path, *, samples: int) -> Any:
    files = FilesConfig(src=["dev.en"], tgt=["dev.fr"])
    return SimpleNamespace(
        training=SimpleNamespace(samples=samples),
        data=SimpleNamespace(dir=str(folder), dev=files, columns=[1, 2]),
        device=Device.cpu,
        implementation=Implementation.fast,
    )


def files() -> Any:
    return SimpleNamespace(src_subword=digit_words(), tgt_subword=digit_words())


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    for name in ("dev.en", "dev.fr"):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in SOURCES))
    return tmp_path


def test_samples_are_greedy_translations_with_their_log_probabilities() -> None:
    samples = translate_samples(copying_scorer(), SOURCES)
    assert [sample.text for sample in samples] == SOURCES  # the model copies
    assert [sample.source for sample in samples] == SOURCES
    for sample in samples:
        assert sample.finished
        assert digit_words().decode(sample.ids) == sample.text
        assert -0.01 < sample.log_prob <= 0


def test_the_gap_is_the_difference_of_log_probabilities() -> None:
    scorer = copying_scorer()
    [source] = scorer.encode_sources(["0 1 2"])
    [zero, one, two] = digit_words().encode("0 1 2")
    state = scorer.start([source])
    for token in (BOS_ID, zero):
        candidates = scorer.step(torch.tensor([token]), state, 14)
        state = candidates.state
    log_prob = dict(zip(candidates.token_NC[0].tolist(), candidates.log_prob_NC[0].tolist(), strict=True))
    gap = gap_between(scorer, source, [zero], one, two)
    assert gap == pytest.approx(log_prob[one] - log_prob[two], abs=1e-4)
    assert gap == -gap_between(scorer, source, [zero], two, one)
    assert gap_between(scorer, EncodedSource(source.ids_by_member), [zero, one, two], EOS_ID, two) > 0


def test_samples_of_the_development_set(dev: Path) -> None:
    translate = build_dev_samples(settings_of(dev, samples=2), files())
    assert translate is not None
    assert [sample.source for sample in translate(copying_model())] == [SOURCES[0], SOURCES[2]]


def test_no_samples_if_none_are_asked_for(dev: Path) -> None:
    assert build_dev_samples(settings_of(dev, samples=0), files()) is None


def test_the_plain_modules_make_samples_and_the_model_stays_as_it_was(
    dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(scorer: Any, _: object) -> list[Any]:
        seen.append((scorer.model.implementation, scorer.inference_model is scorer.model))
        raise KeyboardInterrupt

    monkeypatch.setattr(greedy_samples, "translate_samples", spy)
    translate = build_dev_samples(settings_of(dev, samples=2), files())
    assert translate is not None
    model, random = copying_model(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        translate(model)
    assert seen == [(Implementation.reference, True)]  # no copy of the parameters
    assert model.implementation == Implementation.fast
    assert torch.equal(torch.get_rng_state(), random)
