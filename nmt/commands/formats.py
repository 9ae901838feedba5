"""How translations are written: as text, with alignments, as JSON, as pictures."""

import json
from pathlib import Path
from typing import Any

from nmt.choices import OutputFormat
from nmt.search.alignment import pharaoh
from nmt.search.heat_map import heat_map
from nmt.search.translator import EMPTY, TranslatedHypothesis, Translation

_JSON = json.JSONEncoder(ensure_ascii=False)


def draw(translation: Translation, path: Path) -> None:
    """Write the heat map of the best translation; an empty line has none."""
    best = translation.hypotheses[0]
    if best.alignment is not None:
        title = f"{translation.source} → {best.text}"
        path.write_text(heat_map(best.alignment, title=title), encoding="utf-8")


def format_translation(translation: Translation, output_format: OutputFormat, *, n_best: int) -> str:
    """Format a translation as text, always `n_best` lines, or as one line of JSON with scores.

    Lines of text end like their source; lines of JSON always end in "\\n".
    """
    source = translation.source.removesuffix("\r")
    if output_format in (OutputFormat.jsonl, OutputFormat.jsonl_attention):
        has_alignments = output_format == OutputFormat.jsonl_attention
        content = {
            "source": source,
            "unknown_share": round(translation.unknown_share, 4),
            "hypotheses": [_as_json(hypothesis, has_alignments) for hypothesis in translation.hypotheses],
        }
        return _JSON.encode(content) + "\n"
    end = "\n" if source == translation.source else "\r\n"
    hypotheses = [*translation.hypotheses, *[EMPTY] * (n_best - len(translation.hypotheses))]
    return "".join(_as_line(hypothesis, output_format) + end for hypothesis in hypotheses)


def _as_line(hypothesis: TranslatedHypothesis, output_format: OutputFormat) -> str:
    if output_format == OutputFormat.text:
        return hypothesis.text
    alignment, aligned = hypothesis.alignment, list[int]()
    if alignment is not None:
        is_of_words = output_format == OutputFormat.pharaoh
        aligned = alignment.aligned_words() if is_of_words else alignment.aligned_subwords()
    return f"{hypothesis.text} ||| {pharaoh(aligned)}"


def _as_json(hypothesis: TranslatedHypothesis, has_alignments: bool) -> dict[str, Any]:
    content = hypothesis._asdict()
    alignment = content.pop("alignment")
    if has_alignments:
        content["alignment"] = (
            None
            if alignment is None
            else {
                "words": pharaoh(alignment.aligned_words()),
                "source": alignment.source,
                "target": alignment.target,
                "weights": [[round(weight, 4) for weight in row] for row in alignment.weights.tolist()],
            }
        )
    return content
