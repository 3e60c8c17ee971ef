"""`province-node issue` and `draw`: a bad line costs nobody else a code, and nothing half-made is left behind."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from healthcode.cli.picture import read_picture
from healthcode.clock import SystemClock
from province_node.keys.setup import create_node
from tests.unit.province_node.test_authority_command import command
from tests.unit.province_node.test_keys_command import plan_of

TEXT = "CNHT1:" + "NCFOXN%TS3DH3ZSUZK+.V0ETD%65NL-AH" * 6
GOOD = '{"number": "11010519491231002X", "name": "张小三"}\n'


@pytest.fixture
def node(tmp_path: Path) -> Path:
    plan = plan_of(tmp_path, listen="127.0.0.1:1", issuer_listen="127.0.0.1:2")
    create_node(tmp_path / "node", plan, passphrase=None, now=SystemClock().now())
    return tmp_path / "node"


def holders(folder: Path, text: str) -> Path:
    path = folder / "holders.ndjson"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_is_left_behind_when_the_node_is_out_of_reach(node: Path, tmp_path: Path) -> None:
    """No empty --out that looks like a result; an old one stays as it was."""
    old = tmp_path / "old.ndjson"
    old.write_text("kept\n")
    for out in (tmp_path / "codes.ndjson", old):
        status, _, err = command("issue", "--dir", node, "--file", holders(tmp_path, GOOD), "--out", out)
        assert status == 4, err
    assert not (tmp_path / "codes.ndjson").exists()
    assert old.read_text() == "kept\n"


@pytest.mark.parametrize("out", [(), ("--out", "-")])
def test_a_bad_line_is_a_row_that_was_refused(node: Path, tmp_path: Path, out: tuple[str, ...]) -> None:
    """By file, line and field, on standard output with --out - as without; status 1."""
    path = holders(tmp_path, 'not json\n\n{"number": 3}\n')
    status, said, _ = command("issue", "--dir", node, "--file", path, *out)
    assert status == 1
    first, second = (json.loads(line) for line in said.splitlines())
    assert (first["row"], first["refused_reason"]) == (1, "INVALID_REQUEST")
    assert first["refused_message"] == f"{path}: line 1 is not JSON in UTF-8"
    assert second["refused_message"].startswith(f"{path}: line 3: number: ")
    assert not Path("-").exists()


def test_a_place_that_cannot_be_written_is_found_before_codes_are_issued(node: Path, tmp_path: Path) -> None:
    """Status 2, and the node was never asked."""
    status, _, err = command(
        "issue", "--dir", node, "--file", holders(tmp_path, GOOD), "--out", tmp_path / "none" / "x"
    )
    assert status == 2
    assert "cannot be written" in err


def draw(monkeypatch: pytest.MonkeyPatch, stdin: str, *arguments: str | Path) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
    return command("draw", *arguments)


def test_an_issued_code_is_drawn_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From its text, or from a row of what `issue --out` wrote."""
    png = tmp_path / "code.png"
    assert draw(monkeypatch, "", "--png", png, TEXT)[0] == 0
    assert read_picture(png) == [TEXT]
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
    assert read_picture(png) == [TEXT]
    assert png.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "arguments",
    [(TEXT,), ("--png", "code.svg", TEXT), ("--png", "code.gif", TEXT), ("--row", "2", "--terminal", TEXT)],
)
def test_what_cannot_be_drawn_is_usage(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    """No place, another kind, no such row: status 2."""
    assert draw(monkeypatch, "", *arguments)[0] == 2
