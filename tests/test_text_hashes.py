from __future__ import annotations

import numpy as np
import pytest

from nmt.doctor.text_hashes import TextHashes, joined, normalized
from tests.doctor_text import block


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("A dog,  runs!", "a dog runs"),
        ("«\u00a0L'été\u00a0»", "l été"),
        ("e\u0301te\u0301", "été"),
        ("STRASSE straße", "strasse strasse"),
        ("कि की", "कि की"),  # vowel signs are no punctuation
        (" ?! ", "?!"),
        ("", ""),
    ],
)
def test_normalized_text_has_no_case_punctuation_or_extra_spaces(text: str, result: str) -> None:
    assert normalized(text) == result


def test_hashes_are_equal_if_texts_are() -> None:
    hashes = TextHashes()
    hashes.add(block([("A b", "C"), ("A b", "C"), ("a  b.", "c")]))
    hashes.add(block([("A", "b\nC"), ("A b", "D")]))
    parts = (hashes.pair, hashes.normalized_pair, hashes.normalized_src, hashes.normalized_tgt)
    assert [len(np.unique(joined(part))) for part in parts] == [4, 3, 2, 3]
    assert joined(hashes.pair)[0] == joined(hashes.pair)[1]


def test_joined_parts_of_nothing_are_empty() -> None:
    assert len(joined([])) == 0
