"""How many characters the normalization of the subword models changes, in a sample of the training text."""

from dataclasses import dataclass, field

from nmt.choices import Normalization, Severity
from nmt.corpus.subwords import SubwordSpecs
from nmt.doctor.blocks import SIDES, Block
from nmt.doctor.finding import Finding, finding, grade, share, show_share
from nmt.text.normalization import StandaloneNormalizer, report_normalization

_MAX_LINES = 50_000


@dataclass(frozen=True)
class SideNormalization:
    """The characters of a side, without spaces, and how many of them its rule changes."""

    rule: str
    num_characters: int
    num_changed: int


@dataclass(frozen=True)
class Normalized:
    """`num_lines` is the size of the sample: the first lines of the training text."""

    num_lines: int
    sides: dict[str, SideNormalization]
    findings: list[Finding]


@dataclass
class NormalizationSample:
    """Collects the first lines of a split, by side."""

    sides: dict[str, list[str]] = field(default_factory=lambda: {side: [] for side in SIDES})

    def add(self, block: Block) -> None:
        for side, lines in self.sides.items():
            lines += block.side(side)[: _MAX_LINES - len(lines)]


def normalized_sides(specs: SubwordSpecs) -> list[str]:
    """List the sides on which it does not matter how a character is encoded, composed or decomposed."""
    return [side for side in SIDES if getattr(specs, side).normalization != Normalization.identity]


def normalizers(specs: SubwordSpecs) -> dict[str, StandaloneNormalizer]:
    """Return the normalization of each side."""
    return {side: StandaloneNormalizer(getattr(specs, side).normalization, one_space=False) for side in SIDES}


def normalized_sample(sample: NormalizationSample, specs: SubwordSpecs) -> Normalized:
    """Normalize each side of the sample as its subword model will."""
    sides = {}
    for side, normalize in normalizers(specs).items():
        found = report_normalization(sample.sides[side], normalize)
        rule = str(getattr(specs, side).normalization)
        sides[side] = SideNormalization(rule, found.num_characters, found.num_changed)
    return Normalized(len(sample.sides["src"]), sides, [_finding(side, found) for side, found in sides.items()])


def _finding(side: str, found: SideNormalization) -> Finding:
    severity = Severity.ok
    if found.rule == Normalization.nmt_nfkc:  # canonical forms lose nothing
        # a source is only read, but a target is learned as it was changed
        limits = {"notice": 0.01, "warning": 0.2} if side == "src" else {"notice": 1e-4, "warning": 0.02}
        severity = grade(share(found.num_changed, found.num_characters), **limits)
    return finding(
        severity,
        f"train {side}: {found.rule} changes {show_share(found.num_changed, found.num_characters)} characters",
        f"if these characters matter, set subword.{side}.normalization=nfc",
    )
