"""What Table 1 of Sutskever, Vinyals & Le 2014 consists of: models, rows, and claims about pairs of rows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

AVERAGE = "average"


class Kind(StrEnum):
    """How the encoder of a model reads the source, or that it has attention."""

    forward = "forward"
    reversed = "reversed"
    attention = "attention"


class Model(NamedTuple):
    """One training run."""

    kind: Kind
    seed: int

    @property
    def name(self) -> str:
        return f"{self.kind}-seed{self.seed}"


class Row(NamedTuple):
    """One system.

    Attributes:
        key: the name of its file.
        systems: names of models, or AVERAGE; several are an ensemble.
        paper: its BLEU in the paper, on newstest2014.
    """

    key: str
    label: str
    systems: tuple[str, ...]
    beam_size: int
    paper: float | None = None


class Claim(NamedTuple):
    """One row scores more than another one."""

    text: str
    better: str
    worse: str
    of_the_paper: bool = True


@dataclass(frozen=True)
class Plan:
    """The sizes of an experiment; 0 models of a kind or 0 checkpoints to average leave out their rows."""

    num_reversed: int = 5
    num_forward: int = 2
    num_averaged: int = 4
    with_attention: bool = True

    def models(self) -> list[Model]:
        """List the runs, in the order in which they are trained."""
        numbers = {Kind.reversed: self.num_reversed, Kind.forward: self.num_forward, Kind.attention: self.num_attention}
        return [Model(kind, seed) for kind, number in numbers.items() for seed in range(1, number + 1)]

    @property
    def num_attention(self) -> int:
        return int(self.with_attention)

    def singles(self, kind: Kind) -> list[Row]:
        """List the rows of single models."""
        paper = {Kind.forward: 26.17, Kind.reversed: 30.59, Kind.attention: 28.45}[kind]  # the last: Bahdanau et al.
        models = [model for model in self.models() if model.kind == kind]
        label = "attention" if kind == Kind.attention else f"single {kind}"
        return [
            Row(
                model.name,
                f"{label}, beam 12 (seed {model.seed})",
                (model.name,),
                12,
                paper if model.seed == 1 else None,
            )
            for model in models
        ]

    def ensembles(self) -> list[Row]:
        """List the rows of several reversed models, in the paper's order."""
        papers = {(5, 1): 33.00, (2, 12): 33.27, (5, 2): 34.50, (5, 12): 34.81}
        n = self.num_reversed
        sizes = dict.fromkeys([(n, 1), (2, 12), (n, 2), (n, 12)]) if n >= 2 else {}
        return [
            Row(
                _ensemble(number, beam_size),
                f"{number} reversed, beam {beam_size}",
                tuple(Model(Kind.reversed, seed).name for seed in range(1, number + 1)),
                beam_size,
                papers.get((number, beam_size)),
            )
            for number, beam_size in sizes
        ]

    def rows(self) -> list[Row]:
        """List all rows in the order of the paper, and those that it does not have."""
        average = Row(AVERAGE, f"average of {self.num_averaged} checkpoints, reversed, beam 12", (AVERAGE,), 12)
        return [
            *self.singles(Kind.forward),
            *self.singles(Kind.reversed),
            *self.ensembles(),
            *([average] if self.num_averaged and self.num_reversed else []),
            *self.singles(Kind.attention),
        ]

    def claims(self) -> list[Claim]:
        """List the claims whose rows exist."""
        forward, single, attention = (Model(kind, 1).name for kind in (Kind.forward, Kind.reversed, Kind.attention))
        n = self.num_reversed
        claims = [
            Claim("the reversed source is better than the forward one", single, forward),
            Claim("two models are better than one", _ensemble(2, 12), single),
            Claim(f"{n} models are better than two", _ensemble(n, 12), _ensemble(2, 12)),
            Claim(f"{n} models with a beam of 1 are better than one with a beam of 12", _ensemble(n, 1), single),
            Claim("a beam of 2 is better than a beam of 1", _ensemble(n, 2), _ensemble(n, 1)),
            Claim("a beam of 12 is better than a beam of 2", _ensemble(n, 12), _ensemble(n, 2)),
            Claim("the average of checkpoints is better than the best checkpoint", AVERAGE, single, of_the_paper=False),
            Claim("attention is better than the reversed source", attention, single, of_the_paper=False),
        ]
        keys = {row.key for row in self.rows()}
        return [claim for claim in claims if {claim.better, claim.worse} <= keys and claim.better != claim.worse]

    def cheaper(self) -> tuple[str, str] | None:
        """Return the rows of the paper's claim about cost: an ensemble with a beam of 2 is cheaper than one with 12."""
        if self.num_reversed < 2:
            return None
        return _ensemble(self.num_reversed, 2), Model(Kind.reversed, 1).name


def _ensemble(number: int, beam_size: int) -> str:
    return f"reversed-{number}models-beam{beam_size}"
