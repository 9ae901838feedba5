"""Which modules are changed, and which tests should notice."""

from fnmatch import fnmatchcase
from pathlib import Path

PACKAGES = ("text", "phrasebook", "corpus", "model", "training", "search", "evaluation", "doctor")

# Changed only if they are named.
LEFT_OUT = {
    "phrasebook.*": "a lexicon and a grammar: an error in them is wrong French, not a wrong program",
}

# A module's tests are those named after it and these: the most specific first, none of them slow.
OTHER_TESTS: dict[str, tuple[str, ...]] = {
    "model.fast.packed": ("lstm_layer", "gru_layer"),
    "model.dropout": ("dropout_places", "encoder", "decoder"),
    "model.fast.lstm_layer": ("recurrent",),
    "model.layer": ("recurrent", "layer_stack"),
    "model.stack_shape": ("presets", "layer_stack"),
    "model.recurrent": ("layer_stack", "encoder", "decoder"),
    "model.decoder_shape": ("presets", "decoder"),
    "model.decoder_state": ("decoder", "attention"),
    "model.encoder": ("seq2seq", "inference"),
    "model.decoder": ("seq2seq", "inference"),
    "model.fast.cell": ("cell", "inference"),
    "model.fast.inference": ("scorer",),
    "text.decoding": ("parallel", "text"),
    "search.ranking": ("scorer",),
    "search.hypothesis": ("beam",),
    "search.source_queue": ("beam", "threads"),
    "search.threads": ("translator",),
    "search.beam": ("threads", "translator"),
    "text.moses": ("subword", "normalization"),
    "text.word_table": ("subword", "normalization"),
    "training.pretrained_embeddings": ("embeddings",),
    "training.saver": ("trainer",),
    "training.train_state": ("trainer",),
    "training.dev_set": ("trainer",),
    "training.fast_loss": ("loss",),
    "training.run": ("train",),
    "training.snapshot": ("trainer",),
    "corpus.binarizer": ("binarized",),
    "corpus.manifest": ("binarized",),
    "evaluation.conflicts": ("evaluate",),
    "evaluation.dev_scores": ("train",),
    "evaluation.report": ("evaluate",),
    "evaluation.texts": ("evaluate",),
    "phrasebook.chooser": ("phrasebook_pairs",),
    "phrasebook.participants": ("phrasebook_pairs",),
    "phrasebook.circumstances": ("phrasebook_pairs",),
    "phrasebook.events": ("phrasebook_pairs",),
    "phrasebook.sentences": ("phrasebook_pairs",),
    "phrasebook.long_sentences": ("phrasebook_pairs",),
    "phrasebook.files": ("prepare",),
}


def all_modules(root: Path) -> list[str]:
    """Name the modules of all packages in which mutants are made, such as `search.beam`."""
    paths = (path for package in PACKAGES for path in sorted((root / "nmt" / package).rglob("*.py")))
    return [".".join(path.relative_to(root / "nmt").with_suffix("").parts) for path in paths if path.stem != "__init__"]


def chosen_modules(names: list[str], root: Path) -> list[str]:
    """Resolve names of modules or packages; without names, return all modules that are not left out."""
    modules = all_modules(root)
    if not names:
        return [module for module in modules if not any(fnmatchcase(module, pattern) for pattern in LEFT_OUT)]
    chosen = []
    for name in names:
        found = [module for module in modules if module == name or module.startswith(f"{name}.")]
        if not found:
            raise ValueError(
                f"MODULE must be a module or a package of nmt such as search.beam or search, but is {name}"
            )
        chosen += [
            module
            for module in found
            if module == name or not any(fnmatchcase(module, pattern) for pattern in LEFT_OUT)
        ]
    return chosen


def module_path(module: str) -> Path:
    return Path("nmt", *module.split(".")).with_suffix(".py")


def files_of_tests(module: str, root: Path) -> list[Path]:
    """Return the files of a module's tests, the most specific first, as paths below `root`."""
    names = (module.replace(".", "_"), module.split(".")[-1], *OTHER_TESTS.get(module, ()))
    paths = [Path("tests", f"test_{name}.py") for name in names]
    return [path for path in paths if (root / path).exists()]
