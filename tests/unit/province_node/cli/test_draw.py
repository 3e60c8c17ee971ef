"""`province-node draw`: a picture of an issued code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from healthcode.cli.picture import read_picture
from tests.unit.province_node.cli.command import command

TEXT = "CNHT1:" + "NCFOXN%TS3DH3ZSUZK+.V0ETD%65NL-AH" * 6


def draw(monkeypatch: pytest.MonkeyPatch, stdin: str, *arguments: str | Path) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
    return command("draw", *arguments)


def test_an_issued_code_is_drawn_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From its text, or from a row of what `issue --out` wrote."""
    png = tmp_path / "code.png"
    assert draw(monkeypatch, "", "--png", png, TEXT)[0] == 0
    assert read_picture(png).codes == (TEXT,)
    rows = "\n".join(
        json.dumps(row)
        for row in (
            {"row": 1, "refused_reason": "X"},
            {"row": 2, "code": "CNHT1:A"},
            {"row": 3, "code": TEXT},
        )
    )
    assert draw(monkeypatch, rows, "--png", png, "-")[0] == 2
    assert draw(monkeypatch, rows, "--png", png, "--row", "2", "-")[0] == 0
    assert read_picture(png).codes == (TEXT,)
    assert png.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "arguments",
    [(TEXT,), ("--png", "code.svg", TEXT), ("--png", "code.gif", TEXT), ("--row", "2", "--terminal", TEXT)],
)
def test_what_cannot_be_drawn_is_usage(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    """No place, another kind, no such row: status 2."""
    assert draw(monkeypatch, "", *arguments)[0] == 2
