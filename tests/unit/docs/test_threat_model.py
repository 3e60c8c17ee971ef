"""docs/threat-model.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    """A threat whose test was renamed or deleted is found here."""
    named = _TEST.findall((ROOT / "docs" / "threat-model.md").read_text())
    assert len(named) > 25
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}("
        not in ((ROOT / "tests" / file).read_text() if (ROOT / "tests" / file).is_file() else "")
    ]
    assert missing == []
