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
    """No empty --out that looks like a result; an old one stays as it was; the run can go on."""
    old = tmp_path / "old.ndjson"
    old.write_text("kept\n")
    source = holders(tmp_path, GOOD)
    for out in (tmp_path / "codes.ndjson", old):
        for more in ((), ("--resume",)):
            status, _, err = command(
                "issue", "--dir", node, "--file", source, "--out", out, "--overwrite", *more
            )
            assert status == 4, err
            assert "stopped after 0 of 1 rows: run the same command with --resume" in err
    assert not (tmp_path / "codes.ndjson").exists()
    assert old.read_text() == "kept\n"


def test_an_old_file_is_not_overwritten_silently(node: Path, tmp_path: Path) -> None:
    """It may be the only copy of its codes; also for one holder, before the node is asked."""
    old = tmp_path / "old.ndjson"
    old.write_text("kept\n")
    for more in (("--file", holders(tmp_path, GOOD)), ("--file", holders(tmp_path, GOOD), "--resume"), ()):
        status, _, err = command("issue", "--dir", node, *more, "--out", old)
        assert status == 2
        assert f"{old} exists" in err
        assert "--overwrite" in err
    assert sorted(path.name for path in tmp_path.glob("old*")) == ["old.ndjson"]


def test_a_file_in_two_encodings_is_refused_before_anything_is_sent(node: Path, tmp_path: Path) -> None:
    """For every command that reads holders, by the first line of each encoding."""
    mixed = tmp_path / "mixed.ndjson"
    mixed.write_bytes(GOOD.encode() + GOOD.encode("gb18030"))
    for command_line in (
        ("issue", "--dir", node, "--file", mixed),
        ("revoke", "--dir", node, "--reason", "FRAUD", "--holders", mixed),
    ):
        status, said, err = command(*command_line)
        assert (status, said) == (2, "")
        assert "line 1 is UTF-8, line 2 is GB18030" in err


def test_a_run_needs_a_place(node: Path, tmp_path: Path) -> None:
    """--resume without a file to go on with, and --anew without --resume, are refused."""
    source = holders(tmp_path, GOOD)
    for more in (("--resume",), ("--file", source, "--resume"), ("--file", source, "--out", "x", "--anew")):
        status, _, err = command("issue", "--dir", node, *more)
        assert status == 2
        assert "add --" in err


@pytest.mark.parametrize("out", [(), ("--out", "-")])
def test_a_bad_line_is_a_row_that_was_refused(node: Path, tmp_path: Path, out: tuple[str, ...]) -> None:
    """By file, line and field, on standard output with --out - as without; status 1."""
    path = holders(tmp_path, 'not json\n\n{"number": 3}\n')
    status, said, _ = command("issue", "--dir", node, "--file", path, *out)
    assert status == 1
    first, second = (json.loads(line) for line in said.splitlines())
    assert (first["row"], first["refused_reason"]) == (1, "INVALID_REQUEST")
    assert first["refused_message"] == f"{path}: line 1 is not JSON (json.syntax)"
    assert second["refused_message"].startswith(f"{path}: line 3: number: ")
    assert not Path("-").exists()


def test_a_place_that_cannot_be_written_is_found_before_codes_are_issued(node: Path, tmp_path: Path) -> None:
    """Status 2, and the node was never asked."""
    status, _, err = command(
        "issue", "--dir", node, "--file", holders(tmp_path, GOOD), "--out", tmp_path / "none" / "x"
    )
    assert status == 2
    assert "cannot be written" in err
