"""The order of the modules: data flows down the list, and a module imports only from lines above its own."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nmt"

# A pattern matches several modules, which may import each other.
ORDER = [
    "errors",
    "processors",
    "transfer",
    "place",
    "files",
    "locks",
    "plain",
    "schema",
    "choices",
    "config",
    "command_config",
    "saved_config",
    "conf_files",
    "text.compression",
    "text.columns",
    "text.decoding",
    "text.parallel",
    "text.shard",
    "text.normalization",
    "text.rows",
    "text.word_table",
    "text.moses",
    "text.subword_file",
    "text.sentencepiece_proto",
    "text.subword_sampling",
    "text.subword",
    "text.subword_learning",
    "text.subword_pool",
    "text.word_vectors",
    "text.word_vector_file",
    "phrasebook.lexicon",
    "phrasebook.numerals",
    "phrasebook.phrases",
    "phrasebook.noun_phrases",
    "phrasebook.clauses",
    "phrasebook.chooser",
    "phrasebook.participants",
    "phrasebook.circumstances",
    "phrasebook.events",
    "phrasebook.sentences",
    "phrasebook.long_sentences",
    "phrasebook.pairs",
    "phrasebook.files",
    "corpus.manifest",
    "corpus.binarized",
    "corpus.split_writer",
    "corpus.binarizer",
    "corpus.subwords",
    "corpus.unfinished",
    "corpus.prepare",
    "corpus.sampling",
    "corpus.word2vec",
    "corpus.share",
    "corpus.epoch",
    "corpus.batching",
    "model.fast.linear",
    "device",
    "distributed",
    "model.dropout",
    "model.cell",
    "model.fast.cell",
    "model.fast.additive_score",
    "model.fast.packed",
    "model.fast.lstm_layer",
    "model.fast.gru_layer",
    "model.layer",
    "model.stack_shape",
    "model.recurrent",
    "model.encoder",
    "model.attention",
    "model.bridge",
    "model.output",
    "model.decoder_shape",
    "model.decoder_state",
    "model.decoder",
    "model.checks",
    "model.seq2seq",
    "model.initialization",
    "model.fast.inference",
    "training.fast_loss",
    "training.loss",
    "training.optimizer",
    "training.average",
    "training.checkpoint_files",
    "training.checkpoint_format",
    "training.samples",
    "training.dev_set",
    "training.schedule",
    "training.pretrained_embeddings",
    "training.snapshot",
    "training.train_state",
    "training.limits",
    "training.checkpoint",
    "training.checkpoint_links",
    "training.checkpoint_average",
    "training.checkpoint_recovery",
    "training.checkpoint_store",
    "training.resume",
    "training.saver",
    "training.memory",
    "training.metrics_log",
    "training.trainer",
    "protected_files",
    "training.run",
    "training.run_data",
    "doctor.finding",
    "doctor.blocks",
    "doctor.association",
    "doctor.shift",
    "doctor.aligned_lines",
    "doctor.text_hashes",
    "doctor.duplicates",
    "doctor.overlap",
    "doctor.characters",
    "doctor.languages",
    "doctor.case",
    "doctor.lengths",
    "doctor.changed_characters",
    "doctor.subword_text",
    "doctor.trial",
    "doctor.training_cost",
    "doctor.overfitting",
    "doctor.diagnosis",
    "doctor.diagnosis_text",
    "search.ranking",
    "search.coverage",
    "search.scorer",
    "search.loading",
    "search.hypothesis",
    "search.alignment",
    "search.heat_map",
    "search.unknown_words",
    "search.source_queue",
    "search.threads",
    "search.beam",
    "search.greedy_samples",
    "search.translator",
    "evaluation.tokenizer",
    "evaluation.plain_text",
    "evaluation.string_metrics",
    "evaluation.metrics",
    "evaluation.significance",
    "evaluation.conflicts",
    "evaluation.groups",
    "evaluation.report",
    "evaluation.texts",
    "evaluation.dev_scores",
    "verification",
    "card.scores",
    "card.facts",
    "card.front_matter",
    "card.page",
    "report.section",
    "report.drawing",
    "report.runs",
    "report.corpus",
    "report.curves",
    "report.translations",
    "report.scores",
    "report.source_groups",
    "report.examples",
    "report.example_sentences",
    "report.trace",
    "report.phrases",
    "report.states",
    "report.attention_maps",
    "report.gradients",
    "report.gradients_section",
    "report.gates",
    "report.inside",
    "report.text",
    "report.page",
    "commands.*",
    "__main__",
]
HYDRA_MAY_BE_IMPORTED_BY = ("commands.*",)
FORBIDDEN = {
    "training.*": ["search.*", "evaluation.*"]
}  # it gets scores of text from a callable of evaluation.dev_scores


def imported_modules(name: str, source: str, modules: set[str]) -> set[str]:
    """Return what the module imports: names inside nmt without the package's, others by their first part."""
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = ["nmt", *name.split(".")[: -node.level]] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            # `from nmt.text import subword` imports a module, `from nmt.text.subword import Subword` what is in it
            members = {f"{origin}.{alias.name}" for alias in node.names}
            inside = {member for member in members if member.removeprefix("nmt.") in modules}
            found |= inside if len(inside) == len(members) else inside | {origin}
    return {module.removeprefix("nmt.") if module.startswith("nmt.") else module.split(".")[0] for module in found}


def violations(sources: dict[str, str]) -> list[str]:
    """Return one line for each violation, from the sources of the modules by name."""
    problems = []
    places = {name: [n for n, pattern in enumerate(ORDER) if fnmatchcase(name, pattern)] for name in sources}
    for name, source in sources.items():
        if not places[name]:
            problems.append(f"nmt.{name} has no place yet: add it to ORDER in {Path(__file__).name}")
            continue
        for other in sorted(imported_modules(name, source, set(sources))):
            if other in ("hydra", "omegaconf"):
                if not any(fnmatchcase(name, pattern) for pattern in HYDRA_MAY_BE_IMPORTED_BY):
                    problems.append(f"nmt.{name} imports {other}, which only nmt.commands may know")
            elif any(fnmatchcase(name, a) and fnmatchcase(other, b) for a, bs in FORBIDDEN.items() for b in bs):
                problems.append(f"nmt.{name} must not import nmt.{other}")
            elif places.get(other) and not (
                places[other] < places[name] or (places[other] == places[name] and "*" in ORDER[places[name][0]])
            ):
                problems.append(f"nmt.{name} imports nmt.{other}, which is below it")
    return problems


def test_modules_import_only_from_above() -> None:
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    sources = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text("utf-8") for path in paths}
    assert violations(sources) == []


def test_package_files_import_nothing() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        if path != PACKAGE / "__init__.py":
            assert imported_modules("x", path.read_text("utf-8"), set()) <= {"__future__"}, f"{path} must not import"


def test_the_python_api_imports_modules_on_first_use() -> None:
    """nmt/__init__.py is the only package file with names; only a type checker sees them before their use."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imported_modules("x", "\n".join(map(ast.unparse, at_once)), set()) == {"importlib", "typing"}


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        (
            "model.encoder",
            "from nmt.model.decoder import Decoder",
            "nmt.model.encoder imports nmt.model.decoder, which",
        ),
        ("model.encoder", "from .decoder import Decoder", "nmt.model.encoder imports nmt.model.decoder, which"),
        ("model.encoder", "def f():\n    from . import decoder", "nmt.model.encoder imports nmt.model.decoder, which"),
        ("corpus.batching", "import nmt.model.decoder", "nmt.corpus.batching imports nmt.model.decoder, which"),
        ("corpus.batching", "from ..model import decoder", "nmt.corpus.batching imports nmt.model.decoder, which"),
        (
            "training.trainer",
            "from nmt.search.beam import best",
            "nmt.training.trainer must not import nmt.search.beam",
        ),
        (
            "training.checkpoint",
            "import omegaconf",
            "nmt.training.checkpoint imports omegaconf, which only nmt.commands",
        ),
        ("search.beam", "from hydra.core import x", "nmt.search.beam imports hydra, which only nmt.commands"),
        ("search.sampling", "", "nmt.search.sampling has no place yet: add it to ORDER in test_arch"),
    ],
)
def test_a_violation_is_named(name: str, source: str, problem: str) -> None:
    others = {"model.decoder": "", "search.beam": "", "errors": ""}
    [found] = violations({**others, name: source})
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("model.decoder", "import torch\nfrom nmt.model.recurrent import x\nfrom ..errors import DataError"),
        ("commands.train", "from nmt.commands.main import run"),  # modules of one pattern may import each other
        (
            "commands.main",
            "import hydra\nfrom nmt import __version__\nfrom nmt.commands import train\nimport nmt.config",
        ),
        ("training.trainer", "from nmt.training import checkpoint, loss"),
    ],
)
def test_imports_from_above_are_allowed(name: str, source: str) -> None:
    others = dict.fromkeys(
        ["errors", "config", "model.recurrent", "commands.train", "commands.main", "training.loss"], ""
    )
    assert violations({**others, name: source}) == []
