"""The text of a card: all facts, no private folders, and what is not known at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nmt.card.facts import Facts
from nmt.card.front_matter import Labels
from nmt.card.page import card
from tests.cards import facts_of_everything
from tests.checkpoints import SAMPLES

NAMED = Labels("tiny", license="mit")


def sections(facts: Facts, labels: Labels = NAMED) -> dict[str, str]:
    """Return the parts of a card by their headings."""
    _, _, page = card(facts, labels).split("---\n", 2)
    parts = [part.partition("\n") for part in page.replace("\n# ", "\n## ").split("\n## ")[1:]]
    return {heading: text for heading, _, text in parts}


def test_a_card_has_these_sections() -> None:
    assert list(sections(facts_of_everything())) == [
        *("tiny", "How to use it", "Scores", "Text", "Recipe", "Training", "Samples", "What is not known")
    ]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("tiny", "`en` to `no`: encoder and decoder of `gru` cells, attention (additive), 6,798,144 parameters."),
        ("How to use it", "nmt verify checkpoint=FOLDER"),
        ("Scores", "| development set | 28,990 | perplexity of a subword | 4.32 | not known | not known |"),
        ("Scores", "| development set | 500 | BLEU | 35.99 | not known | not known |"),
        ("Scores", r"| test set | 1,000 | BLEU | 36.1 | [35.1, 37.1] | nrefs:1\|tok:13a |"),
        ("Scores", "| test set | 1,000 | exact | 4.5 | not known | nrefs:1 |"),
        ("Scores", "validation at this update, with `search.beam_size=1`, `training.bleu_tokenize=13a`."),
        ("Text", "| training text | train.en, train.no |"),
        ("Text", "| training pairs | 28,990 |"),
        ("Text", "| source and target subwords | 8,000 and 7,999 |"),
        ("Text", "`c0ffee`"),
        ("Recipe", "| `optimizer.lr` | 0.0007 |"),
        ("Recipe", "| `optimizer.kind` | not known |"),
        ("Training", "| updates | 4,500 |"),
        ("Training", "| time, with validations | 1 h 00 min |"),
        ("Training", "| machine | AMD EPYC, 2 threads |"),
        ("Training", "| number format | bf16 |"),
        ("Training", "| target subwords a second | 5,432 (median) |"),
        ("Samples", "| a b | b a |"),
        ("What is not known", "- the licence of the text, and what it is biased towards"),
    ],
)
def test_a_fact_is_in_its_section(section: str, line: str) -> None:
    assert line in sections(facts_of_everything())[section]


def test_folders_of_the_author_are_not_published() -> None:
    assert "somebody" not in card(facts_of_everything(), NAMED)


def test_a_table_survives_any_text() -> None:
    sample = replace(SAMPLES[0], source="a | b\n<script>", text="c | d")
    found = sections(replace(facts_of_everything(), samples=[sample]))["Samples"]
    assert r"| a \| b &lt;script> | c \| d |" in found


def test_what_is_not_known_is_said_and_not_invented() -> None:
    facts = replace(facts_of_everything(), data=None, state=None, manifest=None, tgt_tokens_per_s=None, samples=[])
    facts.info.scores.clear()
    facts.scores.clear()
    found = sections(facts, Labels("tiny"))
    assert found["Scores"].strip() == "No scores are known."
    assert found["Text"].count("not known") == 4
    assert found["Training"].count("not known") == 4
    assert "Samples" not in found
    assert "between languages not known" in found["tiny"]
    assert found["What is not known"].strip().splitlines() == [
        "- the licence of the model (`license=`)",
        "- the languages and the text that it was trained on",
        "- the licence of the text, and what it is biased towards",
        "- scores with intervals (`scores=`)",
        "- the machine that it was trained on",
        "- what it is good for beyond text like that of its training",
    ]


def test_perplexity_needs_no_search() -> None:
    facts = facts_of_everything()
    del facts.info.scores["bleu"]
    assert "validation at this update.\n" in sections(facts)["Scores"]
