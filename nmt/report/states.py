"""The plane of encoder states: phrases whose states are close to each other (Sutskever et al. 2014, §3.8, Figure 2).

Of each phrase, the hidden states of all layers of the encoder after its last time step are one vector. Principal
component analysis finds the plane that shows most of the differences: with the singular value decomposition
X - mean = U S Vᵀ of the vectors X (one per row), the coordinates in the plane are the first two columns of U S; S² is
proportional to the variance along each direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nmt.corpus.batching import pad_source
from nmt.report.drawing import HEIGHT, SERIES, drawing, svg_of
from nmt.report.phrases import PhrasePlane
from nmt.report.section import Figure, Section, Table
from nmt.training.checkpoint import Checkpoint

_MARKERS = "osD^vP"

Array = npt.NDArray[np.float64]


class Projection(NamedTuple):
    """Vectors on the plane of their first two principal components.

    Attributes:
        point_of: the coordinates of each vector, `(vectors, 2)`.
        shares: the share of the variance along the first and the second coordinate.
    """

    point_of: Array
    shares: tuple[float, float]


@dataclass(frozen=True)
class StatePlane:
    """Phrases on the plane of their encoder states.

    Attributes:
        nearest_in_group: the share of phrases whose nearest phrase, in the whole space, is of their group.
        nearest_by_chance: the same if the nearest phrase were a random other one.
    """

    plane: PhrasePlane
    projection: Projection
    nearest_in_group: float
    nearest_by_chance: float


def state_planes(checkpoint: Checkpoint, planes: Sequence[PhrasePlane]) -> list[StatePlane]:
    """Encode the phrases and project each plane's."""
    found = []
    for plane in planes:
        states_BX = final_states(checkpoint, [phrase.text for phrase in plane.phrases])
        groups = [phrase.group for phrase in plane.phrases]
        others = len(groups) - 1
        by_chance = float(np.mean([(groups.count(group) - 1) / others for group in groups]))
        found.append(StatePlane(plane, project(states_BX), nearest_in_group(states_BX, groups), by_chance))
    return found


@torch.inference_mode()
def final_states(checkpoint: Checkpoint, lines: Sequence[str]) -> Tensor:
    """Return the hidden states of all layers of the encoder after each line, side by side, `(B, X)`."""
    src_BS, lengths_B = pad_source(checkpoint.src_subword.encode_batch(list(lines)))
    encoding = checkpoint.model.encode(src_BS, lengths_B)
    return torch.cat([layer[0] for layer in encoding.final.layers], dim=1)


def project(vectors_BX: Tensor) -> Projection:
    """Project vectors on their first two principal components; in each, the largest coordinate is positive."""
    centred_BX = vectors_BX.double() - vectors_BX.double().mean(0)
    u_BX, scale_X, _ = torch.linalg.svd(centred_BX, full_matrices=False)
    point_B2 = u_BX[:, :2] * scale_X[:2]
    largest_12 = point_B2.gather(0, point_B2.abs().argmax(0, keepdim=True))
    variance_X = scale_X.square()
    total = float(variance_X.sum()) or 1.0
    first, second = (float(variance) / total for variance in variance_X[:2])
    return Projection((point_B2 * torch.where(largest_12 < 0, -1.0, 1.0)).numpy(), (first, second))


def nearest_in_group(vectors_BX: Tensor, groups: Sequence[str]) -> float:
    """Return the share of vectors whose nearest other vector is of the same group."""
    distance_BB = torch.cdist(vectors_BX.double(), vectors_BX.double(), compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distance_BB.fill_diagonal_(torch.inf).argmin(1).tolist()
    return float(np.mean([groups[index] == groups[other] for index, other in enumerate(nearest)]))


def states_section(planes: Sequence[StatePlane]) -> Section:
    """Show each plane as a picture whose points have numbers, and a table that names them."""
    return Section(
        "The plane of encoder states",
        paragraphs=(
            "What the encoder makes of a phrase is a vector: the hidden states of its layers after the last time step. "
            "Here such vectors are projected on the plane that shows most of their differences (principal component "
            "analysis), as in Figure 2 of Sutskever et al. 2014. If the order of words counts, and not only which "
            "words there are, phrases of the same words in another order are far from each other.",
        ),
        tables=(_summary(planes),),
        figures=tuple(map(_figure, planes)),
    )


def _summary(planes: Sequence[StatePlane]) -> Table:
    return Table(
        "How often the nearest phrase, in all dimensions, is of the same group; and if it were a random other phrase",
        ("plane", "phrases", "groups", "nearest in group", "by chance", "variance shown"),
        tuple(
            (
                found.plane.title,
                len(found.plane.phrases),
                len(_groups(found.plane)),
                found.nearest_in_group,
                found.nearest_by_chance,
                sum(found.projection.shares),
            )
            for found in planes
        ),
        decimals=dict.fromkeys(("nearest in group", "by chance", "variance shown"), 2),
    )


def _groups(plane: PhrasePlane) -> list[str]:
    return list(dict.fromkeys(phrase.group for phrase in plane.phrases))


def _figure(found: StatePlane) -> Figure:
    plane, (point_of, shares) = found.plane, found.projection
    rows = [
        (number, phrase.group, phrase.text, float(x), float(y))
        for number, (phrase, (x, y)) in enumerate(zip(plane.phrases, point_of, strict=True), start=1)
    ]
    return Figure(
        _scatter(found),
        f"{plane.title}: encoder states of {len(rows)} phrases in {len(_groups(plane))} groups; the axes show "
        f"{shares[0]:.0%} and {shares[1]:.0%} of the variance. The table names the points.",
        f"Points on a plane, one a phrase. The nearest phrase is of the same group for {found.nearest_in_group:.0%} of "
        f"the phrases; by chance it would be for {found.nearest_by_chance:.0%}.",
        Table(f"{plane.title}: the points", ("number", "group", "phrase", "first", "second"), tuple(rows)),
    )


def _scatter(found: StatePlane) -> str:
    plane, (point_of, shares) = found.plane, found.projection
    groups = _groups(plane)
    with drawing(height=HEIGHT + 20 * ((len(groups) + 1) // 2)) as figure:
        axes = figure.subplots()
        for index, group in enumerate(groups):
            own = [number for number, phrase in enumerate(plane.phrases) if phrase.group == group]
            colour, marker = SERIES[index % len(SERIES)], _MARKERS[index % len(_MARKERS)]
            x, y = point_of[own].T
            axes.scatter(x, y, s=24, color=colour, marker=marker, label=group)
            for number in own:
                axes.annotate(
                    str(number + 1), tuple(point_of[number]), xytext=(4, 3), textcoords="offset points", color=colour
                )
        axes.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
        axes.set_ylabel(f"second component, {shares[1]:.0%}")
        axes.margins(0.1)
        figure.legend(loc="outside upper center", ncols=2, fontsize=10)
        return svg_of(figure)
