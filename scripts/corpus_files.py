"""Check, unpack and split the downloads of the fetch_* scripts; standard library only.

All files of a split are written to temporary files and renamed together when they are complete, so that none is ever
incomplete under its name. Text keeps its bytes: only "\\n" ends a line.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections import deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.ReadError, zipfile.BadZipFile)

TATOEBA_DEV_PAIRS = 2500
EUROPARL_HELD_OUT_PAIRS = 2000  # in each of dev and test
EUROPARL_MAX_WORDS = 50
EUROPARL_TRAIN_SHARDS = 2
SMALL_CORPUS_SHARE = 10  # a held-out set takes at most one pair in ten


class Pair(NamedTuple):
    en: str
    fr: str


class UserError(Exception):
    """One line for the user."""


# ---- checksums


def verify(download: Path, corpus: str) -> None:
    """Check a complete download against the table, or against what was recorded after the first download."""
    if problem := mismatch(download, download, corpus):
        raise UserError(f"{problem}; nothing was changed: move the file away and run again to download it again")


def accept(download: Path, corpus: str) -> None:
    """Give a download its name, or keep it as .refused if its checksum is wrong."""
    file = download.with_suffix("")
    if problem := mismatch(download, file, corpus):
        refused = file.with_name(file.name + ".refused")
        download.replace(refused)
        raise UserError(f"{problem}; it is kept as {refused}")
    record = record_of(file)
    if not known_digests(corpus, file.name) and not record.exists():
        write_record = record.with_name(record.name + ".part")
        write_record.write_text(f"{digest(download, 'sha256')}  {file.name}\n", encoding="utf-8")
        write_record.replace(record)
        say(f"no checksum of {file.name} is known: its present one is now in {record}")
    download.replace(file)


def mismatch(data: Path, file: Path, corpus: str) -> str | None:
    """Return what is wrong with the bytes at `data`, which are or will become `file`; None if nothing."""
    known = known_digests(corpus, file.name)
    source = str(checksums_path())
    if not known and record_of(file).exists():
        known = [(record_of(file).read_text(encoding="utf-8").split()[0], False)]
        source = f"{record_of(file)} (of the first download; delete it if the publisher's file has changed)"
    seen = []
    for expected, inside in known:
        algorithm = "sha256" if len(expected) == 64 else "md5"
        try:
            found = digest(data, algorithm, inside=inside)
        except DAMAGE:
            found = "unreadable"
        if found == expected:
            return None
        seen.append(f"{algorithm}{' of the text' if inside else ''} must be {expected}, but is {found}")
    return f"{file}: {seen[0]}, by {source}" if seen else None


def known_digests(corpus: str, name: str) -> list[tuple[str, bool]]:
    """Return the digests of a file in the table, and whether each is of the text inside."""
    known = []
    for line in checksums_path().read_text(encoding="utf-8").splitlines():
        value, _, key = line.partition("  ")
        if not line.startswith("#") and key in (f"{corpus}/{name}", f"{corpus}/{name.removesuffix('.gz')}"):
            known.append((value, key != f"{corpus}/{name}"))
    return known


def checksums_path() -> Path:
    return Path(os.environ.get("NMT_CHECKSUMS") or Path(__file__).with_name("checksums.txt"))


def record_of(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def digest(path: Path, algorithm: str, *, inside: bool = False) -> str:
    value = hashlib.new(algorithm, usedforsecurity=False)
    with gzip.open(path) if inside else path.open("rb") as file:
        while block := file.read(1 << 20):
            value.update(block)
    return value.hexdigest()


# ---- placing


def place(stem: Path, archive: Path | None, sides: list[str]) -> None:
    """Write STEM.LANG.gz for every side LANG=FILE, a member of the archive or a download that is .gz already."""
    sources = dict(side.split("=", 1) for side in sides)
    targets = {lang: stem.with_name(f"{stem.name}.{lang}.gz") for lang in sources}
    if all(target.exists() for target in targets.values()):
        say(f"{stem.name} exists")
        return
    with written_together(targets.values()) as parts:
        lines = {}
        for (lang, source), part in zip(sources.items(), parts, strict=True):
            with refusing_damage(archive or Path(source)):
                if archive is None:
                    shutil.copyfile(source, part)
                else:
                    copy_member(archive, source.split("|"), part)
                lines[lang] = count_lines(part)
        if len(set(lines.values())) > 1:
            counts = ", ".join(f"{lang} {count}" for lang, count in lines.items())
            raise UserError(f"{stem.name}: the sides must have the same number of lines, but have {counts}")
    say(f"{stem.name}: {next(iter(lines.values()))} lines")


def copy_member(archive: Path, alternatives: list[str], part: Path) -> None:
    """Write the first member with one of these names, compressed; of an SGML file, its segments only."""
    with tarfile.open(archive, "r|*") as tar:
        for entry in tar:
            name = entry.name.removeprefix("./")
            if name in alternatives and (member := tar.extractfile(entry)) is not None:
                if name.endswith(".gz"):
                    with part.open("wb") as out:
                        shutil.copyfileobj(member, out)
                elif name.endswith(".sgm"):
                    write_lines(part, segments(member.read().decode("utf-8")))
                else:
                    with compressed(part) as out:
                        shutil.copyfileobj(member, out)
                return
    raise UserError(f"{archive} must contain {' or '.join(alternatives)}, but does not: has the publisher changed it?")


def segments(sgml: str) -> Iterator[str]:
    """Yield the text between <seg> and </seg>: WMT's test sets look like XML, but are not well-formed."""
    entities = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
    for text in re.findall(r"<seg\b[^>]*>(.*?)</seg>", sgml, flags=re.DOTALL | re.IGNORECASE):
        line = re.sub(r"[\r\n]+", " ", text).strip(" ")
        yield re.sub("|".join(entities), lambda found: entities[found.group()], line)


# ---- splitting


def split_tatoeba(archive: Path, folder: Path) -> None:
    """Hold out one translation of each of 2,500 English sentences chosen by hash.

    A pair is left out of train if one of its sides equals, apart from case and punctuation, one of those sentences or
    any of their translations.
    """
    targets = gz_targets(folder, "train", "dev")
    if all(target.exists() for target in targets):
        say("train and dev exist")
        return
    with refusing_damage(archive), zipfile.ZipFile(archive) as unzipped:
        text = unzipped.read("fra.txt").decode("utf-8")
    rows = [line.rstrip("\r").split("\t") for line in text.split("\n")]
    pairs = list(dict.fromkeys(Pair(row[0].strip(), row[1].strip()) for row in rows if len(row) >= 2))
    by_english: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_english.setdefault(letters(pair.en), []).append(pair)
    chosen = sorted(by_english, key=hash_of)[: min(TATOEBA_DEV_PAIRS, len(by_english) // SMALL_CORPUS_SHARE)]
    dev = [by_english[key][0] for key in chosen]
    held_en = set(chosen)
    held_fr = {letters(pair.fr) for key in chosen for pair in by_english[key]}
    train = [pair for pair in pairs if letters(pair.en) not in held_en and letters(pair.fr) not in held_fr]
    with written_together(targets) as parts:
        write_pairs(parts[:2], train)
        write_pairs(parts[2:], dev)
    left_out = len(pairs) - len(train) - len(dev)
    say(f"train: {len(train)} pairs; dev: {len(dev)}; left out because a side is in dev: {left_out}")


def split_europarl(archive: Path, folder: Path) -> None:
    """Hold out the last pairs, which are from later sittings than the rest: dev, then test. Train is in shards by hash.

    A pair is left out of train if it shares a side with these.
    """
    shards = [f"train.{shard}" for shard in range(EUROPARL_TRAIN_SHARDS)]
    targets = gz_targets(folder, "dev", "test", *shards)
    if all(target.exists() for target in targets):
        say("train, dev and test exist")
        return
    text = [folder / "downloads" / f"europarl-v7.fr-en.{lang}.gz" for lang in Pair._fields]
    place(
        folder / "downloads" / "europarl-v7.fr-en",
        archive,
        [f"{lang}=europarl-v7.fr-en.{lang}" for lang in Pair._fields],
    )
    total, tail = 0, deque[Pair](maxlen=2 * EUROPARL_HELD_OUT_PAIRS)
    for pair in clean_pairs(text):
        total += 1
        tail.append(pair)
    size = min(EUROPARL_HELD_OUT_PAIRS, total // SMALL_CORPUS_SHARE)
    held = list(tail)[len(tail) - 2 * size :]
    held_en, held_fr = {pair.en for pair in held}, {pair.fr for pair in held}
    counts = [0] * EUROPARL_TRAIN_SHARDS
    with written_together(targets) as parts, ExitStack() as stack:
        write_pairs(parts[:2], held[:size])
        write_pairs(parts[2:4], held[size:])
        sides = [stack.enter_context(compressed(part)) for part in parts[4:]]
        for pair in clean_pairs(text):
            if pair.en in held_en or pair.fr in held_fr:
                continue
            shard = hash_of("\t".join(pair))[0] % EUROPARL_TRAIN_SHARDS
            counts[shard] += 1
            for out, line in zip(sides[2 * shard : 2 * shard + 2], pair, strict=True):
                out.write(line.encode() + b"\n")
    say(f"{', '.join(f'{name}: {n} pairs' for name, n in zip(shards, counts, strict=True))}; dev and test: {size} each")


def clean_pairs(text: list[Path]) -> Iterator[Pair]:
    """Yield the pairs in order, each once, with 1 to 50 words a side."""
    seen = set[bytes]()
    with gzip.open(text[0]) as en_file, gzip.open(text[1]) as fr_file:
        for en, fr in zip(en_file, fr_file, strict=True):
            pair = Pair(en.decode("utf-8").strip(), fr.decode("utf-8").strip())
            if all(0 < len(side.split()) <= EUROPARL_MAX_WORDS for side in pair):
                key = hash_of("\t".join(pair))
                if key not in seen:
                    seen.add(key)
                    yield pair


def letters(sentence: str) -> str:
    """Return a sentence without case and punctuation, to recognize near duplicates."""
    return " ".join(re.findall(r"\w+", sentence.casefold())) or sentence


def hash_of(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()


# ---- files


def gz_targets(folder: Path, *splits: str) -> list[Path]:
    return [folder / f"{split}.{lang}.gz" for split in splits for lang in Pair._fields]


@contextmanager
def written_together(targets: Iterable[Path]) -> Iterator[list[Path]]:
    """Provide a temporary path for each target; rename all of them at the end, or delete them after an error."""
    targets = list(targets)
    parts = [target.with_name(target.name + ".part") for target in targets]
    try:
        yield parts
    except BaseException:
        for part in parts:
            part.unlink(missing_ok=True)
        raise
    for part, target in zip(parts, targets, strict=True):
        part.replace(target)


@contextmanager
def refusing_damage(file: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise UserError(
            f"{file} is damaged ({error}): move it and {record_of(file).name} away, and run again"
        ) from error


@contextmanager
def compressed(path: Path) -> Iterator[gzip.GzipFile]:
    """Write gzip without a time or a name in its header, so that the same text gives the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as out:
        yield out


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with compressed(path) as out:
        out.writelines(line.encode("utf-8") + b"\n" for line in lines)


def write_pairs(sides: list[Path], pairs: Collection[Pair]) -> None:
    for path, lines in zip(sides, zip(*pairs, strict=True) if pairs else ((), ()), strict=True):
        write_lines(path, lines)


def count_lines(path: Path) -> int:
    count, last = 0, b"\n"
    with gzip.open(path) as file:
        while block := file.read(1 << 20):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def say(message: str) -> None:
    print(f"corpus_files: {message}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, check in (("verify", verify), ("accept", accept)):
        command = commands.add_parser(name)
        command.add_argument("download", type=Path)
        command.add_argument("--corpus", required=True)
        command.set_defaults(run=check)
    command = commands.add_parser("place")
    command.add_argument("stem", type=Path)
    command.add_argument("--archive", type=Path)
    command.add_argument("sides", nargs="+", metavar="LANG=FILE")
    command.set_defaults(run=place)
    for name, split in (("tatoeba", split_tatoeba), ("europarl", split_europarl)):
        command = commands.add_parser(name)
        command.add_argument("archive", type=Path)
        command.add_argument("folder", type=Path)
        command.set_defaults(run=split)
    arguments = vars(parser.parse_args())
    run = arguments.pop("run")
    try:
        run(**arguments)
    except UserError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
