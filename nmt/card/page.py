"""The text of a card, in Markdown, below its front matter. What is not known is listed at its end."""

from collections.abc import Iterator, Sequence
from typing import Any

from nmt import __version__
from nmt.card.facts import Facts
from nmt.card.front_matter import DEV_SCORES, Labels, front_matter, is_test_set
from nmt.choices import AttentionScore
from nmt.plain import shown
from nmt.training.dev_set import TEXT_MEASURES
from nmt.training.metrics_log import format_duration

NOT_KNOWN = "not known"
_NUM_SAMPLES = 5
RECIPE = (
    *("model.name", "model.cell", "model.hidden_dim", "model.embedding_dim", "model.num_layers"),
    *("model.bidirectional", "model.source_order", "model.attention", "model.dropout"),
    *("subword.kind", "subword.joint", "subword.normalization", "subword.tokenizer"),
    *("optimizer.kind", "optimizer.lr", "optimizer.schedule.kind", "optimizer.weight_decay"),
    *("batching.unit", "batching.size", "training.accumulate", "training.clip_norm"),
    *("training.label_smoothing", "training.ema", "training.best_by", "seed"),
)
_OF_VALIDATION = ("search.beam_size", "search.length_penalty.kind", "training.bleu_tokenize")
_USE = """\
## How to use it

FOLDER is the folder of this card, which is a checkpoint of nmt. Text is one sentence a line.

```
nmt translate 'checkpoints=[FOLDER]' < source.txt > translation.txt
nmt evaluate 'checkpoints=[FOLDER]' source=source.txt reference=reference.txt
nmt verify checkpoint=FOLDER
```

```python
from nmt import Translator

translate = Translator.load("FOLDER")
translate(["a sentence", "another one"])
```
"""


def card(facts: Facts, labels: Labels) -> str:
    """Return a card: front matter and text."""
    parts = [
        f"# {_line(labels.name)}\n\n{_summary(facts)}\n",
        _USE,
        f"## Scores\n\n{_scores(facts)}",
        f"## Text\n\n{_table(('', ''), _text(facts))}",
        f"## Recipe\n\n{_table(('setting', 'value'), _recipe(facts))}\nAll settings are in config.yaml.\n",
        f"## Training\n\n{_table(('', ''), _training(facts))}",
        _samples(facts),
        "## What is not known\n\n" + "".join(f"- {item}\n" for item in _unknown(facts, labels)),
    ]
    return front_matter(facts, labels) + "\n" + "\n".join(part for part in parts if part)


def _summary(facts: Facts) -> str:
    data, model = facts.data, facts.model
    languages = f"from `{_line(data.src_lang)}` to `{_line(data.tgt_lang)}`" if data else "between languages not known"
    attention = (
        "no attention" if model.attention == AttentionScore.none else f"attention ({model.attention.replace('_', ' ')})"
    )
    return (
        f"A recurrent sequence-to-sequence model {languages}: encoder and decoder of `{model.cell}` cells, "
        f"{attention}, {facts.num_parameters:,} parameters. This card was written by `nmt card` of nmt {__version__}."
    )


def _scores(facts: Facts) -> str:
    rows = [
        ("development set", _num_dev(facts, name), label, f"{facts.info.scores[name]:.2f}", NOT_KNOWN, NOT_KNOWN)
        for name, (_, label) in DEV_SCORES.items()
        if name in facts.info.scores
    ]
    for text in facts.scores:
        name = "test set" if is_test_set(text, facts) else ", ".join(text.references)
        for score in text.scores:
            interval = NOT_KNOWN if score.interval is None else "[{:.1f}, {:.1f}]".format(*score.interval)
            number = f"{text.num_sentences:,}"
            rows.append((name, number, score.label, f"{score.value:.1f}", interval, score.signature))
    if not rows:
        return "No scores are known.\n"
    heading = ("text", "sentences", "measure", "score", "95% interval", "signature")
    return f"{_table(heading, rows)}\n{_about_validation(facts)}" if facts.info.scores else _table(heading, rows)


def _about_validation(facts: Facts) -> str:
    """Say where the scores of the development set come from; those of translations depend on the search."""
    of_text = [key for key in _OF_VALIDATION if facts.settings.get(key) is not None]
    settings = ", ".join(f"`{key}={_value(facts.settings[key])}`" for key in of_text)
    search = f", with {settings}" if settings and not facts.info.scores.keys().isdisjoint(TEXT_MEASURES) else ""
    return f"Scores of the development set are those of the validation at this update{search}.\n"


def _num_dev(facts: Facts, measure: str) -> str:
    """Return the number of development sentences behind a score of the validation."""
    report = facts.manifest.splits.get("dev") if facts.manifest else None
    if report is None:
        return NOT_KNOWN
    largest = None if measure == "perplexity" else facts.settings.get("training.bleu_sentences")
    return f"{min(report.num_read, largest) if isinstance(largest, int) else report.num_kept:,}"


def _text(facts: Facts) -> Iterator[tuple[str, str]]:
    data = facts.data
    for label, files in (("training text", data and data.train), ("development text", data and data.dev)):
        names = [*files.src, *files.tgt, *files.tsv] if files else []
        yield label, ", ".join(name.rpartition("/")[2] for name in names) or NOT_KNOWN
    if data is not None and data.generate is not None:
        yield "made by", f"nmt prepare: {data.generate.generator}, seed {data.generate.seed}"
    splits = facts.manifest.splits if facts.manifest else {}
    for split, label in (("train", "training pairs"), ("dev", "development pairs")):
        yield label, f"{splits[split].num_kept:,}" if split in splits else NOT_KNOWN
    yield "fingerprint of text and subwords", f"`{facts.info.corpus_fingerprint}`"
    yield "source and target subwords", " and ".join(f"{size:,}" for size in facts.vocab_sizes)


def _recipe(facts: Facts) -> Iterator[tuple[str, str]]:
    for key in RECIPE:
        yield f"`{key}`", _value(facts.settings[key]) if key in facts.settings else NOT_KNOWN


def _training(facts: Facts) -> Iterator[tuple[str, str]]:
    state = facts.state
    yield "updates", f"{facts.info.update:,}"
    yield "epochs", f"{facts.info.epochs:.2f}"
    yield "time, with validations", NOT_KNOWN if facts.wall_s is None else format_duration(facts.wall_s)
    yield "machine", "; ".join(state.machines) if state and state.machines else NOT_KNOWN
    yield "number format", (state.precision if state else None) or NOT_KNOWN
    speed = facts.tgt_tokens_per_s
    yield "target subwords a second", NOT_KNOWN if speed is None else f"{speed:,.0f} (median)"


def _samples(facts: Facts) -> str:
    if not facts.samples:
        return ""
    rows = [(sample.source, sample.text) for sample in facts.samples[:_NUM_SAMPLES]]
    about = "Greedy translations of sentences of the development set; samples.json has all of them."
    return f"## Samples\n\n{about}\n\n{_table(('source', 'translation'), rows)}"


def _unknown(facts: Facts, labels: Labels) -> Iterator[str]:
    """Yield what a reader may miss."""
    if labels.license is None:
        yield "the licence of the model (`license=`)"
    if facts.data is None:
        yield "the languages and the text that it was trained on"
    yield "the licence of the text, and what it is biased towards"
    if not facts.scores:
        yield "scores with intervals (`scores=`)"
    else:
        yield "the search settings behind the scores, unless they were the defaults of `nmt evaluate`"
    if facts.state is None or not facts.state.machines:
        yield "the machine that it was trained on"
    yield "what it is good for beyond text like that of its training"


def _table(heading: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _cell(text: str) -> str:
    return _line(text).replace("|", r"\|").replace("<", "&lt;")


def _line(text: str) -> str:
    return " ".join(text.split())
