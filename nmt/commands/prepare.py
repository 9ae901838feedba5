"""`nmt prepare`: from aligned text to subword models and a binarized corpus."""

from nmt.command_config import TrainCommand
from nmt.corpus.prepare import prepare


def run(settings: TrainCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    corpus = prepare(settings.data, settings.subword)
    print(corpus.directory)  # noqa: T201
    return 0
