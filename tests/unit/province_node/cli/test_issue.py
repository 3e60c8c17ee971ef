"""`province-node issue`: a bad line costs nobody else a code, and nothing half-made is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from province_node.keys.setup import create_node
from tests.unit.province_node.cli.command import command, plan_of

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
