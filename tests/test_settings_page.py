from __future__ import annotations

import re

import pytest
from settings_page import PAGE, page

from nmt.commands.keys import SCHEMAS
from nmt.conf_files import conf_dir
from nmt.schema import settings_of

pytestmark = pytest.mark.no_tensors


def test_the_reference_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run .venv/bin/python scripts/settings_page.py"


def test_every_setting_is_in_the_reference_once_with_its_description() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .* \| (.+) \|$", page(), re.MULTILINE)
    described = {
        (key, declared.description)
        for schema in SCHEMAS.values()
        for key, declared in settings_of(schema).items()
        if declared.description
    }
    assert set(rows) == described


def test_every_option_of_every_group_is_linked() -> None:
    files = {str(path.relative_to(conf_dir())) for path in conf_dir().glob("*/*.yaml")}
    assert set(re.findall(r"\]\(\.\./conf/([^)]+)\)", page())) == files


def test_prose_wraps_at_100_columns() -> None:
    assert [line for line in page().splitlines() if len(line) > 100 and not line.startswith("|")] == []
