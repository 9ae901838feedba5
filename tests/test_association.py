from __future__ import annotations

import numpy as np
import pytest

from nmt.doctor import association
from nmt.doctor.association import Association, _Features, _Projection, find_association
from tests.doctor_text import number_pairs


def test_a_score_is_a_ratio_of_normal_densities() -> None:
    """log N(u, v; correlation r) - log N(u) N(v), for one component, by the textbook formula of both densities."""
    r, u, v = 0.8, 1.2, 0.7
    nowhere = _Projection(_Features({}), np.zeros(1, np.float32), np.zeros((1, 1), np.float32))
    found = Association(nowhere, nowhere, np.array([r], np.float32))
    covariance = np.array([[1, r], [r, 1]])
    point = np.array([u, v])
    joint = -point @ np.linalg.inv(covariance) @ point / 2 - np.log(np.linalg.det(covariance)) / 2
    alone = -(u**2 + v**2) / 2
    score = found.scores(np.array([[u]], np.float32), np.array([[v]], np.float32))
    assert score[0] == pytest.approx(joint - alone, abs=1e-6)


def test_translations_score_better_than_other_lines() -> None:
    pairs = number_pairs(2_000)
    src, tgt = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = find_association(src[:1_500], tgt[:1_500])
    assert found is not None
    u, v = found.src(src[1_500:]), found.tgt(tgt[1_500:])
    own, other = found.scores(u, v), found.scores(u, np.roll(v, 1, axis=0))
    assert np.mean(own > other) > 0.98


def test_coordinates_have_variance_1_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = number_pairs(2_000)
    found = find_association([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    assert found is not None
    u = found.src([pair[0] for pair in pairs])
    assert np.allclose(u.mean(0), 0, atol=0.05)
    assert np.allclose(u.std(0), 1, atol=0.05)
    monkeypatch.setattr(association, "_MAX_DEVIATION", 0.5)
    assert np.abs(found.src(["Zero " * 99])).max() == 0.5


def test_too_few_lines_give_no_association() -> None:
    assert find_association(["a"] * 39, ["b"] * 39) is None


def test_no_correlation_is_perfect() -> None:
    lines = [pair[0] for pair in number_pairs(2_000)]
    found = find_association(lines, lines)
    assert found is not None
    assert found.correlations.max() == pytest.approx(0.95)
