"""`nmt report`: one page about runs and translations, as HTML; the same as text or JSON on stdout."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nmt import __version__
from nmt.choices import Metric, PairedTest
from nmt.command_config import ReportCommand
from nmt.commands.output import check_output, open_output, read_files
from nmt.commands.translate import progress_bar
from nmt.errors import ConfigError, DataError, NmtError, config_problems
from nmt.evaluation import texts
from nmt.evaluation.metrics import SACREBLEU_DEFAULTS, MetricOptions, check_aligned, check_metrics
from nmt.evaluation.plain_text import warn_of_blank_translations
from nmt.evaluation.report import printable
from nmt.evaluation.tokenizer import resolve_tokenizer
from nmt.report.corpus import corpus_section, distinct_corpora
from nmt.report.curves import curves_section
from nmt.report.drawing import check_packages
from nmt.report.examples import examples_section
from nmt.report.inside import distinct_models, inside_sections
from nmt.report.page import as_html
from nmt.report.phrases import PhrasePlane, read_phrases
from nmt.report.runs import Run, best_checkpoint, read_run, runs_section, short_names
from nmt.report.scores import scores_section
from nmt.report.section import Section
from nmt.report.source_groups import length_section, rank_section
from nmt.report.text import as_json, as_text
from nmt.report.translations import Translations
from nmt.search.translator import Translator

log = logging.getLogger(__name__)


def run(settings: ReportCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Translate the test set with each run, write the page, and print it as text or JSON."""
    _check(settings)
    checkpoints = [best_checkpoint(name) for name in settings.runs]
    test_set = _read_test_set(settings, checkpoints)
    _check_outputs(settings, checkpoints)
    names = short_names([*map(printable, settings.runs), *map(printable, settings.hypothesis)])
    phrases = None if settings.phrases is None else read_phrases(Path(settings.phrases))
    others = dict(zip(names[len(checkpoints) :], map(texts.read_text, settings.hypothesis), strict=True))
    references = [*test_set.references, *test_set.further_answers]
    check_aligned({"the source": test_set.sources, **others}, references)
    runs = [read_run(folder, name=name) for folder, name in zip(settings.runs, names, strict=False)]
    options = _metric_options(settings, checkpoints)
    runs, systems = _translate(runs, settings, test_set.sources)
    systems |= others
    warn_of_blank_translations(systems)
    translations = Translations(
        test_set.sources, references, systems, options=options, bootstrap_samples=settings.bootstrap_samples
    )
    sections = [*_sections(runs, translations, settings), *_inside(runs, phrases)]
    if settings.doctor:
        sections += _corpora(runs)
    if settings.output is not None:
        with open_output(settings.output) as stream:
            title = f"Report: {', '.join(names)}"
            stream.write(as_html(sections, title=title, version=__version__).encode())
        log.info("page: %s", settings.output)
    with open_output(None) as stream:
        stream.write((as_json(sections) if settings.json else as_text(sections)).encode())
    return 0


def _check(settings: ReportCommand) -> None:
    """Report everything that is wrong with the settings in one line."""
    problems = [
        *_conflicts(settings),
        *config_problems(
            check_packages,
            lambda: check_metrics(settings.metrics, SACREBLEU_DEFAULTS, bootstrap_samples=settings.bootstrap_samples),
            lambda: resolve_tokenizer(settings.bleu_tokenize, lang=settings.tgt_lang),
        ),
    ]
    if problems:
        raise ConfigError("; ".join(problems))


def _conflicts(settings: ReportCommand) -> Iterator[str]:
    named = [*settings.runs, *settings.hypothesis]
    if not named:
        yield "runs or hypothesis must be given: runs=[RUN_DIR]"
    if len(set(named)) < len(named):
        yield "runs and hypothesis name something twice"
    if (settings.source is not None) != bool(settings.reference) or (
        named and not settings.runs and not settings.source
    ):
        yield "source=FILE and reference=FILE belong together; of runs, both may be left out for their test set"
    if settings.ensemble and len(settings.runs) < 2:
        yield "ensemble=true needs two runs or more"
    if settings.paired_test != PairedTest.none and settings.bootstrap_samples == 0 and len(named) > 1:
        yield f"paired_test={settings.paired_test} needs bootstrap_samples, which is 0: use paired_test=none"


def _read_test_set(settings: ReportCommand, checkpoints: Sequence[str]) -> texts.EvaluatedTexts:
    """Read the test set; of the runs, it is theirs, and its files are noted in the settings."""
    if settings.source is None:
        test_set = texts.find_test_set(checkpoints)
        settings.source, reference = (str(side.paths[0]) for side in (test_set.src, test_set.tgt))
        settings.reference = [reference]
        log.info("test set: %s", ", ".join(dict.fromkeys([settings.source, reference])))
        if test_set.src.columns is not None:
            return texts.read_columns(test_set)
    return texts.read_files(settings.source, settings.reference)


def _check_outputs(settings: ReportCommand, checkpoints: Sequence[str]) -> None:
    read = read_files(source=settings.source, reference=settings.reference, hypothesis=settings.hypothesis)
    read += read_files(phrases=settings.phrases, **{"search.dictionary": settings.search.dictionary})
    for output in {settings.output, None}:  # the text goes to stdout
        check_output(output, read=read, checkpoints=checkpoints)


def _metric_options(settings: ReportCommand, checkpoints: Sequence[str]) -> MetricOptions:
    lang = settings.tgt_lang or texts.find_tgt_lang(checkpoints)
    return MetricOptions(resolve_tokenizer(settings.bleu_tokenize, lang=lang), settings.lowercase)


def _translate(
    runs: Sequence[Run], settings: ReportCommand, sources: Sequence[str]
) -> tuple[list[Run], dict[str, list[str]]]:
    """Translate the sources with each run, and with all of them; return the runs with their speed, and all systems."""
    timed, systems = [], {}
    for one in runs:
        begin = time.perf_counter()
        systems[one.name] = _translate_by([one], settings, sources)
        timed.append(replace(one, sentences_per_s=len(sources) / (time.perf_counter() - begin)))
    if settings.ensemble:
        systems[f"ensemble of {len(runs)}"] = _translate_by(runs, settings, sources)
    return timed, systems


def _translate_by(runs: Sequence[Run], settings: ReportCommand, sources: Sequence[str]) -> list[str]:
    translator = Translator.load(
        [one.checkpoint.path for one in runs],
        search=settings.search,
        device=settings.device,
        threads=settings.threads,
        implementation=settings.implementation,
    )
    with progress_bar(len(sources)) as bar:
        return [translation.text for translation in translator.translate(sources, progress=bar.update)]


def _sections(runs: Sequence[Run], translations: Translations, settings: ReportCommand) -> Iterator[Section]:
    """Yield the parts of the page."""
    metrics = [Metric(name) for name in settings.metrics]
    yield scores_section(translations, metrics=metrics, paired_test=settings.paired_test)
    if runs:
        yield runs_section(runs)
        yield curves_section(runs)
    yield length_section(translations)
    if runs:
        try:
            yield rank_section(translations, runs[0].training_sources())
        except DataError as error:
            log.warning("BLEU by word frequency is left out: %s", error)
    if settings.examples:
        yield examples_section(translations, number=settings.examples, order=settings.example_order)


def _inside(runs: Sequence[Run], phrases: tuple[PhrasePlane, ...] | None) -> Iterator[Section]:
    """Yield what happens inside the models, whose runs' text may be gone."""
    for one in distinct_models(runs):
        try:
            yield from inside_sections(one, phrases=phrases)
        except NmtError as error:
            log.warning("what happens inside the model of %s is left out: %s", one.name, error)


def _corpora(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield what nmt doctor finds in the text of the runs, which may be gone."""
    for one in distinct_corpora(runs):
        try:
            yield corpus_section(one)
        except NmtError as error:
            log.warning("the corpus of %s is left out: %s", one.name, error)
