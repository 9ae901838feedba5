"""Capital letters: text in lower case, in capitals, and splits that differ."""

from collections import Counter
from dataclasses import dataclass, field

from nmt.choices import Severity
from nmt.doctor.blocks import SIDES, Block
from nmt.doctor.finding import Finding, finding, grade, show_share

_DIFFERENT = 0.3  # of the shares of lines without capitals
_ALMOST_ALL, _FEW = 0.9, 0.5


@dataclass
class SideCase:
    """The lines of one side of a split that have letters with case: those without capitals, and without others."""

    num_cased: int = 0
    num_lower: int = 0
    num_upper: int = 0

    @property
    def lower_share(self) -> float:
        return self.num_lower / max(1, self.num_cased)


@dataclass(frozen=True)
class Case:
    splits: dict[str, dict[str, SideCase]]
    findings: list[Finding]


@dataclass
class CaseCounts:
    """The case of the lines of a split, by side."""

    sides: dict[str, SideCase] = field(default_factory=lambda: {side: SideCase() for side in SIDES})

    def add(self, block: Block) -> None:
        for side, found in self.sides.items():
            kinds = Counter(
                (line.islower(), line.isupper()) for line in block.side(side) if line.lower() != line.upper()
            )
            found.num_cased += kinds.total()
            found.num_lower += kinds[True, False]
            found.num_upper += kinds[False, True]


def case(counts: dict[str, CaseCounts]) -> Case:
    """Put the splits together and say what is wrong."""
    splits = {split: of_split.sides for split, of_split in counts.items()}
    train = splits["train"]
    findings = [_of_sides(train), *(_of_capitals(side, train[side]) for side in SIDES)]
    findings += [
        _compare(split, side, splits[split][side], train[side])
        for split in splits
        if split != "train"
        for side in SIDES
    ]
    return Case(splits, [line for line in findings if line is not None])


def _of_sides(train: dict[str, SideCase]) -> Finding | None:
    src, tgt = train["src"], train["tgt"]
    if not (src.num_cased and tgt.num_cased and src.lower_share > _ALMOST_ALL and tgt.lower_share < _FEW):
        return None
    return Finding(
        Severity.notice,
        "train: the source is in lower case, the target is not",
        "use the source with its capitals: otherwise the model has to guess those of the target",
    )


def _of_capitals(side: str, train: SideCase) -> Finding | None:
    if not train.num_upper:
        return None
    return finding(
        grade(train.num_upper / train.num_cased, notice=0.02, warning=0.2),
        f"train {side}: {show_share(train.num_upper, train.num_cased)} lines are in capitals",
        "write them in usual case: in capitals, words have other subwords",
    )


def _compare(split: str, side: str, found: SideCase, train: SideCase) -> Finding | None:
    if not (found.num_cased and train.num_cased):
        return None
    is_different = abs(found.lower_share - train.lower_share) > _DIFFERENT
    return finding(
        Severity.warning if is_different else Severity.ok,
        f"{split} {side}: {100 * found.lower_share:.0f}% of the lines have no capitals, of the training text "
        f"{100 * train.lower_share:.0f}%",
        "use text of the same case in all splits",
    )
