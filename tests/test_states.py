"""The plane of encoder states: principal components, nearest phrases, and the section of a report."""

import math
import re

import pytest
import torch

from nmt.report.phrases import Phrase, PhrasePlane
from nmt.report.states import final_states, nearest_in_group, project, state_planes, states_section
from tests.checkpoints import loaded, model_of_both
from tests.models import normal

LINES = ["0 1 2", "2 1 0", "3", "4 5 6 7 8", "9 9"]
PLANE = PhrasePlane("<order>", tuple(Phrase(group, line) for group, line in zip("aab$b$", LINES, strict=False)))


def plane(*groups_and_lines: tuple[str, str]) -> PhrasePlane:
    return PhrasePlane("order & voice", tuple(Phrase(*one) for one in groups_and_lines))


ORDER = plane(("a", "0 1 2"), ("a", "2 1 0"), ("b$", "3"), ("b$", "4 5 6 7"))


def test_the_plane_is_that_of_the_largest_differences() -> None:
    """Points in a plane of a space of five dimensions: an ellipse, moved and rotated."""
    angle_N = torch.arange(12).double() * math.tau / 12
    basis_55 = torch.linalg.qr(normal(5, 5))[0]
    vectors_N5 = torch.stack([4 * angle_N.cos(), angle_N.sin()], 1) @ basis_55[:2] + normal(5, seed=2)
    point_of, shares = project(vectors_N5)
    assert shares == pytest.approx((16 / 17, 1 / 17), rel=1e-9)
    assert abs(point_of[:, 0]) == pytest.approx((4 * angle_N.cos()).abs().numpy(), abs=1e-9)
    assert abs(point_of[:, 1]) == pytest.approx(angle_N.sin().abs().numpy(), abs=1e-9)


def test_distances_in_the_plane_are_those_of_vectors_that_lie_in_it() -> None:
    vectors_N2 = normal(6, 2)
    point_of = torch.from_numpy(project(vectors_N2).point_of)
    torch.testing.assert_close(torch.cdist(point_of, point_of), torch.cdist(vectors_N2, vectors_N2))


def test_the_largest_coordinate_is_positive() -> None:
    for seed in range(5):
        point_of = project(normal(7, 3, seed=seed)).point_of
        assert (point_of.max(0) > -point_of.min(0)).all()


def test_equal_vectors_are_one_point() -> None:
    point_of, shares = project(torch.ones(3, 4))
    assert not point_of.any()
    assert shares == (0.0, 0.0)


def test_the_nearest_vector_is_another_one() -> None:
    on_a_line_N1 = torch.tensor([[0.0], [1.0], [1.5], [4.0], [5.0]])
    assert nearest_in_group(on_a_line_N1, ["a", "a", "b", "b", "b"]) == 3 / 5  # 1 and 1.5 are each other's nearest


def test_a_state_has_the_hidden_states_of_all_layers_whatever_the_other_phrases() -> None:
    checkpoint = loaded(model_of_both().double())
    together_BX = final_states(checkpoint, LINES)
    assert together_BX.shape == (len(LINES), 2 * 7)
    for line, state_X in zip(LINES, together_BX, strict=True):
        torch.testing.assert_close(final_states(checkpoint, [line])[0], state_X)
    layers = checkpoint.model.encode(*source(checkpoint.src_subword.encode(LINES[0]))).final.layers
    torch.testing.assert_close(together_BX[0], torch.cat([h_NH[0] for h_NH, _ in layers]))


def source(ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[*ids, 3]]), torch.tensor([len(ids) + 1])  # EOS


def test_chance_is_the_share_of_other_phrases_of_the_group() -> None:
    [found] = state_planes(loaded(model_of_both()), [plane(("a", "0"), ("a", "1"), ("a", "2"), ("b", "3"), ("b", "4"))])
    assert found.nearest_by_chance == pytest.approx((3 * 2 / 4 + 2 * 1 / 4) / 5)


def test_the_section_names_each_point_of_each_picture() -> None:
    [found] = planes = state_planes(loaded(model_of_both()), [ORDER])
    section = states_section(planes)
    [figure], [table] = section.figures, section.tables
    rows, summary = figure.numbers.rows, list[object](table.rows)
    assert [row[:3] for row in rows] == [(1, "a", "0 1 2"), (2, "a", "2 1 0"), (3, "b$", "3"), (4, "b$", "4 5 6 7")]
    assert [row[3:] for row in rows] == [tuple(point) for point in found.projection.point_of.tolist()]
    texts = re.findall("<text[^>]*>([^<]*)</text>", figure.svg)
    assert {"1", "2", "3", "4", "a", "b$"} <= set(texts)
    assert "order &amp; voice" not in figure.svg  # it is in the caption
    assert figure.caption.startswith("order & voice: encoder states of 4 phrases in 2 groups")
    assert summary == [
        (
            "order & voice",
            4,
            2,
            found.nearest_in_group,
            pytest.approx(1 / 3),
            pytest.approx(sum(found.projection.shares)),
        ),
    ]
