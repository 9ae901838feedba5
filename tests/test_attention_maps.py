"""Attention maps in a report: the weights of the translations, in the colours of the page."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from nmt.report.attention_maps import attention_maps, attention_section
from nmt.search.loading import default_search_config
from nmt.search.translator import Translator
from tests.attending import LINES, attending_scorer
from tests.checkpoints import loaded, model_of_both
from tests.models import tiny_subword

DIGITS = tiny_subword()


def test_maps_have_the_weights_of_the_translations() -> None:
    scorer = attending_scorer()
    found = attention_maps(loaded(scorer.model, src=DIGITS, tgt=DIGITS), LINES)
    expected = list(Translator(scorer, DIGITS, default_search_config()).translate(LINES, align=True))
    assert [one.source for one in found] == LINES
    for one, translation in zip(found, expected, strict=True):
        assert one.translation == translation.text
        alignment = translation.hypotheses[0].alignment
        assert alignment is not None
        assert np.array_equal(one.alignment.weights, alignment.weights)
        assert one.alignment.weights.sum(1) == pytest.approx(1, abs=1e-5)


def test_a_figure_has_each_weight_and_says_where_the_decoder_looks() -> None:
    scorer = attending_scorer()
    [found] = maps = attention_maps(loaded(scorer.model, src=DIGITS, tgt=DIGITS), [LINES[2]])
    [figure] = attention_section(maps).figures
    source, target = found.alignment.source, found.alignment.target
    assert figure.numbers.columns[0] == "translation"
    assert [column.split(" ", 1)[1] for column in figure.numbers.columns[1:]] == list(source)
    assert [row[0] for row in figure.numbers.rows] == list(target)
    assert [list(row[1:]) for row in figure.numbers.rows] == found.alignment.weights.tolist()
    assert figure.alt.count(" at ") == len(target)
    assert f"{target[0]} at {source[int(found.alignment.weights[0].argmax())]}" in figure.alt
    assert LINES[2] in figure.caption
    root = ET.fromstring(figure.svg)
    assert len(root.findall(".//{*}rect")) == 1 + found.alignment.weights.size
    assert "white" not in figure.svg
    assert "black" not in figure.svg


def test_a_line_without_subwords_has_no_map() -> None:
    scorer = attending_scorer()
    assert attention_maps(loaded(scorer.model, src=DIGITS, tgt=DIGITS), [""]) == []


def test_a_model_without_attention_has_none() -> None:
    maps = attention_maps(loaded(model_of_both()), LINES)
    assert maps == []
    section = attention_section(maps)
    assert section.paragraphs == ("This model has no attention: the decoder knows the source by its first state only.",)
    assert not section.figures
