"""A corpus whose preparation may be interrupted: its folder has a manifest of what is complete so far."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from nmt.corpus.binarizer import Progress
from nmt.corpus.manifest import MANIFEST, PROGRESS, SplitReport, read_manifest, write_manifest
from nmt.corpus.subwords import Subwords, saved_subwords
from nmt.errors import DataError


class UnfinishedCorpus:
    """The folder of a corpus that is being prepared."""

    def __init__(self, folder: Path, *, fingerprint: str) -> None:
        """Find out what an earlier process has completed; nothing, if that is damaged."""
        self._folder = folder
        self._fingerprint = fingerprint
        self._subwords: Subwords | None = None
        self._reports: dict[str, SplitReport] = {}
        for name in (PROGRESS, MANIFEST):  # it may have been interrupted at the very end
            with suppress(DataError):
                manifest = read_manifest(folder, name=name)
                if manifest.fingerprint == fingerprint:
                    self._subwords = saved_subwords(folder, manifest)
                    self._reports = manifest.splits
                    break

    def subwords(self, learn: Callable[[], Subwords]) -> Subwords:
        """Return the subword models, which are learned unless an earlier process has done it."""
        if self._subwords is None:
            self._subwords = learn()
            self._write(PROGRESS)
        return self._subwords

    def progress(self, split: str, *, advance: Callable[[int], None]) -> Progress:
        """Return where the writing of a split begins, and record how far it gets; `advance` as in `Progress`."""

        def save(report: SplitReport) -> None:
            self._reports[split] = report
            self._write(PROGRESS)

        return Progress(done=self._reports.get(split), advance=advance, save=save)

    def finish(self, reports: Mapping[str, SplitReport]) -> None:
        """Make it a prepared corpus."""
        self._reports = dict(reports)
        self._write(MANIFEST)
        (self._folder / PROGRESS).unlink()

    def _write(self, name: str) -> None:
        assert self._subwords is not None, "subwords come first"
        write_manifest(
            self._folder,
            fingerprint=self._fingerprint,
            src_subword=self._subwords.src,
            tgt_subword=self._subwords.tgt,
            reports=self._reports,
            name=name,
        )
