"""The corpus of a run, as `nmt doctor` sees it: its findings and its figures."""

from collections.abc import Sequence
from dataclasses import replace

from nmt.config import SubwordConfig
from nmt.doctor.diagnosis import diagnose
from nmt.doctor.diagnosis_text import figures, worth_showing
from nmt.errors import DataError
from nmt.plain import PlainError, from_plain
from nmt.report.runs import Run
from nmt.report.section import Section, Table


def distinct_corpora(runs: Sequence[Run]) -> list[Run]:
    """Return the first run of each corpus: the same text and the same subwords."""
    corpora = [
        (info.src_subword_fingerprint, info.tgt_subword_fingerprint, run.checkpoint.config.get("data"))
        for run in runs
        for info in [run.checkpoint.info]
    ]
    return [run for n, run in enumerate(runs) if corpora[n] not in corpora[:n]]


def corpus_section(run: Run) -> Section:
    """Examine the text that a run was trained on; its title names the run.

    Raises:
        DataError: if the text cannot be read, or the checkpoint does not say what it was.
        ConfigError: if its settings are no longer valid, as when a file of it is gone.
    """
    try:
        subword = from_plain(SubwordConfig, run.checkpoint.config.get("subword"), "subword")
    except PlainError as error:
        raise DataError(f"the settings of the subwords of {run.folder} are incomplete: {error}") from error
    start = (run.checkpoint.config.get("training") or {}).get("init_from")
    if start is not None or subword.src_model is not None:  # not learned from this text
        src_model, tgt_model = (str(run.checkpoint.path / f"{side}.subword") for side in ("src", "tgt"))
        subword = replace(subword, src_model=src_model, tgt_model=tgt_model)
    diagnosis, _ = diagnose(run.data(), subword)
    findings = tuple(
        (name, found.severity, found.summary, found.advice or None)
        for name, found in worth_showing(diagnosis.findings())
    )
    table = figures(diagnosis)
    return Section(
        f"The corpus: {run.name}",
        (f"{diagnosis.corpus}, {diagnosis.src_lang} to {diagnosis.tgt_lang}: what nmt doctor finds in the text.",),
        tables=(
            Table("Findings", ("examination", "severity", "finding", "advice"), findings),
            Table("Figures", ("figure", *table.columns), tuple((name.strip(), *cells) for name, cells in table.rows)),
        ),
    )
