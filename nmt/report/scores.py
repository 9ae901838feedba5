"""The scores of systems: intervals, differences from the baseline with p-values, and signatures."""

from collections.abc import Sequence

from nmt.choices import Metric, PairedTest
from nmt.evaluation.metrics import Score, score_corpus
from nmt.evaluation.significance import PairedResult, compare_systems
from nmt.report.section import Cell, Section, Table
from nmt.report.translations import Translations

_LOWER_IS_BETTER = (Metric.ter, Metric.cer, Metric.wer)


def scores_section(translations: Translations, *, metrics: Sequence[Metric], paired_test: PairedTest) -> Section:
    """Score all systems by each metric, and compare them with the first.

    Raises:
        DataError: if numbers of lines differ, or there is nothing to score.
        ConfigError: if a setting is invalid.
    """
    scores = {
        name: score_corpus(
            hypotheses,
            translations.references,
            metrics=metrics,
            bootstrap_samples=translations.bootstrap_samples,
            options=translations.options,
            hypotheses_name=name,
        )
        for name, hypotheses in translations.systems.items()
    }
    compared = _compare(translations, metrics=metrics, paired_test=paired_test)
    tables = []
    for number, metric in enumerate(metrics):
        by_system = {name: found[number] for name, found in scores.items()}
        p_values = {result.system: result.p_value for result in compared if result.metric == metric}
        tables.append(_table(by_system, p_values))
    found = next(iter(scores.values()))
    signatures = tuple((score.label, score.signature) for score in found)
    tables.append(Table("Signatures: how sacreBLEU computes the scores", ("score", "signature"), signatures))
    return Section("Scores", tuple(_paragraphs(translations, paired_test)), tables=tuple(tables))


def _compare(translations: Translations, *, metrics: Sequence[Metric], paired_test: PairedTest) -> list[PairedResult]:
    if len(translations.systems) < 2:
        return []
    return compare_systems(
        translations.systems,
        translations.references,
        metrics=metrics,
        test=paired_test,
        samples=translations.bootstrap_samples,
        options=translations.options,
    )


def _table(scores: dict[str, Score], p_values: dict[str, float | None]) -> Table:
    first = next(iter(scores.values()))
    has_interval = first.interval is not None
    columns = ["system", first.label, *(["from", "to"] if has_interval else [])]
    if len(scores) > 1:
        columns += ["diff.", *(["p"] if p_values else [])]
    rows = []
    for name, score in scores.items():
        row: list[Cell] = [name, score.value, *(score.interval or ())]
        if len(scores) > 1:
            row += [None if score is first else score.value - first.value, *([p_values[name]] if p_values else [])]
        rows.append(tuple(row))
    better = "; lower is better" if first.metric in _LOWER_IS_BETTER else ""
    caption = f"{first.label}{better}"
    decimals = dict.fromkeys((column for column in columns if column != "system"), 1) | ({"p": 4} if p_values else {})
    return Table(caption, tuple(columns), tuple(rows), decimals)


def _paragraphs(translations: Translations, paired_test: PairedTest) -> list[str]:
    names = list(translations.systems)
    paragraphs = [f"The test set has {len(translations.sources):,} sentences."]
    if translations.bootstrap_samples:
        paragraphs[0] += (
            " From and to are the ends of a 95% interval, by bootstrap resampling "
            f"({translations.bootstrap_samples:,} samples)."
        )
    if len(names) > 1:
        tests = {
            PairedTest.bootstrap: " by paired bootstrap resampling (Koehn 2004)",
            PairedTest.randomization: " by approximate randomization (Riezler and Maxwell 2005)",
        }
        test = tests.get(paired_test)
        meaning = f" p is the probability of one this large between equally good systems,{test}." if test else ""
        paragraphs.append(f"Differences are from {names[0]}.{meaning}")
    return paragraphs
