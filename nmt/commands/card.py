"""`nmt card`: writes the model card of a checkpoint."""

from pathlib import Path

from nmt.card.facts import gather_facts
from nmt.card.front_matter import Labels
from nmt.card.page import card
from nmt.card.scores import read_scores
from nmt.command_config import CardCommand
from nmt.commands.output import check_output, open_output, read_files
from nmt.errors import ConfigError
from nmt.training.checkpoint_links import read_checkpoint, resolve_checkpoint

CARD = "README.md"  # the name under which Hugging Face looks for it


def run(settings: CardCommand, *, config_yaml: str) -> int:  # noqa: ARG001
    """Write the card and print the name of its file."""
    checkpoint = _checkpoint(settings)
    output = _output(settings, checkpoint)
    scores = [read_scores(Path(name)) for name in settings.scores]
    run_dir = Path(settings.run_dir) if settings.run_dir is not None else None
    facts = read_checkpoint(checkpoint, lambda folder: gather_facts(folder, run_dir=run_dir, scores=scores))
    name = settings.name or (f"{facts.data.name}-{facts.model.name}" if facts.data else facts.model.name)
    text = card(facts, Labels(name, settings.license, tuple(settings.datasets)))
    with open_output(output) as stream:
        stream.write(text.encode())
    with open_output(None) as stream:
        stream.write(f"{output}\n".encode())
    return 0


def _checkpoint(settings: CardCommand) -> Path:
    if settings.checkpoint is not None:
        return Path(settings.checkpoint)
    if settings.run_dir is None:
        raise ConfigError("run_dir or checkpoint must be given: say which model the card is of")
    return Path(settings.run_dir) / "checkpoints" / "best"


def _output(settings: CardCommand, checkpoint: Path) -> str:
    """Return the name of the file to write, in the folder of the checkpoint unless the user names another one.

    Raises:
        ConfigError: if it must not be written.
        CheckpointError: if there is no such checkpoint.
    """
    read = read_files(scores=settings.scores)
    check_output(None, read=read, checkpoints=[])
    if settings.output is not None:
        check_output(settings.output, read=read, checkpoints=[str(checkpoint)])
        return settings.output
    file = resolve_checkpoint(checkpoint) / CARD
    if file.exists() and not settings.replace:
        raise ConfigError(f"{file} exists, and may have been edited: add replace=true, or name another output")
    return str(file)
