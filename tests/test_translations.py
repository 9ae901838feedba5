from __future__ import annotations

from nmt.report.translations import Translations


def test_blank_references_are_missing_if_there_are_others() -> None:
    translations = Translations(["s", "t"], [["a", " "], ["", ""]], {"x": ["a", "b"]})
    assert translations.references_of(0) == ["a"]
    assert translations.references_of(1) == [" "]
