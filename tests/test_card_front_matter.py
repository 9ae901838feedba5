"""The front matter of a card: YAML with the fields that Hugging Face requires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from nmt.card.facts import Facts
from nmt.card.front_matter import Labels, front_matter, is_test_set
from nmt.choices import AttentionScore, Metric
from tests.cards import TEST, facts_of_everything

LABELS = Labels("tiny", license="mit", datasets=("somebody/tiny",))


def parse(facts: Facts, labels: Labels = LABELS) -> dict[str, Any]:
    first, text, rest = front_matter(facts, labels).split("---\n")
    assert (first, rest) == ("", "")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def test_it_holds_what_is_known() -> None:
    values = parse(facts_of_everything())
    assert list(values) == [
        *("language", "license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index")
    ]
    assert values["language"] == ["en", "no"]
    assert values["license"] == "mit"
    assert values["tags"] == ["translation", "seq2seq", "recurrent", "gru", "attention"]
    assert values["datasets"] == ["somebody/tiny"]
    assert values["metrics"] == ["perplexity", "bleu", "exact_match"]


def test_the_model_index_has_the_required_fields() -> None:
    [model] = parse(facts_of_everything())["model-index"]
    assert model["name"] == "tiny"
    dev, test = model["results"]
    for result in (dev, test):
        assert result["task"] == {"type": "translation", "name": "Translation"}
        assert all(isinstance(result["dataset"][key], str) for key in ("type", "name", "split"))
        for metric in result["metrics"]:
            assert isinstance(metric["type"], str)
            assert isinstance(metric["value"], float)
    assert dev["dataset"] == {"name": "tiny_en_no, development set", "type": "tiny_en_no", "split": "validation"}
    assert [(metric["type"], metric["value"]) for metric in dev["metrics"]] == [("perplexity", 4.322), ("bleu", 35.99)]
    assert test["dataset"] == {"name": "tiny_en_no, test set", "type": "tiny_en_no", "split": "test"}
    assert test["metrics"] == [
        {
            "type": "bleu",
            "value": 36.12,
            "name": "BLEU",
            "args": {"signature": "nrefs:1|tok:13a", "num_sentences": 1000, "interval_95": [35.11, 37.14]},
        },
        {
            "type": "exact_match",
            "value": 4.5,
            "name": "exact",
            "args": {"signature": "nrefs:1", "num_sentences": 1000},
        },
    ]


def test_what_is_not_known_is_left_out_or_unknown() -> None:
    facts = replace(facts_of_everything(), data=None, scores=[])
    facts.info.scores.clear()
    values = parse(facts, Labels("tiny"))
    assert values["license"] == "unknown"
    assert values.keys() == {"license", "library_name", "pipeline_tag", "tags"}


def test_the_corpus_is_the_data_set_unless_the_user_names_one() -> None:
    assert parse(facts_of_everything(), Labels("tiny"))["datasets"] == ["tiny_en_no"]


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (["test.no"], True),
        (["test.no", "test.no, answer 2"], True),
        (["other.no"], False),
        (["test.no", "other.no"], False),
        ([], False),
    ],
)
def test_the_test_set_of_the_run_is_recognized(references: list[str], expected: bool) -> None:
    facts = replace(facts_of_everything(), scores=[replace(TEST, references=references)])
    assert is_test_set(facts.scores[0], facts) is expected
    [_, result] = parse(facts)["model-index"][0]["results"]
    assert (result["dataset"]["type"] == "tiny_en_no") is expected
    assert not is_test_set(facts.scores[0], replace(facts, data=None))


def test_one_language_is_named_once() -> None:
    facts = facts_of_everything()
    assert facts.data is not None
    assert parse(replace(facts, data=replace(facts.data, tgt_lang="en")))["language"] == ["en"]


def test_a_model_without_attention_is_not_tagged_with_it() -> None:
    facts = facts_of_everything()
    model = replace(facts.model, attention=AttentionScore.none)
    assert parse(replace(facts, model=model))["tags"] == ["translation", "seq2seq", "recurrent", "gru"]


def test_metrics_have_the_names_of_hugging_face() -> None:
    scores = [replace(TEST.scores[0], metric=metric) for metric in Metric]
    [_, result] = parse(replace(facts_of_everything(), scores=[replace(TEST, scores=scores)]))["model-index"][0][
        "results"
    ]
    assert [metric["type"] for metric in result["metrics"]] == [
        *("bleu", "chrf", "chrf", "ter", "exact_match", "cer", "wer")
    ]
