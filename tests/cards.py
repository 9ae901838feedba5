"""Facts for cards: all that could be known, made by hand."""

from __future__ import annotations

from nmt.card.facts import Facts
from nmt.card.scores import CardScore, ScoredText
from nmt.choices import AttentionScore, CellKind, Metric
from nmt.config import DataConfig, FilesConfig, TrainFilesConfig
from nmt.corpus.manifest import Manifest, SplitReport
from nmt.training.train_state import TrainState
from tests.checkpoints import SAMPLES, info_of
from tests.models import MODEL

NO_FILES = FilesConfig(src=[], tgt=[])
DATA = DataConfig(
    name="tiny_en_no",
    src_lang="en",
    tgt_lang="no",  # Norwegian, which YAML takes for false if it is not quoted
    dir="/home/somebody/text",
    prepared_dir="prepared",
    train=TrainFilesConfig(src=["/home/somebody/train.en"], tgt=["train.no"]),
    dev=FilesConfig(src=["dev.en"], tgt=["dev.no"]),
    test=FilesConfig(src=["test.en"], tgt=["test.no"]),
    generate=None,
    max_len_subwords=100,
    max_len_ratio=9.0,
)
SPLIT = SplitReport(29_000, 28_990, {"empty": 10}, 1, 1, 0, 0)
TEST = ScoredText(
    ["test.no"],
    1000,
    [
        CardScore(Metric.bleu, "BLEU", 36.123, "nrefs:1|tok:13a", [35.111, 37.139]),
        CardScore(Metric.exact, "exact", 4.5, "nrefs:1"),
    ],
)


def facts_of_everything() -> Facts:
    info = info_of(4500)
    info.scores.update(perplexity=4.321987, bleu=35.987)
    return Facts(
        info=info,
        settings={
            "seed": 3,
            "model.cell": "gru",
            "optimizer.lr": 7e-4,
            "search.beam_size": 1,
            "training.bleu_tokenize": "13a",
            "training.bleu_sentences": 500,
            "training.init_from": None,
        },
        model=MODEL.__class__(**{**vars(MODEL), "cell": CellKind.gru, "attention": AttentionScore.additive}),
        num_parameters=6_798_144,
        vocab_sizes=(8000, 7999),
        data=DATA,
        state=TrainState(update=4500, wall_s=3600.0, precision="bf16", machines=["AMD EPYC, 2 threads"]),
        manifest=Manifest("c0ffee", "s", "t", 8000, 7999, {"train": SPLIT, "dev": SPLIT}),
        tgt_tokens_per_s=5432.1,
        samples=[*SAMPLES],
        scores=[TEST],
    )
