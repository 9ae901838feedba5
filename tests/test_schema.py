from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from math import inf, nan
from typing import Any

import pytest

from nmt.choices import SourceOrder
from nmt.commands.keys import SCHEMAS
from nmt.config import ModelConfig, SearchConfig
from nmt.errors import ConfigError
from nmt.plain import without_none
from nmt.schema import Range, Setting, check_settings, setting, setting_problems, settings_of

COMMANDS = list(dict.fromkeys(SCHEMAS.values()))  # of which prepare and train have one
NUMBERS: list[tuple[str, Setting]] = [
    (key, declared)
    for schema in COMMANDS
    for key, declared in settings_of(schema).items()
    if without_none(declared.kind) in (int, float)
]


class Colour(StrEnum):
    red = "red"
    blue = "blue"


@dataclass
class Inner:
    share: float = setting("a share", Range(at_least=0, below=1))


@dataclass
class Outer:
    count: int = setting("a count", Range(at_least=1, limit=10), default=1)
    colour: Colour = setting("a colour", default=Colour.red)
    names: list[str] = setting("names")
    columns: list[int] = setting("columns", Range(at_least=1), default=[1, 2])
    limit: int | None = setting("a limit", Range(at_least=1), default=None)
    flag: bool = setting("a flag", default=False)
    text: str = setting("a text", default="")
    inner: Inner | None = None


def problems(**values: Any) -> list[str]:
    return list(setting_problems(replace(Outer(names=[]), **values)))


@pytest.mark.parametrize("schema", COMMANDS)
def test_every_setting_has_a_description(schema: type) -> None:
    groups = {key for key, declared in settings_of(schema).items() if is_dataclass(without_none(declared.kind))}
    without = [key for key, declared in settings_of(schema).items() if key not in groups and not declared.description]
    assert without == [], "declare them in nmt/config.py: name: type = setting('what it is')"


@pytest.mark.parametrize(("key", "declared"), NUMBERS)
def test_every_number_has_a_range_with_two_ends(key: str, declared: Setting) -> None:
    assert declared.range is not None, f"declare it in nmt/config.py: {key} = setting('…', Range(at_least=…))"
    assert declared.range.at_least is not None or declared.range.above is not None
    if without_none(declared.kind) is int:
        assert declared.range.upper <= 2**64
        assert declared.range.wanted(2**64) is not None
    assert declared.range.wanted(nan) is not None
    assert declared.range.wanted(-inf) is not None


def test_inf_is_within_only_two_ranges() -> None:
    assert {key for key, declared in NUMBERS if declared.range and declared.range.wanted(inf) is None} == {
        "data.max_len_ratio",
        "training.clip_norm",
    }


def test_settings_come_with_their_groups() -> None:
    keys = ["count", "colour", "names", "columns", "limit", "flag", "text", "inner", "inner.share"]
    assert list(settings_of(Outer)) == keys
    assert settings_of(Outer)["inner.share"].description == "a share"


def test_a_setting_without_a_default_must_be_given() -> None:
    assert Inner().share == "???"  # type: ignore[comparison-overlap]
    assert Outer().count == 1


@pytest.mark.parametrize(
    ("range_", "value", "wanted"),
    [
        (Range(at_least=1), 1, None),
        (Range(at_least=1), 0, "at least 1"),
        (Range(at_least=1), 2**31 - 1, None),
        (Range(at_least=1), 2**31, "at most 2147483647"),
        (Range(at_least=1, limit=10), 10, None),
        (Range(at_least=1, limit=10), 11, "at most 10"),
        (Range(at_least=1, limit=10), 0, "at least 1"),
        (Range(at_least=0, below=1), 0, None),
        (Range(at_least=0, below=1), 1, "at least 0 and below 1"),
        (Range(above=0, at_most=1), 1, None),
        (Range(above=0, at_most=1), 0, "above 0 and at most 1"),
        (Range(above=0, below=inf), 1e300, None),
        (Range(above=0, below=inf), inf, "above 0 and finite"),
        (Range(above=0, below=inf), nan, "above 0 and finite"),
        (Range(above=0, limit=inf), inf, None),
        (Range(above=0, limit=inf), nan, "above 0"),
        (Range(at_least=0, below=2**64), 2**64 - 1, None),
        (Range(at_least=0, below=2**64), 2**64, "at least 0 and below 2^64"),
    ],
)
def test_a_range_says_what_a_number_must_be(range_: Range, value: float, wanted: str | None) -> None:
    assert range_.wanted(value) == wanted


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"count": 0}, "count must be at least 1, but is 0"),
        ({"count": True}, "count must be a whole number, but is true"),
        ({"count": 1.0}, "count must be a whole number, but is 1.0"),
        ({"count": "1"}, "count must be a whole number, but is '1'"),
        ({"count": None}, "count must be a whole number, but is null"),
        ({"count": 10**100}, "count must be at most 10, but is 0x1249ad2594c37ceb0b2784c4ce0bf38ace408e211a7caab24308"),
        ({"limit": "x"}, "limit must be a whole number or null, but is 'x'"),
        ({"colour": "green"}, "colour must be one of red, blue, but is 'green'"),
        ({"names": "a"}, "names must be a list such as [a,b], but is 'a'"),
        ({"names": [1]}, "names must be a list such as [a,b], but is [1]"),
        ({"flag": 1}, "flag must be true or false, but is 1"),
        ({"text": 3}, "text must be text, but is 3"),
        ({"text": ["x" * 100]}, f"text must be text, but is ['{'x' * 78}…"),
        ({"inner": 3}, "inner must be keys with values or null, but is 3"),
        ({"inner": Inner(1.5)}, "inner.share must be at least 0 and below 1, but is 1.5"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_named(values: dict[str, Any], problem: str) -> None:
    [found] = problems(**values)
    assert found.startswith(problem)


def test_valid_settings_give_no_problems() -> None:
    assert problems() == problems(limit=3, inner=Inner(0), names=["a"], colour=Colour.blue) == []


def test_all_problems_are_reported_at_once_under_their_full_names() -> None:
    config = ModelConfig("a", 0, -1, 10**9, 5.0, SourceOrder.forward, nan, inf)
    with pytest.raises(ConfigError) as caught:
        check_settings(config, prefix="model.")
    assert str(caught.value).split("; ") == [
        "model.embedding_dim must be at least 1, but is 0",
        "model.hidden_dim must be at least 1, but is -1",
        "model.num_layers must be at most 1000, but is 1000000000",
        "model.dropout must be at least 0 and below 1, but is 5.0",
        "model.init_range must be above 0 and finite, but is nan",
        "model.forget_bias must be at most 1000, but is inf",
    ]


def test_a_plain_dataclass_without_descriptions_can_be_checked() -> None:
    @dataclass
    class Plain:
        count: int = 3

    assert list(setting_problems(Plain())) == []
    assert [field.name for field in fields(SearchConfig)] == [
        key for key in settings_of(SearchConfig) if "." not in key
    ]


def test_each_number_of_a_list_has_a_type_and_a_range() -> None:
    assert problems(columns=[3, 1]) == problems(columns=[]) == []
    assert problems(columns=[0, 2, -1]) == [f"columns must be at least 1, but is {number}" for number in (0, -1)]
    for wrong in (["a"], [1.5], [True], 1):
        [problem] = problems(columns=wrong)
        assert problem.startswith("columns must be a list such as [1,2], but is ")


def test_a_list_that_is_a_default_is_not_shared() -> None:
    Outer(names=[]).columns.append(3)
    assert Outer(names=[]).columns == [1, 2]
