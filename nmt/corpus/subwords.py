"""From settings to the subword models of a corpus: one method for both sides, or one for each."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from nmt.choices import Normalization, Side, SubwordKind
from nmt.config import DataConfig, SubwordConfig
from nmt.corpus.manifest import SRC_SUBWORD, TGT_SUBWORD, Manifest
from nmt.text.parallel import ParallelFiles
from nmt.text.subword import SubwordModel
from nmt.text.subword_learning import SubwordSpec, learn_joint_subwords, learn_subword

log = logging.getLogger(__name__)

_SAME_IF_JOINT = ("kind", "tokenizer", "byte_fallback", "character_coverage")


class Subwords(NamedTuple):
    """The subword models of the source and of the target."""

    src: SubwordModel
    tgt: SubwordModel


class SubwordSpecs(NamedTuple):
    """How the subword models of the source and of the target are learned."""

    src: SubwordSpec
    tgt: SubwordSpec

    @property
    def kinds(self) -> str:
        """The kind of both sides, or both kinds."""
        return "+".join(dict.fromkeys([self.src.kind, self.tgt.kind]))


def subword_problems(config: SubwordConfig) -> list[str]:
    """Return what is wrong with the settings of subwords."""
    problems = []
    if (config.src_model is None) != (config.tgt_model is None):
        problems.append("subword.src_model and subword.tgt_model must be given both or neither")
    if None in (_normalization(config, Side.src), _normalization(config, Side.tgt)):
        problems.append("subword.normalization must be set if subword.src_normalization or tgt_normalization is null")
    elif config.joint:
        src, tgt = subword_specs(config)
        problems += [
            f"subword.joint=true needs the same {name} on both sides, but they are {getattr(src, name)} and "
            f"{getattr(tgt, name)}: set subword.joint=false"
            for name in _SAME_IF_JOINT
            if getattr(src, name) != getattr(tgt, name)
        ]
    return problems


def subword_specs(config: SubwordConfig) -> SubwordSpecs:
    """Return how each side's subwords are learned: a setting of the side comes before that of both."""
    return SubwordSpecs(_spec(config, Side.src), _spec(config, Side.tgt))


def given_subwords(config: SubwordConfig) -> Subwords | None:
    """Load the subword models that the settings name.

    Raises:
        DataError: if one cannot be loaded.
    """
    if config.src_model is None or config.tgt_model is None:
        return None
    return Subwords(SubwordModel.load(Path(config.src_model)), SubwordModel.load(Path(config.tgt_model)))


def saved_subwords(directory: Path, manifest: Manifest) -> Subwords:
    """Load the subword models of a prepared corpus.

    Raises:
        DataError: if they are not those of the manifest.
    """
    return Subwords(
        SubwordModel.load(directory / SRC_SUBWORD, fingerprint=manifest.src_subword_fingerprint),
        SubwordModel.load(directory / TGT_SUBWORD, fingerprint=manifest.tgt_subword_fingerprint),
    )


def learn_subwords(
    data: DataConfig, config: SubwordConfig, train: ParallelFiles, *, checksums: Mapping[Path, str]
) -> Subwords:
    """Learn the subword models of both sides from the training text.

    Raises:
        ConfigError: if settings are invalid.
        DataError: if the text cannot be read, has changed, or does not allow the size of the vocabulary.
    """
    specs = subword_specs(config)
    log.info("subwords: learning %s %s", "joint" if config.joint else "separate", specs.kinds)
    src_spec = replace(specs.src, symbols=tuple(train.src.symbols(checksums)))
    src_lines, tgt_lines = train.src.lines(checksums), train.tgt.lines(checksums)
    if config.joint:
        src, tgt = learn_joint_subwords(
            [(data.src_lang, src_lines), (data.tgt_lang, tgt_lines)],
            replace(src_spec, vocab_size=config.vocab_size, size_setting="subword.vocab_size"),
            normalizations=[specs.src.normalization, specs.tgt.normalization],
        )
        return Subwords(src, tgt)
    return Subwords(
        learn_subword(src_lines, src_spec, lang=data.src_lang), learn_subword(tgt_lines, specs.tgt, lang=data.tgt_lang)
    )


def fingerprinted(config: SubwordConfig, given: Subwords | None) -> dict[str, Any]:
    """Return the settings that affect the subwords, as plain values.

    Settings of nmt 0.1.0 have the same ones as in that version.
    """
    settings = asdict(config)
    sides = [{key: value for key, value in settings.pop(side).items() if value is not None} for side in Side]
    if any(sides):
        settings["sides"] = sides
    del settings["src_normalization"], settings["tgt_normalization"]
    rules = [spec.normalization for spec in subword_specs(config)]
    settings["normalization"] = rules[0] if rules[0] == rules[1] else rules
    if given is not None:
        settings["src_model"], settings["tgt_model"] = (model.fingerprint for model in given)
    return settings


def _spec(config: SubwordConfig, side: Side) -> SubwordSpec:
    own = getattr(config, side)
    normalization = _normalization(config, side)
    assert normalization is not None, "see subword_problems"

    def chosen(name: str) -> Any:
        value = getattr(own, name)
        return getattr(config, name) if value is None else value

    return SubwordSpec(
        kind=chosen("kind"),
        vocab_size=own.vocab_size or getattr(config, f"{side}_vocab_size"),
        byte_fallback=chosen("byte_fallback"),
        normalization=normalization,
        tokenizer=chosen("tokenizer"),
        character_coverage=chosen("character_coverage"),
        max_sentences=config.max_sentences,
        seed=config.seed,
        size_setting=f"subword.{side}_vocab_size" if own.vocab_size is None else f"subword.{side}.vocab_size",
    )


def _normalization(config: SubwordConfig, side: Side) -> Normalization | None:
    own = getattr(config, side)
    if own.normalization is None and own.kind == SubwordKind.token:
        return Normalization.identity  # symbols that look alike may differ in meaning
    rule: Normalization | None = own.normalization or getattr(config, f"{side}_normalization") or config.normalization
    return rule
