"""How the lines of one side predict those of the other: canonical correlations (Hotelling 1936) of simple features.

The features of a line are its length and which frequent words and characters it has. Two bases are found in which the
features of a line and of its translation are correlated pairwise, `corr(u_j, v_j) = r_j`, and all others uncorrelated.
For normally distributed values, the log of the likelihood ratio of a pair against two unrelated lines is then

    score(u, v) = sum_j -1/2 log(1 - r_j^2) - (r_j^2 u_j^2 - 2 r_j u_j v_j + r_j^2 v_j^2) / (2 (1 - r_j^2))

No dictionary is needed, and no common alphabet.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
OFFSETS = (-2, -1, 0, 1, 2)  # by how many lines the target may be shifted

_MAX_FEATURES = 64
_LINES_A_FEATURE = 40  # fewer would find correlations in noise
_MAX_COMPONENTS = 32
_RIDGE = 0.01
_MAX_CORRELATION = 0.95  # a score must not depend on a single feature
_MAX_DEVIATION = 3.0  # in standard deviations: lines are not normally distributed


@dataclass(frozen=True)
class _Features:
    """The features of one side: words and characters by their column, then the logarithm of the length."""

    columns: dict[str, int]

    def matrix(self, lines: Sequence[str]) -> Floats:
        """Return a row of features for each line."""
        rows, columns = [], []
        for row, line in enumerate(lines):
            found = self.columns.keys() & _words_and_characters(line)
            columns += [self.columns[name] for name in found]
            rows += [row] * len(found)
        values = np.zeros((len(lines), len(self.columns) + 1), np.float32)
        values[rows, columns] = 1
        values[:, -1] = np.log1p(np.fromiter(map(len, lines), np.float32, len(lines)))
        return values


@dataclass(frozen=True)
class _Projection:
    """From the features of one side to coordinates of mean 0 and variance 1."""

    features: _Features
    mean: Floats
    basis: Floats

    def __call__(self, lines: Sequence[str]) -> Floats:
        coordinates = (self.features.matrix(lines) - self.mean) @ self.basis
        bounded: Floats = np.clip(coordinates, -_MAX_DEVIATION, _MAX_DEVIATION)
        return bounded


@dataclass(frozen=True)
class Association:
    """What a sample of a text says about how lines and their translations are related."""

    src: _Projection
    tgt: _Projection
    correlations: Floats

    def scores(self, src: Floats, tgt: Floats) -> Floats:
        """Return how much better each pair fits than unrelated lines, in nats; both sides are coordinates."""
        r = self.correlations
        fit = (np.square(src) + np.square(tgt)) @ np.square(r / np.sqrt(2 * (1 - r**2)))
        total: Floats = (src * tgt) @ (r / (1 - r**2)) - fit - np.log1p(-(r**2)).sum() / 2
        return total


def find_association(src: Sequence[str], tgt: Sequence[str]) -> Association | None:
    """Find how aligned lines are related; None if the sides look unrelated, whichever of `OFFSETS` the target has."""
    num_features = min(_MAX_FEATURES, len(src) // _LINES_A_FEATURE)
    if num_features == 0:
        return None
    src_features, tgt_features = (_frequent(lines, num_features) for lines in (src, tgt))
    x, y = src_features.matrix(src), tgt_features.matrix(tgt)
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    found = [_canonical(*_shifted(x, y, offset)) for offset in OFFSETS]
    x_basis, r, y_basis = max(found, key=lambda of_offset: -np.log1p(-(np.minimum(of_offset[1], 0.99) ** 2)).sum())
    noise = 2 * np.sqrt(2 * num_features / len(src))
    num_components = min(_MAX_COMPONENTS, int(np.count_nonzero(r > noise)))
    if num_components == 0:
        return None
    return Association(
        _projection(src_features, x, x_mean, x_basis[:, :num_components]),
        _projection(tgt_features, y, y_mean, y_basis[:, :num_components]),
        np.minimum(r[:num_components], _MAX_CORRELATION).astype(np.float32),
    )


def _projection(features: _Features, values: Floats, mean: Floats, basis: Floats) -> _Projection:
    """Scale a basis so that coordinates have variance 1; `values` are the features minus their mean."""
    return _Projection(features, mean, (basis / (values @ basis).std(0)).astype(np.float32))


def _words_and_characters(line: str) -> set[str]:
    lower = line.lower()
    return {*lower.split(), *lower}


def _frequent(lines: Sequence[str], number: int) -> _Features:
    """Choose the words and characters that tell lines apart best: those that about half of the lines have."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(_words_and_characters(line))
    best = sorted(counts, key=lambda name: (-min(counts[name], len(lines) - counts[name]), name))[:number]
    return _Features({name: column for column, name in enumerate(best)})


def _shifted(x: Floats, y: Floats, offset: int) -> tuple[Floats, Floats]:
    """Pair row n of `x` with row n + offset of `y`."""
    num_rows = len(x) - abs(offset)
    return x[max(0, -offset) :][:num_rows], y[max(0, offset) :][:num_rows]


def _canonical(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the basis of each side as columns, and between them the correlations in descending order."""
    x_white, y_white = _whitening(x), _whitening(y)
    left, correlations, right = np.linalg.svd(x_white @ (x.T @ y / len(x)) @ y_white, full_matrices=False)
    return x_white @ left, correlations, y_white @ right.T


def _whitening(x: Floats) -> Floats:
    covariance = x.T @ x / len(x)
    ridge = _RIDGE * np.trace(covariance) / len(covariance) + 1e-9
    variances, directions = np.linalg.eigh(covariance + ridge * np.eye(len(covariance), dtype=np.float32))
    whitening: Floats = directions / np.sqrt(variances) @ directions.T
    return whitening
