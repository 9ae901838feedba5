"""From translations to the table: scores with intervals, costs, and which claims hold."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nmt.choices import Metric, PairedTest
from nmt.evaluation.metrics import MetricOptions, score_corpus
from nmt.evaluation.significance import compare_systems
from table1.measurements import EvaluatedText
from table1.plan import Claim, Kind, Plan, Row

SIGNIFICANT = 0.05
NOTES = """\
BLEU: with a 95% interval (bootstrap). paper: its BLEU, on other data (newstest2014). perplexity: of the references, per
subword. sentences/s: of the search, without loading. cost: {time} of a sentence, and as a multiple of that of
the single reversed model. p: paired bootstrap test over the test sentences, for the two runs compared; other seeds give
other models, as the means of single models show.
{signature}
"""


@dataclass(frozen=True)
class ScoredRow:
    """A row of the table.

    Attributes:
        cost_s: processor time of a sentence; on a GPU, time.
    """

    label: str
    bleu: float
    interval: tuple[float, float]
    signature: str
    paper: float | None
    perplexity: float | None
    sentences_per_s: float
    cost_s: float


@dataclass(frozen=True)
class Mean:
    """The single models of a kind, of which there are several; the deviation is that of a sample."""

    label: str
    bleu: float
    deviation: float
    perplexity: float


@dataclass(frozen=True)
class ClaimResult:
    """A claim, the difference of BLEU in its favour, and the probability that it is due to chance."""

    text: str
    of_the_paper: bool
    difference: float
    p_value: float

    @property
    def verdict(self) -> str:
        if self.p_value >= SIGNIFICANT:
            return "not shown"
        return "holds" if self.difference > 0 else "the opposite holds"


@dataclass(frozen=True)
class CostClaim:
    """The claim that an ensemble with a small beam costs less than one model with a large one."""

    text: str
    ratio: float

    @property
    def verdict(self) -> str:
        return "holds" if self.ratio < 1 else "does not hold"


@dataclass(frozen=True)
class Table:
    """Everything that is printed; its fields are the schema of the JSON file."""

    num_sentences: int
    device: str
    rows: dict[str, ScoredRow]
    means: list[Mean]
    claims: list[ClaimResult]
    cost: CostClaim | None
    training: dict[str, dict[str, Any]]


def build_table(
    plan: Plan,
    measured: Mapping[str, Mapping[str, Any]],
    perplexities: Mapping[str, float],
    *,
    test: EvaluatedText,
    options: MetricOptions,
    training: dict[str, dict[str, Any]],
) -> Table:
    """Score the rows and test the claims.

    Args:
        measured: what `translations` returned, by the key of the row.
        perplexities: of single systems, by the key of their rows.
    """
    rows = {row.key: _scored(row, measured[row.key], perplexities, test, options) for row in plan.rows()}
    means = [
        _mean(f"mean of {len(singles)} single {kind}", [rows[row.key] for row in singles])
        for kind in (Kind.forward, Kind.reversed)
        if len(singles := plan.singles(kind)) > 1
    ]
    claims = [_tested(claim, measured, rows, test, options) for claim in plan.claims()]
    cost = None
    if (keys := plan.cheaper()) is not None:
        few, many = (rows[key] for key in keys)
        cost = CostClaim(f"{few.label} costs less than one at beam 12", few.cost_s / many.cost_s)
    device = {content["device"] for content in measured.values()}
    return Table(len(test.sources), "+".join(sorted(device)), rows, means, claims, cost, training)


def _scored(
    row: Row,
    measured: Mapping[str, Any],
    perplexities: Mapping[str, float],
    test: EvaluatedText,
    options: MetricOptions,
) -> ScoredRow:
    [score] = score_corpus(
        measured["translations"], [test.references], metrics=[Metric.bleu], bootstrap_samples=1000, options=options
    )
    assert score.interval is not None
    number = len(test.sources)
    return ScoredRow(
        row.label,
        score.value,
        score.interval,
        score.signature,
        row.paper,
        perplexities.get(row.key),
        sentences_per_s=number / measured["wall_s"],
        cost_s=measured["cpu_s" if measured["device"] == "cpu" else "wall_s"] / number,
    )


def _mean(label: str, rows: Sequence[ScoredRow]) -> Mean:
    scores = [row.bleu for row in rows]
    perplexities = [row.perplexity for row in rows if row.perplexity is not None]
    return Mean(label, statistics.mean(scores), statistics.stdev(scores), statistics.mean(perplexities))


def _tested(
    claim: Claim,
    measured: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, ScoredRow],
    test: EvaluatedText,
    options: MetricOptions,
) -> ClaimResult:
    systems = {key: measured[key]["translations"] for key in (claim.worse, claim.better)}
    _, result = compare_systems(
        systems, [test.references], metrics=[Metric.bleu], test=PairedTest.bootstrap, samples=1000, options=options
    )
    assert result.p_value is not None
    difference = rows[claim.better].bleu - rows[claim.worse].bleu
    return ClaimResult(claim.text, claim.of_the_paper, difference, result.p_value)


def as_text(table: Table) -> str:
    """Format for a terminal."""
    unit = next((row.cost_s for key, row in table.rows.items() if key.startswith(f"{Kind.reversed}-seed1")), None)
    head = ("", "BLEU", "", "paper", "perplexity", "sentences/s", "cost", "")
    lines = [head]
    for row in table.rows.values():
        low, high = row.interval
        lines.append(
            (
                row.label,
                f"{row.bleu:.1f}",
                f"[{low:.1f}, {high:.1f}]",
                "" if row.paper is None else f"{row.paper:.2f}",
                "" if row.perplexity is None else f"{row.perplexity:.2f}",
                f"{row.sentences_per_s:.1f}",
                f"{1000 * row.cost_s:.1f} ms",
                "" if unit is None else f"{row.cost_s / unit:.2f}",
            )
        )
    for mean in table.means:
        spread = f"± {mean.deviation:.1f}"
        lines.append((mean.label, f"{mean.bleu:.1f}", spread, "", f"{mean.perplexity:.2f}", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    text.append("")
    for claim in table.claims:
        origin = "" if claim.of_the_paper else " (not in the paper)"
        text.append(f"{claim.verdict}: {claim.text}{origin}: {claim.difference:+.1f} BLEU, p = {claim.p_value:.4f}")
    if table.cost is not None:
        text.append(f"{table.cost.verdict}: {table.cost.text}: {table.cost.ratio:.2f} times the cost")
    text += ["", *_training_lines(table.training), ""]
    signature = next(iter(table.rows.values())).signature if table.rows else ""
    time = "processor time" if table.device == "cpu" else "time"
    return "\n".join(text) + "\n" + NOTES.format(time=time, signature=signature)


def _training_lines(training: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{name}: {run['updates']} updates, {run['epochs']:.2f} epochs, {run['wall_s'] / 60:.1f} min, "
        f"development perplexity {run['dev_perplexity']:.2f}"
        for name, run in training.items()
    ]
