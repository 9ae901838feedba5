"""Elision and contraction."""

import pytest

from nmt.phrasebook.phrases import elide_and_contract


@pytest.mark.parametrize(
    ("full", "fr"),
    [
        ("je ai", "j'ai"),
        ("parce que elle habite", "parce qu'elle habite"),
        ("à le marché", "au marché"),
        ("à les enfants", "aux enfants"),
        ("de le roi", "du roi"),
        ("de les rois", "des rois"),
        ("de le hôtel", "de l'hôtel"),
        ("à la école", "à l'école"),
        ("si il vient", "s'il vient"),
        ("si elle vient", "si elle vient"),
        ("que onze enfants", "que onze enfants"),
        ("de huit livres", "de huit livres"),
        ("le onze mai", "le onze mai"),
        ("qui est-ce que Anne", "qui est-ce qu'Anne"),
    ],
)
def test_elision_and_contraction(full: str, fr: str) -> None:
    assert elide_and_contract(full).fr == fr
