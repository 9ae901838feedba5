"""What happens inside the model of a run: the states of phrases, attention, gradients, gates."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from nmt.corpus.prepare import split_files
from nmt.errors import DataError
from nmt.report.attention_maps import attention_maps, attention_section
from nmt.report.example_sentences import choose_examples
from nmt.report.gates import gates_section, sentence_gates
from nmt.report.gradients import measure_gradients
from nmt.report.gradients_section import gradients_section
from nmt.report.phrases import PhrasePlane, default_phrases
from nmt.report.runs import Run
from nmt.report.section import Section
from nmt.report.states import state_planes, states_section
from nmt.text.parallel import read_pairs

_NUM_PAIRS = 1000  # from the beginning of the development set
_NUM_MAPS = 4
_MAX_SUBWORDS = 25  # of a source in a picture


def distinct_models(runs: Sequence[Run]) -> list[Run]:
    """Return the first run of each model: of several seeds, for example, one."""
    configs = [run.checkpoint.model_config for run in runs]
    return [run for n, run in enumerate(runs) if configs[n] not in configs[:n]]


def inside_sections(run: Run, *, phrases: tuple[PhrasePlane, ...] | None) -> list[Section]:
    """Return the sections on a run, on sentences of its development set; their titles name the run.

    Args:
        phrases: None: those of the built-in corpus, if the run has it.

    Raises:
        ConfigError: if the checkpoint lacks settings of training.
        DataError: if the development set cannot be read, or the checkpoint does not say what it was.
    """
    checkpoint, data = run.checkpoint, run.data()
    planes = default_phrases(data) if phrases is None else phrases
    pairs = list(itertools.islice(read_pairs(split_files(data, data.dev)), _NUM_PAIRS))
    mapped, gated = (
        choose_examples(pairs, checkpoint.src_subword, number=number, max_subwords=_MAX_SUBWORDS)
        for number in (_NUM_MAPS, 1)
    )
    if not gated:
        raise DataError(
            f"the development set of {run.folder} has no pair whose source has at most {_MAX_SUBWORDS} subwords"
        )
    sections = [
        attention_section(attention_maps(checkpoint, [pair.src for pair in mapped])),
        gradients_section(measure_gradients(checkpoint, pairs)),
        gates_section([sentence_gates(checkpoint, pair) for pair in gated]),
    ]
    if planes:
        sections.insert(0, states_section(state_planes(checkpoint, planes)))
    return [replace(section, title=f"{section.title}: {run.name}") for section in sections]
