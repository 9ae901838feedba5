"""`nmt evaluate`: hypothesis files against references, or checkpoints on a test set."""

import logging
from collections.abc import Sequence

from nmt.command_config import EvaluateCommand
from nmt.commands.output import check_output, open_output, read_files
from nmt.evaluation.conflicts import check_conflicts
from nmt.evaluation.groups import length_labels, read_groups
from nmt.evaluation.metrics import SACREBLEU_DEFAULTS, MetricOptions
from nmt.evaluation.plain_text import warn_of_blank_references, warn_of_blank_translations, warn_of_unsuitable_text
from nmt.evaluation.report import as_json, as_text, build_report, printable
from nmt.evaluation.string_metrics import STRING_METRICS
from nmt.evaluation.texts import find_test_set, find_tgt_lang, read_text, read_texts, test_set_of_columns
from nmt.evaluation.tokenizer import AUTO, resolve_tokenizer
from nmt.text.parallel import ParallelFiles

log = logging.getLogger(__name__)


def run(settings: EvaluateCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    check_conflicts(settings)
    test_set = _find_test_set(settings)
    if test_set is not None:
        settings.source, reference = (str(side.paths[0]) for side in (test_set.src, test_set.tgt))
        settings.reference = [reference]
        log.info("test set: %s", ", ".join(dict.fromkeys([settings.source, reference])))
    _check_outputs(settings)
    texts = read_texts(settings, test_set)
    named_references = dict(zip(settings.reference, texts.references, strict=True))
    references = [*texts.references, *texts.further_answers]
    settings.reference = [
        *settings.reference,
        *(f"{settings.reference[0]}, answer {n}" for n, _ in enumerate(texts.further_answers, start=2)),
    ]
    groups = _read_groups(settings, num_sentences=len(references[0]))
    lengths = length_labels(texts.sources) if settings.by_length else []
    if settings.checkpoints:
        options = _metric_options(settings)
        systems = {"+".join(map(printable, settings.checkpoints)): _translate(settings, texts.sources)}
    else:
        options = _metric_options(settings)
        systems = {printable(name): read_text(name) for name in settings.hypothesis}
    report = build_report(systems, references, settings=settings, options=options, groups=groups, lengths=lengths)
    warn_of_blank_references(named_references)
    warn_of_blank_translations(systems)
    if groups or lengths or not STRING_METRICS.issuperset(settings.metrics):
        for name, lines in {**named_references, **systems}.items():
            warn_of_unsuitable_text(lines, name=name, tokenizer=options.bleu_tokenize, setting="bleu_tokenize")
    with open_output(None) as stream:
        stream.write((as_json(report) if settings.json else as_text(report)).encode())
    return 0


def _find_test_set(settings: EvaluateCommand) -> ParallelFiles | None:
    """Return the test set whose files or columns are not given one by one; None if they are."""
    if settings.tsv is not None:
        return test_set_of_columns(settings.tsv, settings.checkpoints)
    if settings.checkpoints and settings.source is None:
        return find_test_set(settings.checkpoints)
    return None


def _check_outputs(settings: EvaluateCommand) -> None:
    read = read_files(
        source=settings.source, reference=settings.reference, hypothesis=settings.hypothesis, groups=settings.groups
    )
    read += read_files(**{"search.dictionary": settings.search.dictionary})
    for output in (None, settings.output):  # the scores go to stdout
        check_output(output, read=read, checkpoints=settings.checkpoints)


def _read_groups(settings: EvaluateCommand, *, num_sentences: int) -> list[list[str]]:
    """Return the groups of each sentence; an empty list if not requested."""
    if settings.groups is None:
        return []
    return read_groups(settings.groups, reference=settings.reference[0], num_sentences=num_sentences)


def _metric_options(settings: EvaluateCommand) -> MetricOptions:
    lang = settings.tgt_lang or find_tgt_lang(settings.checkpoints)
    tokenizer = resolve_tokenizer(settings.bleu_tokenize, lang=lang)
    if settings.bleu_tokenize == AUTO and tokenizer != SACREBLEU_DEFAULTS.bleu_tokenize:
        log.info("BLEU with bleu_tokenize=%s, for tgt_lang=%s", tokenizer, lang)
    return MetricOptions(bleu_tokenize=tokenizer, lowercase=settings.lowercase)


def _translate(settings: EvaluateCommand, sources: Sequence[str]) -> list[str]:
    # imported here since scoring files needs no torch
    from nmt.commands.translate import progress_bar
    from nmt.search.translator import Translator

    translator = Translator.load(
        settings.checkpoints,
        search=settings.search,
        device=settings.device,
        threads=settings.threads,
        implementation=settings.implementation,
    )
    with progress_bar(len(sources)) as bar:
        hypotheses = [translation.text for translation in translator.translate(sources, progress=bar.update)]
    if settings.output is not None:
        with open_output(settings.output) as stream:
            stream.writelines(f"{line}\n".encode() for line in hypotheses)
    return hypotheses
