"""Plain values: no content of a file takes long, runs code or is mistaken for another type."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.plain import MAX_BYTES, MAX_DEPTH, PlainError, from_plain, parse_yaml, problems, read_json, read_yaml, to_plain
from nmt.plain import with_defaults as complete

PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, database=None)


class Colour(StrEnum):
    red = "red"
    blue = "blue"


@dataclass
class Inner:
    size: int = "???"  # type: ignore[assignment]
    ratio: float = 0.5


@dataclass
class Outer:
    name: str
    inner: Inner
    colour: Colour = Colour.red
    maybe: Inner | None = None
    limit: int | None = None
    files: list[str] = field(default_factory=lambda: ["a"])
    scores: dict[str, float] = field(default_factory=dict)
    is_on: bool = False


GOOD = {"name": "x", "inner": {"size": 3}}


def test_a_dataclass_survives_conversion() -> None:
    outer = Outer("x", Inner(3, 1.5), Colour.blue, Inner(2), 7, ["b", "c"], {"bleu": 3.0}, True)
    plain = json.loads(json.dumps(to_plain(outer)))
    assert from_plain(Outer, plain) == outer
    made = from_plain(Outer, {**GOOD, "colour": "blue", "scores": {"a": 1}})
    assert (type(made.colour), made.inner, made.maybe, made.files) == (Colour, Inner(3, 0.5), None, ["a"])


@PROPERTY
@given(
    st.builds(
        Outer,
        name=st.text(),
        inner=st.builds(Inner, size=st.integers(-(2**63), 2**64 - 1), ratio=st.floats(allow_nan=False)),
        colour=st.sampled_from(Colour),
        maybe=st.none() | st.builds(Inner, size=st.integers(0, 9), ratio=st.floats(0, 1)),
        limit=st.none() | st.integers(0, 9),
        files=st.lists(st.text()),
        scores=st.dictionaries(st.text(), st.floats(allow_nan=False)),
        is_on=st.booleans(),
    )
)
def test_any_dataclass_survives_json(outer: Outer) -> None:
    assert from_plain(Outer, json.loads(json.dumps(to_plain(outer)))) == outer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, r"^name must be text, but is 3$"),
        ({"name": None}, r"^name must be text, but is null$"),
        ({"inner": None}, r"^inner must be keys with values, but is null$"),
        ({"inner": [1]}, r"^inner must be keys with values, but is \[1\]$"),
        ({"inner": {"size": True}}, r"^inner\.size must be a whole number, but is true$"),
        ({"inner": {"size": 1.0}}, r"^inner\.size must be a whole number, but is 1\.0$"),
        ({"inner": {"size": 2**64}}, r"^inner\.size must be a whole number, but is 18446744073709551616$"),
        ({"inner": {"size": 1, "ratio": "1"}}, r"^inner\.ratio must be a number, but is '1'$"),
        ({"inner": {}}, r"^inner\.size is missing$"),
        ({"colour": "green"}, r"^colour must be one of red, blue, but is 'green'$"),
        ({"maybe": 3}, r"^maybe must be keys with values or null, but is 3$"),
        ({"limit": "3"}, r"^limit must be a whole number or null, but is '3'$"),
        ({"files": "a"}, r"^files must be a list such as \[a,b\], but is 'a'$"),
        ({"files": ["a", 3]}, r"^files must be a list such as \[a,b\], but is \['a', 3\]$"),
        ({"scores": {"bleu": "high"}}, r"^scores must be keys with values, but is \{'bleu': 'high'\}$"),
        ({"is_on": 1}, r"^is_on must be true or false, but is 1$"),
        ({"moon": 1, 3: 4}, r"^moon is not known; 3 is not known$"),
        ({"a\nb": 1}, r"^'a\\nb' is not known$"),
        ({"name": "x" * 99999, "is_on": None}, r"^is_on must be true or false, but is null$"),
        ({"is_on": "x" * 99999}, r"^is_on must be true or false, but is 'x{79}…$"),
    ],
)
def test_wrong_values_are_named(change: dict[object, object], message: str) -> None:
    with pytest.raises(PlainError, match=message):
        from_plain(Outer, dict[object, object](GOOD) | change)


@pytest.mark.parametrize("values", [None, [], 3, "x", [["name", "x"]]])
def test_values_other_than_keys_with_values_are_refused(values: object) -> None:
    with pytest.raises(PlainError, match=r"^all of it must be keys with values, but is "):
        from_plain(Outer, values)
    assert [problem.kind for problem in problems(Outer, values)] == ["wrong"]


def test_only_settings_with_a_default_are_added() -> None:
    values = complete(Outer, {"inner": {}})
    assert values == {
        "inner": {"ratio": 0.5},
        "colour": "red",
        "maybe": None,
        "limit": None,
        "files": ["a"],
        "scores": {},
        "is_on": False,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x [1]\nb: *x\n", r"^it has an alias \(\*\)$"),
        ("a: !!python/object/apply:os.system [ls]", r"^it has a tag \(!\)$"),
        ("a: !!int ''", r"^it has a tag \(!\)$"),
        ("a: !!timestamp x", r"^it has a tag \(!\)$"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), rf"^it is nested deeper than {MAX_DEPTH}$"),
        ("[" * 400_000, "nest"),
        ("a: [1", "expected ',' or ']'"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("a: 0b_", "invalid literal"),
        ("{[1]: 2}", "unhashable key"),
        ("a: b: c", "mapping values are not allowed"),
        ("a: '\ud800'", "surrogates not allowed|special characters"),
        ("a: \0", "control characters|special characters"),
    ],
)
def test_yaml_with_more_than_plain_values_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PlainError, match=problem):
        parse_yaml(text)


def test_a_few_lines_do_not_expand_forever() -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(PlainError, match="alias"):
        parse_yaml("\n".join(["a0: &a0 lol", *levels]))


@PROPERTY
@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet="abc019_-+.:,[]{}&*!?|>'\"%@` \n#=<~xobZT"))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    with suppress(PlainError):
        parse_yaml(text)


def test_paths_that_are_not_utf8_are_read_back() -> None:
    values = {"dir": os.fsdecode(b"/a\xff\xfe b"), "name": "\U0001d504"}
    assert parse_yaml(yaml.safe_dump(values)) == values
    with pytest.raises(PlainError, match=r"alias"):
        parse_yaml(r'{a: &a "\uDCFF", b: *a}')


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_a_file_larger_than_any_configuration_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1" + b" " * (MAX_BYTES - 1))
    assert read(tmp_path / "file") == 1
    with (tmp_path / "file").open("r+b") as stream:
        stream.truncate(1 << 40)  # takes no space
    with pytest.raises(PlainError, match=r"^more than 1,048,576 bytes$"):
        read(tmp_path / "file")


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_a_pipe_or_device_is_refused_at_once(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "endless"):
        with pytest.raises(PlainError, match=r"^not a regular file$"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"{", "Expecting"), (b"[" * 100_000, "recursion"), (b"\xff", "not UTF-8 at byte 0"), (b"9" * 5000, "Exceeds")],
)
def test_invalid_json_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(PlainError, match=problem):
        read_json(tmp_path / "file")
