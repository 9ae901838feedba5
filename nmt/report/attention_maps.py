"""Attention maps: where the decoder looks while it writes a translation (Bahdanau et al. 2015, Figure 3)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from nmt.choices import AttentionScore, SearchPrecision
from nmt.report.section import Figure, Section, Table
from nmt.search.alignment import Alignment
from nmt.search.heat_map import Colours, heat_map
from nmt.search.loading import default_search_config
from nmt.search.scorer import ModelScorer
from nmt.search.translator import Translator
from nmt.training.checkpoint import Checkpoint

_COLOURS = Colours("none", "currentColor", "var(--series-1, #0072b2)", "var(--faint, #a1a2a3)")  # of the page


class AttentionMap(NamedTuple):
    """A source line, its translation, and the weights of attention."""

    source: str
    translation: str
    alignment: Alignment


def attention_maps(checkpoint: Checkpoint, lines: Sequence[str]) -> list[AttentionMap]:
    """Translate lines with the default search, and align the translations; none if the model has no attention."""
    if checkpoint.model_config.attention == AttentionScore.none:
        return []
    scorer = ModelScorer(
        checkpoint.model,
        src_subword=checkpoint.src_subword,
        tgt_subword=checkpoint.tgt_subword,
        device=torch.device("cpu"),
        precision=SearchPrecision.fp32,
        name=str(checkpoint.path),
    )
    translations = Translator(scorer, checkpoint.tgt_subword, default_search_config()).translate(lines, align=True)
    best = [(translation.source, translation.hypotheses[0]) for translation in translations]
    return [AttentionMap(source, one.text, one.alignment) for source, one in best if one.alignment is not None]


def attention_section(maps: Sequence[AttentionMap]) -> Section:
    """Show each map with its weights."""
    title = "Attention"
    if not maps:
        return Section(title, ("This model has no attention: the decoder knows the source by its first state only.",))
    return Section(
        title,
        paragraphs=(
            "Each row is a subword of the translation, each column one of the source; the stronger the colour of a "
            "cell, the more the decoder looks there while it writes that subword. Translations are those of the "
            "default beam search.",
        ),
        figures=tuple(map(_figure, maps)),
    )


def _figure(found: AttentionMap) -> Figure:
    alignment = found.alignment
    most = [alignment.source[column] for column in alignment.weights.argmax(1)]
    looks = ", ".join(f"{target} at {source}" for target, source in zip(alignment.target, most, strict=True))
    columns = [f"{number} {subword}" for number, subword in enumerate(alignment.source, start=1)]  # some are equal
    rows = zip(alignment.target, alignment.weights.tolist(), strict=True)
    return Figure(
        heat_map(alignment, title=f"{found.source} → {found.translation}", colours=_COLOURS),
        f"“{found.source}” is translated as “{found.translation}”.",
        f"Where each subword of the translation looks most: {looks}.",
        Table(
            "Weights of attention: a row for each subword of the translation",
            ("translation", *columns),
            tuple((target, *weights) for target, weights in rows),
            decimals=dict.fromkeys(columns, 2),
        ),
    )
