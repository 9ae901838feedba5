"""BLEU, chrF and exact match on the development set, for validation while a model trains.

It is here, below search, since `nmt.training` uses neither search nor metrics: a trainer receives it as a function.
"""

import itertools
import logging
from collections.abc import Callable
from pathlib import Path

from nmt.choices import Metric
from nmt.command_config import TrainCommand
from nmt.corpus.prepare import split_files
from nmt.device import resolve_device, resolve_search_precision
from nmt.distributed import ALONE, Group
from nmt.evaluation.metrics import MetricOptions, build_metric
from nmt.evaluation.plain_text import warn_of_unsuitable_text
from nmt.evaluation.tokenizer import AUTO, is_tokenizer, resolve_tokenizer
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import flatten
from nmt.search.scorer import ModelScorer
from nmt.search.translator import Translator
from nmt.text.parallel import read_pairs
from nmt.training.checkpoint import read_config
from nmt.training.dev_set import TEXT_MEASURES, Scores
from nmt.training.saver import RunFiles

log = logging.getLogger(__name__)


def resolve_dev_tokenizer(settings: TrainCommand, last: Path | None) -> str:
    """Resolve `training.bleu_tokenize=auto`: by the target language, or as before if the run resumes.

    Args:
        last: the checkpoint that the run resumes from.

    Raises:
        ConfigError: if there is no such tokenizer, or it does not work here.
    """
    name = settings.training.bleu_tokenize
    if name == AUTO and last is not None:
        name = flatten(read_config(last)).get("training.bleu_tokenize", AUTO)
    if settings.training.bleu_every is None and (name == AUTO or is_tokenizer(name)):
        return name  # not used, and so need not be installed
    return resolve_tokenizer(name, lang=settings.data.tgt_lang, setting="training.bleu_tokenize").value


def build_dev_scores(
    settings: TrainCommand, files: RunFiles, *, group: Group = ALONE
) -> Callable[[Seq2Seq], Scores] | None:
    """Make the function that translates the development set and scores it; None if it is never translated.

    Args:
        group: processes that share out the sentences.
    """
    if settings.training.bleu_every is None:
        return None
    dev = read_pairs(split_files(settings.data, settings.data.dev))
    pairs = list(itertools.islice(dev, settings.training.bleu_sentences))
    sources, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    setting = "training.bleu_tokenize"
    tokenizer = resolve_tokenizer(settings.training.bleu_tokenize, lang=settings.data.tgt_lang, setting=setting)
    options = MetricOptions(bleu_tokenize=tokenizer, lowercase=False)
    warn_of_unsuitable_text(references, name="the development set", tokenizer=tokenizer, setting=setting)
    metrics = {name.value: build_metric(Metric(name), [references], options) for name in TEXT_MEASURES}
    for label, metric in zip(TEXT_MEASURES.values(), metrics.values(), strict=True):
        log.info("%s of %d development sentences: %s", label, len(pairs), metric.get_signature().format())
    device = resolve_device(settings.device)
    precision = resolve_search_precision(settings.search.precision, device, settings.implementation)

    def measure(model: Seq2Seq) -> Scores:
        scorer = ModelScorer(
            model,
            src_subword=files.src_subword,
            tgt_subword=files.tgt_subword,
            device=device,
            precision=precision,
            counts_coverage=settings.search.coverage_penalty > 0,
        )
        translator = Translator(scorer, files.tgt_subword, settings.search)
        search_log = logging.getLogger("nmt.search")
        search_log.setLevel(logging.ERROR)  # an untrained model often reaches the maximum length
        try:
            own = [translation.text for translation in translator.translate(sources[group.rank :: group.size])]
        finally:
            search_log.setLevel(logging.NOTSET)
        hypotheses = [""] * len(sources)
        for rank, texts in enumerate(group.gather(own)):
            hypotheses[rank :: group.size] = texts
        return {name: float(metric.corpus_score(hypotheses, None).score) for name, metric in metrics.items()}

    return measure
