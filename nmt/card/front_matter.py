"""The front matter of a card: what Hugging Face reads, as YAML between two lines of `---`.

The fields are those of https://github.com/huggingface/hub-docs/blob/main/modelcard.md; scores are in `model-index`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from nmt.card.facts import Facts
from nmt.card.scores import CardScore, ScoredText
from nmt.choices import AttentionScore, Metric

UNKNOWN = "unknown"  # of a licence or a data set, in the words of Hugging Face
_TYPES = {Metric.chrf_plus_plus: "chrf", Metric.exact: "exact_match"}  # others are called as here
# Scores of a validation, by their names in a checkpoint: the type of the metric and its label.
DEV_SCORES = {
    "perplexity": ("perplexity", "perplexity of a subword"),
    "bleu": ("bleu", "BLEU"),
    "chrf": ("chrf", "chrF2"),
    "exact": ("exact_match", "exact"),
}


@dataclass(frozen=True)
class Labels:
    """What only the user knows; None, or empty: not known."""

    name: str
    license: str | None = None
    datasets: tuple[str, ...] = ()


def front_matter(facts: Facts, labels: Labels) -> str:
    """Return the front matter, with the lines around it."""
    results = [_dev_result(facts), *(_result(text, facts) for text in facts.scores)]
    results = [result for result in results if result["metrics"]]
    datasets = labels.datasets or ((facts.data.name,) if facts.data else ())
    values: dict[str, Any] = {
        "language": _languages(facts),
        "license": labels.license or UNKNOWN,
        "library_name": "nmt",
        "pipeline_tag": "translation",
        "tags": _tags(facts),
        "datasets": list(datasets),
        "metrics": list(dict.fromkeys(metric["type"] for result in results for metric in result["metrics"])),
        "model-index": [{"name": labels.name, "results": results}] if results else [],
    }
    known = {key: value for key, value in values.items() if value}
    return f"---\n{yaml.safe_dump(known, sort_keys=False, allow_unicode=True)}---\n"


def is_test_set(text: ScoredText, facts: Facts) -> bool:
    """Return whether the references are the test set of the run, by their names."""
    if facts.data is None:
        return False
    own = {name.rpartition("/")[2] for name in (*facts.data.test.tgt, *facts.data.test.tsv)}
    given = {name.partition(", answer ")[0] for name in text.references}
    return bool(given) and given <= own


def _languages(facts: Facts) -> list[str]:
    return list(dict.fromkeys((facts.data.src_lang, facts.data.tgt_lang))) if facts.data else []


def _tags(facts: Facts) -> list[str]:
    cell = facts.model.cell.value.partition("_")[0]
    attention = [] if facts.model.attention == AttentionScore.none else ["attention"]
    return ["translation", "seq2seq", "recurrent", cell, *attention]


def _dev_result(facts: Facts) -> dict[str, Any]:
    metrics = [
        {"type": kind, "value": round(facts.info.scores[name], 4 if name == "perplexity" else 2), "name": label}
        for name, (kind, label) in DEV_SCORES.items()
        if name in facts.info.scores
    ]
    return _with_metrics(_dataset(facts, "development set", split="validation"), metrics)


def _result(text: ScoredText, facts: Facts) -> dict[str, Any]:
    dataset = {"name": ", ".join(text.references) or UNKNOWN, "type": UNKNOWN}
    if is_test_set(text, facts):
        dataset = _dataset(facts, "test set", split="test")
    return _with_metrics(dataset, [_metric(score, text.num_sentences) for score in text.scores])


def _dataset(facts: Facts, part: str, *, split: str) -> dict[str, str]:
    name = facts.data.name if facts.data else UNKNOWN
    return {"name": f"{name}, {part}", "type": name, "split": split}


def _with_metrics(dataset: dict[str, str], metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"task": {"type": "translation", "name": "Translation"}, "dataset": dataset, "metrics": list(metrics)}


def _metric(score: CardScore, num_sentences: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {"signature": score.signature, "num_sentences": num_sentences}
    if score.interval is not None:
        arguments["interval_95"] = [round(value, 2) for value in score.interval]
    return {
        "type": _TYPES.get(score.metric, score.metric.value),
        "value": round(score.value, 2),
        "name": score.label,
        "args": arguments,
    }
