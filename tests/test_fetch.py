"""The fetch_* scripts against a local server with invented corpora: placement, resuming, checksums."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCRIPTS = Path(__file__).parents[1] / "scripts"
MULTI30K = "/raw.githubusercontent.com/multi30k/dataset/a3d2e0d/data/task1/raw"
STATMT = "/www.statmt.org"
UN = f"{STATMT}/wmt13/training-parallel-un.tgz"

pytestmark = [
    pytest.mark.no_tensors,
    pytest.mark.skipif(
        shutil.which("curl") is None or shutil.which("bash") is None, reason="the fetch scripts need bash and curl"
    ),
]


@dataclass
class Publisher:
    """A server with Range support that can cut its first answer to a path."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)  # bytes sent before the one cut
    resumes: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range
    address: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, publisher: Publisher, *args: object) -> None:
        self.publisher = publisher
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.publisher.requests.append((self.path, wanted))
        if not self.publisher.resumes:
            wanted = None
        body = self.publisher.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(body) > 0:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: self.publisher.cut_after.pop(self.path, len(body))])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 (the name is the base class's)
        return


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, publisher))
    publisher.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield publisher
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(
    script: str, publisher: Publisher, folder: Path, *parts: str, checksums: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    table = folder.parent / "checksums.txt"
    table.write_text("".join(f"{digest}  {key}\n" for key, digest in (checksums or {}).items()), encoding="utf-8")
    settings = {"NMT_MIRROR": publisher.address, "NMT_CHECKSUMS": str(table), "NMT_RETRY_WAIT_S": "0"}
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.run(
        [str(SCRIPTS / script), str(folder), *parts],
        env={**environment, **settings, "PYTHON": sys.executable},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def lines(path: Path) -> list[str]:
    text = gzip.decompress(path.read_bytes()).decode()
    assert text.endswith("\n")
    return text[:-1].split("\n")


def zipped(name: str, text: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_about.txt", "made up")
        archive.writestr(name, text)
    return data.getvalue()


def tarred(files: Mapping[str, str | bytes], mode: str = "w:gz") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return data.getvalue()


def offer_multi30k(publisher: Publisher, text: str = "{split} {lang} one\n{split}\u2028 {lang}  two \n") -> None:
    for split in ("train", "val", "test_2016_flickr"):
        for lang in ("en", "de", "fr"):
            body = gzip.compress(text.format(split=split, lang=lang).encode(), mtime=0)
            publisher.files[f"{MULTI30K}/{split}.{lang}.gz"] = body


def offer_un(publisher: Publisher, fr: str = "un\ndeux\n") -> bytes:
    """Offer the archive of one of WMT's parts, and return its bytes."""
    body = tarred({"un/undoc.2000.fr-en.en": "one\ntwo\n", "un/undoc.2000.fr-en.fr": fr})
    publisher.files[UN] = body
    return body


def fetch_un(
    publisher: Publisher, folder: Path, *, checksums: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return fetch("fetch_wmt14", publisher, folder, "un", checksums=checksums)


def test_multi30k_is_placed_as_published(publisher: Publisher, tmp_path: Path) -> None:
    offer_multi30k(publisher)
    bodies = {name: publisher.files[f"{MULTI30K}/{name}.gz"] for name in ("train.en", "train.de", "train.fr")}
    checksums = {  # of the file or of the text inside; the others are recorded
        "multi30k/train.en.gz": hashlib.sha256(bodies["train.en"]).hexdigest(),
        "multi30k/train.de.gz": hashlib.md5(bodies["train.de"], usedforsecurity=False).hexdigest(),
        "multi30k/train.fr": hashlib.sha256(gzip.decompress(bodies["train.fr"])).hexdigest(),
    }
    run = fetch("fetch_multi30k", publisher, tmp_path / "data", checksums=checksums)
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    placed = {p.name for p in (tmp_path / "data").glob("*.gz")}
    splits = ("train", "dev", "test_2016_flickr")
    assert placed == {f"{split}.{lang}.gz" for split in splits for lang in ("en", "de", "fr")}
    assert lines(tmp_path / "data" / "dev.de.gz") == ["val de one", "val\u2028 de  two "]
    assert not list(tmp_path.rglob("*.part"))
    recorded = {p.name for p in (tmp_path / "data" / "downloads").glob("*.sha256")}
    assert recorded == {
        f"{split}.{lang}.gz.sha256" for split in ("val", "test_2016_flickr") for lang in ("en", "de", "fr")
    }


def test_a_second_run_downloads_nothing_and_checks_again(publisher: Publisher, tmp_path: Path) -> None:
    offer_un(publisher)
    assert fetch_un(publisher, tmp_path / "data").returncode == 0
    publisher.requests.clear()
    assert fetch_un(publisher, tmp_path / "data").returncode == 0
    assert publisher.requests == []
    damaged = tmp_path / "data" / "downloads" / Path(UN).name
    damaged.write_bytes(b"damaged")
    run = fetch_un(publisher, tmp_path / "data")
    assert run.returncode == 1
    [message] = [line for line in run.stderr.splitlines() if "sha256" in line]
    expected = (
        r"un\.tgz: sha256 must be \w{64}, but is \w{64}, by .*un\.tgz\.sha256 .*nothing was changed: move the file away"
    )
    assert re.search(expected, message)
    assert damaged.read_bytes() == b"damaged"
    assert lines(tmp_path / "data" / "train.un.fr.gz") == ["un", "deux"]


def test_an_interrupted_download_is_resumed(publisher: Publisher, tmp_path: Path) -> None:
    body = offer_un(publisher)
    publisher.cut_after[UN] = 20
    run = fetch_un(publisher, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    assert publisher.requests == [(UN, None), (UN, "bytes=20-")]
    assert "resuming" in run.stderr
    assert (tmp_path / "data" / "downloads" / Path(UN).name).read_bytes() == body


@pytest.mark.parametrize("already", [7, None], ids=["a part", "all of it"])
def test_files_of_an_earlier_run_are_resumed(publisher: Publisher, tmp_path: Path, already: int | None) -> None:
    body = offer_un(publisher)
    part = tmp_path / "data" / "downloads" / f"{Path(UN).name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(body[:already])
    run = fetch_un(publisher, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    assert publisher.requests == [(UN, f"bytes={already or len(body)}-")]
    assert part.with_suffix("").read_bytes() == body


def test_a_server_without_resuming_sends_the_whole_file(publisher: Publisher, tmp_path: Path) -> None:
    body = offer_un(publisher)
    publisher.resumes = False
    publisher.cut_after[UN] = 20
    run = fetch_un(publisher, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    assert "the server does not support resuming: starting" in run.stderr
    assert (tmp_path / "data" / "downloads" / Path(UN).name).read_bytes() == body


def test_a_wrong_checksum_is_refused_in_one_line_and_nothing_is_lost(publisher: Publisher, tmp_path: Path) -> None:
    body = offer_un(publisher)
    name = Path(UN).name
    run = fetch_un(publisher, tmp_path / "data", checksums={f"wmt14-en-fr/{name}": "0" * 64})
    assert run.returncode == 1
    downloads = tmp_path / "data" / "downloads"
    found = hashlib.sha256(body).hexdigest()
    assert run.stderr.splitlines()[2:] == [
        f"corpus_files: {downloads}/{name}: sha256 must be {'0' * 64}, but is {found}, "
        f"by {tmp_path}/checksums.txt; it is kept as {downloads}/{name}.refused"
    ]
    assert (downloads / f"{name}.refused").read_bytes() == body
    assert not list((tmp_path / "data").glob("*.gz"))
    # with the right table, the next run downloads it again
    assert fetch_un(publisher, tmp_path / "data", checksums={f"wmt14-en-fr/{name}": found}).returncode == 0


def test_sides_of_different_length_are_refused(publisher: Publisher, tmp_path: Path) -> None:
    offer_un(publisher, fr="un\n")
    run = fetch_un(publisher, tmp_path / "data")
    assert run.returncode == 1
    assert "train.un: the sides must have the same number of lines, but have en 2, fr 1" in run.stderr
    assert not list((tmp_path / "data").glob("train*"))


def test_a_missing_file_is_one_line_and_the_attempts_end(publisher: Publisher, tmp_path: Path) -> None:
    run = fetch("fetch_tatoeba", publisher, tmp_path / "data")
    assert run.returncode == 1
    assert re.search(r"the server refuses \S+/fra-eng\.zip \(see above\): if it has moved, set NMT_MIRROR", run.stderr)
    assert len(publisher.requests) == 1


def test_a_damaged_archive_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["/www.manythings.org/anki/fra-eng.zip"] = b"<html>busy</html>"
    run = fetch("fetch_tatoeba", publisher, tmp_path / "data")
    assert run.returncode == 1
    assert re.search(
        r"fra-eng\.zip is damaged \(.*\): move it and fra-eng\.zip\.sha256 away, and run again", run.stderr
    )
    assert "Traceback" not in run.stderr


def test_tatoebas_dev_shares_no_sentence_with_train(publisher: Publisher, tmp_path: Path) -> None:
    rows = [(f"Sentence number {i}.", f"Phrase numéro {i}.") for i in range(60)]
    rows += [(f"SENTENCE number {i}!", f"Autre phrase {i} !") for i in range(60)]  # a near copy, translated otherwise
    rows += [(f"Paraphrase {i}.", f"Phrase numéro {i} !") for i in range(60)]  # another source of the same translation
    rows += [rows[0]]
    text = "".join(f"{en}\t{fr}\tmade up\n" for en, fr in rows)
    publisher.files["/www.manythings.org/anki/fra-eng.zip"] = zipped("fra.txt", text)
    run = fetch("fetch_tatoeba", publisher, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    train, dev = (
        list(zip(lines(tmp_path / "data" / f"{s}.en.gz"), lines(tmp_path / "data" / f"{s}.fr.gz"), strict=True))
        for s in ("train", "dev")
    )
    assert len(dev) == 12  # one in ten of 120 English sentences that differ in their letters
    assert set(train) | set(dev) < set(rows)
    assert len(set(train)) == len(train)
    for side in (0, 1):
        in_train, in_dev = ({re.sub(r"\W", "", pair[side]).lower() for pair in split} for split in (train, dev))
        assert not in_train & in_dev
    paraphrases = {en.removeprefix("Paraphrase ") for en, _ in train if en.startswith("Paraphrase")}
    assert not paraphrases & {en.removeprefix("Sentence number ") for en, _ in dev}
    # the same download gives the same bytes
    other = fetch("fetch_tatoeba", publisher, tmp_path / "again")
    assert other.returncode == 0
    for name in ("train.en.gz", "dev.fr.gz"):
        assert (tmp_path / "data" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_europarl_is_cleaned_and_its_end_is_held_out(publisher: Publisher, tmp_path: Path) -> None:
    pairs = [(f"We debate item {i} .", f"Nous débattons le point {i} .") for i in range(100)]
    dirty = [("", "vide"), ("word " * 51, "long"), ("long", "mot " * 51), pairs[0], ("We debate item 99 .", "Encore .")]
    all_pairs = dirty[:3] + pairs[:50] + dirty[3:] + pairs[50:]
    publisher.files[f"{STATMT}/europarl/v7/fr-en.tgz"] = tarred(
        {
            "europarl-v7.fr-en.en": "".join(f"{en}\n" for en, _ in all_pairs),
            "europarl-v7.fr-en.fr": "".join(f"{fr}\n" for _, fr in all_pairs),
        }
    )
    run = fetch("fetch_europarl", publisher, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    splits = {
        name: list(
            zip(lines(tmp_path / "data" / f"{name}.en.gz"), lines(tmp_path / "data" / f"{name}.fr.gz"), strict=True)
        )
        for name in ("train.0", "train.1", "dev", "test")
    }
    assert splits["dev"] == pairs[80:90]
    assert splits["test"] == pairs[90:]
    assert sorted(splits["train.0"] + splits["train.1"]) == sorted(pairs[:80])
    assert min(len(splits["train.0"]), len(splits["train.1"])) > 20


def offer_wmt14(publisher: Publisher) -> None:
    def two(stem: str, dot: str = ".") -> dict[str, str | bytes]:
        return {f"{stem}{dot}{lang}": f"{stem} {lang}\nA & B\r\n" for lang in ("en", "fr")}

    def sgm(lang: str) -> str:
        segs = f'<seg id="1"> a {lang}\u00a0: AT&amp;T </seg>\n<SEG id="2">&lt;b&gt;</SEG>\n'
        return f'<srcset setid="x" srclang="any">\n<doc docid="d">\n<p>\n{segs}</p>\n</doc>\n</srcset>\n'

    giga: dict[str, str | bytes] = {
        f"giga-fren.release2.fixed.{lang}.gz": gzip.compress(f"giga {lang}\n".encode()) for lang in ("en", "fr")
    }
    publisher.files |= {
        f"{STATMT}/wmt13/training-parallel-europarl-v7.tgz": tarred(
            {**two("training/europarl-v7.de-en"), **two("training/europarl-v7.fr-en")}
        ),
        f"{STATMT}/wmt13/training-parallel-commoncrawl.tgz": tarred(two("commoncrawl.fr-en")),
        UN: tarred(two("un/undoc.2000.fr-en")),
        f"{STATMT}/wmt14/training-parallel-nc-v9.tgz": tarred(two("./training/news-commentary-v9.fr-en")),
        f"{STATMT}/wmt10/training-giga-fren.tar": tarred(giga, "w"),
        f"{STATMT}/wmt14/dev.tgz": tarred(
            {
                **two("dev/newstest2013"),
                "dev/newstest2012-src.en.sgm": sgm("en"),
                "dev/newstest2012-ref.fr.sgm": sgm("fr"),
            }
        ),
        f"{STATMT}/wmt14/test-full.tgz": tarred(
            {
                "test-full/newstest2014-fren-src.en.sgm": sgm("en"),
                "test-full/newstest2014-fren-ref.fr.sgm": sgm("fr"),
            }
        ),
    }


def test_wmt14_is_unpacked_part_by_part(publisher: Publisher, tmp_path: Path) -> None:
    offer_wmt14(publisher)
    run = fetch("fetch_wmt14", publisher, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    stems = ["train.europarl", "train.commoncrawl", "train.un", "train.news-commentary", "train.giga"]
    stems += ["newstest2012", "newstest2013", "newstest2014"]
    placed = {p.name for p in (tmp_path / "data").glob("*.gz")}
    assert placed == {f"{stem}.{lang}.gz" for stem in stems for lang in ("en", "fr")}
    assert lines(tmp_path / "data" / "train.europarl.fr.gz") == ["training/europarl-v7.fr-en fr", "A & B\r"]
    assert lines(tmp_path / "data" / "train.giga.en.gz") == ["giga en"]
    for year in (2012, 2014):
        assert lines(tmp_path / "data" / f"newstest{year}.fr.gz") == ["a fr\u00a0: AT&T", "<b>"]


def test_wmt14_fetches_the_parts_that_are_named_and_keeps_what_exists(publisher: Publisher, tmp_path: Path) -> None:
    offer_wmt14(publisher)
    assert fetch("fetch_wmt14", publisher, tmp_path / "data", "test").returncode == 0
    shutil.rmtree(tmp_path / "data" / "downloads")  # 7 GB, once everything is placed
    run = fetch("fetch_wmt14", publisher, tmp_path / "data", "test", "un")
    assert run.returncode == 0, run.stderr
    assert "newstest2014 exists" in run.stderr
    assert [path for path, _ in publisher.requests] == [
        f"{STATMT}/wmt14/test-full.tgz",
        UN,
    ]
    run = fetch("fetch_wmt14", publisher, tmp_path / "data", "newstest")
    assert run.returncode == 1
    assert "unknown part 'newstest': must be one of europarl commoncrawl un" in run.stderr


def test_an_archive_without_its_text_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files[UN] = tarred({"un/README": "moved"})
    run = fetch_un(publisher, tmp_path / "data")
    assert run.returncode == 1
    assert re.search(r"training-parallel-un\.tgz must contain un/undoc\.2000\.fr-en\.en, but does not", run.stderr)
    assert not list((tmp_path / "data").glob("train*"))


def offer_sigmorphon(publisher: Publisher, *langs: str) -> None:
    for lang in langs:
        for split in ("train", "dev", "test"):
            path = f"/raw.githubusercontent.com/sigmorphon/2020/HEAD/task1/data/{split}/{lang}_{split}.tsv"
            publisher.files[path] = f"ab\t{lang} {split}\n".encode()


def test_sigmorphons_files_are_kept_as_published(publisher: Publisher, tmp_path: Path) -> None:
    offer_sigmorphon(publisher, "fre", "kor")
    run = fetch("fetch_sigmorphon2020", publisher, tmp_path / "data", "fre", "kor")
    assert run.returncode == 0, run.stderr
    placed = {path.name: path for path in (tmp_path / "data").iterdir()}
    texts = {f"{lang}_{split}.tsv" for lang in ("fre", "kor") for split in ("train", "dev", "test")}
    assert placed.keys() == texts | {f"{name}.sha256" for name in texts}
    assert placed["fre_dev.tsv"].read_text() == "ab\tfre dev\n"
    placed["kor_test.tsv"].write_text("changed")
    run = fetch("fetch_sigmorphon2020", publisher, tmp_path / "data", "kor")
    assert run.returncode == 1
    assert "kor_test.tsv: sha256 must be" in run.stderr


def test_an_unknown_language_is_refused_before_anything_is_fetched(publisher: Publisher, tmp_path: Path) -> None:
    run = fetch("fetch_sigmorphon2020", publisher, tmp_path / "data", "fre", "eng")
    assert run.returncode == 1
    assert "unknown language 'eng': must be one of ady arm bul" in run.stderr
    assert publisher.requests == []


def test_the_table_of_checksums_names_files_that_are_fetched() -> None:
    fetched = {"multi30k": "multi30k", "wmt14-en-fr": "wmt14", "sigmorphon-2020-g2p": "sigmorphon2020"}
    keys = set()
    for line in (SCRIPTS / "checksums.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"([0-9a-f]{64}|[0-9a-f]{32})  [\w-]+/[\w.-]+", line), line
            digest, key = line.split("  ")
            assert (digest, key) not in keys
            keys.add((digest, key))
            corpus, name = key.split("/")
            script = (SCRIPTS / f"fetch_{fetched[corpus]}").read_text(encoding="utf-8")
            stem = name.split(".")[0]
            assert all(part in script for part in ([stem] if stem in script else stem.split("_")))
    assert len(keys) == 24 + 15 * 3
