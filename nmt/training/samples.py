"""Sample translations: what the model of a checkpoint made of a few development sentences when it was validated.

    samples.json    {"samples": [{"source": …, "text": …, "ids": […], "log_prob": -3.25, "finished": true}, …]}

They let anybody check later, on any machine, that the checkpoint still translates as it did (`nmt verify`). They are
greedy translations by the plain modules in float32, whatever precision and search the run uses, because each of these
can be computed everywhere and is the most exact one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nmt.plain import PlainError, from_plain
from nmt.training.checkpoint_files import load_json
from nmt.training.checkpoint_format import damaged

SAMPLES_FILE = "samples.json"
MAX_CHARACTERS = 500  # of a source: samples.json stays small, and quick to translate again


@dataclass(frozen=True)
class Sample:
    """A source and its greedy translation.

    Attributes:
        ids: target subwords without EOS.
        log_prob: log-probability in nats, that of EOS included if it is finished.
        finished: whether it ends in EOS; otherwise the maximum length cut it short.
    """

    source: str
    text: str
    ids: list[int]
    log_prob: float
    finished: bool

    @property
    def num_tokens(self) -> int:
        """The number of subwords, EOS included if it is finished."""
        return len(self.ids) + self.finished


def choose_sources(sources: Sequence[str], number: int) -> list[str]:
    """Choose sentences for samples, evenly spread over a text; blank and very long ones are left out."""
    suitable = [source for source in sources if source.strip() and len(source) <= MAX_CHARACTERS]
    num_chosen = min(number, len(suitable))
    return [suitable[index * len(suitable) // num_chosen] for index in range(num_chosen)]


def samples_to_json(samples: Sequence[Sample]) -> bytes:
    """Return the content of samples.json, a sample a line."""
    lines = ",\n".join(json.dumps(asdict(sample), ensure_ascii=False) for sample in samples)
    return f'{{"samples": [\n{lines}\n]}}\n'.encode()


def read_samples(file: Path) -> list[Sample]:
    """Read samples.json, which may come from anybody.

    Raises:
        DamagedCheckpointError: if it is missing, unreadable or invalid.
    """
    content = load_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("samples"), list):
        raise damaged(file, "it holds no list of samples")
    try:
        samples = [from_plain(Sample, values, f"sample {n}") for n, values in enumerate(content["samples"], start=1)]
        for sample in samples:
            sample.source.encode(), sample.text.encode()  # JSON can hold what is not Unicode
    except (PlainError, UnicodeEncodeError) as error:
        raise damaged(file, error) from error
    if any(len(sample.source) > MAX_CHARACTERS for sample in samples):
        raise damaged(file, f"a source has more than {MAX_CHARACTERS} characters")
    return samples
