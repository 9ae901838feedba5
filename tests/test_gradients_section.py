"""The section on gradients says and draws what was measured."""

import math
from dataclasses import replace

import pytest

from nmt.report.gradients import Gradients, ModelGradients, NormCurve
from nmt.report.gradients_section import gradients_section

H, C = "hidden state", "cell state"


def curve(layer: str, part: str, factor: float, *, clip: float = 1.0, first: int = -12, last: int = 0) -> NormCurve:
    steps = tuple(range(first, last + 1))
    norms = tuple(factor ** (last - step) for step in steps)
    return NormCurve(layer, part, steps, norms, tuple(clip * norm for norm in norms))


ELMAN = ModelGradients(
    "rnn_tanh, trained",
    (curve("encoder layer 1", H, 0.5), curve("decoder layer 1", H, 0.25, first=1, last=9)),
    (curve("decoder layer 1", H, 0.75),),
    update_norms=(2.0, 3.0),
    clipped_norms=(2.0, 3.0),
)
LSTM = ModelGradients(
    "lstm, initial",
    (
        curve("encoder layer 1", H, 1.5, clip=0.5),
        curve("encoder layer 1", C, 2.0, clip=0.5),
        curve("decoder layer 1", H, 0.5, first=1, last=9),
        curve("decoder layer 1", C, 0.5, first=1, last=9),
    ),
    (curve("decoder layer 1", H, 1.25), curve("decoder layer 1", C, 1.125)),
    update_norms=(4.0, 10.0),
    clipped_norms=(4.0, 5.0),
)
FOUND = Gradients((ELMAN, LSTM), 5.0, 32, "encoder layer 1", "decoder layer 1", has_attention=False)


def test_the_table_has_norms_factors_and_the_largest_gradient_of_an_update() -> None:
    [table] = gradients_section(FOUND).tables
    assert list[object](table.rows) == [
        ("rnn_tanh, trained", 1.0, pytest.approx(0.5**10), pytest.approx(0.5), pytest.approx(0.75), 3.0, 3.0),
        (f"lstm, initial: {H}", 1.0, pytest.approx(1.5**10), pytest.approx(1.5), pytest.approx(1.25), 10.0, 5.0),
        (f"lstm, initial: {C}", 1.0, pytest.approx(2.0**10), pytest.approx(2), pytest.approx(1.125), 10.0, 5.0),
    ]


def test_the_picture_of_cells_has_every_norm_with_and_without_clipping() -> None:
    figure = gradients_section(FOUND).figures[0]
    columns = figure.numbers.columns
    assert columns == (
        "time step",
        "rnn_tanh, trained, without clipping",
        f"lstm, initial: {H}, without clipping",
        f"lstm, initial: {C}, without clipping",
        "rnn_tanh, trained, clipped at norm 5",
        f"lstm, initial: {H}, clipped at norm 5",
        f"lstm, initial: {C}, clipped at norm 5",
    )
    assert [row[0] for row in figure.numbers.rows] == list(range(-12, 1))
    assert figure.numbers.rows[0][3] == 2.0**12
    assert figure.numbers.rows[0][6] == 2.0**11
    for text in ("without clipping", "clipped at norm 5", "rnn_tanh, trained", "time step"):
        assert f">{text}</text>" in figure.svg
    assert "rnn_tanh, trained 0.500; lstm, initial: hidden state 1.500" in figure.alt


def test_the_picture_of_the_decoder_is_that_of_the_last_token() -> None:
    figure = gradients_section(FOUND).figures[1]
    assert figure.numbers.columns == (
        "time step",
        "rnn_tanh, trained",
        f"lstm, initial: {H}",
        f"lstm, initial: {C}",
    )
    assert figure.numbers.rows[0][1] == 0.75**12


def test_the_picture_of_layers_is_that_of_the_trained_model() -> None:
    figure = gradients_section(FOUND).figures[2]
    assert figure.numbers.columns == ("time step", "encoder layer 1", "decoder layer 1")
    assert [row[0] for row in figure.numbers.rows] == list(range(-12, 10))
    assert figure.numbers.rows[0] == (-12, 0.5**12, None)
    assert figure.numbers.rows[-1] == (9, None, 1.0)


def test_clipping_that_changes_nothing_is_not_drawn() -> None:
    section = gradients_section(replace(FOUND, models=(ELMAN,)))
    assert "clipped at" not in section.figures[0].svg
    assert "The limit of this run is 5, exceeded by 0 of 2 gradients." in " ".join(section.paragraphs)
    assert "exceeded by 1 of 4 gradients" in " ".join(gradients_section(FOUND).paragraphs)
    without = gradients_section(replace(FOUND, models=(ELMAN,), clip_norm=math.inf))
    assert "This run does not clip." in " ".join(without.paragraphs)


def test_attention_is_explained_if_there_is_any() -> None:
    def says(found: Gradients) -> bool:
        return "With attention" in " ".join(gradients_section(found).paragraphs)

    assert [says(FOUND), says(replace(FOUND, has_attention=True))] == [False, True]


@pytest.mark.parametrize("factor", [0.0, math.inf])
def test_norms_that_vanish_or_overflow_do_not_fail(factor: float) -> None:
    flat = curve("encoder layer 1", H, 1.0)
    broken = flat._replace(norms=(factor,) * 13, clipped=(factor,) * 13)
    model = replace(ELMAN, curves=(broken,), update_norms=(factor,), clipped_norms=(factor,))
    section = gradients_section(replace(FOUND, models=(model,)))
    assert section.figures[0].numbers.rows[0][1] == (0.0 if factor == 0 else None)
    assert section.tables[0].rows[0][5] == (0.0 if factor == 0 else None)
