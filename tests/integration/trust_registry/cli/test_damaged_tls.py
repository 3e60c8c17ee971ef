"""Damaged TLS files of a registry: `check` names each, and no command ends with a fault of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.cli.console import run
from tests.simulator.registry import found_registry
from trust_registry.__main__ import cli


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return found_registry(tmp_path / "registry").folder.root


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int | str | None, str]:
    """The exit status of a command, and all that it said."""
    with pytest.raises(SystemExit) as ended:
        run(cli, [str(each) for each in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out + captured.err


@pytest.mark.parametrize("name", ["registry.pem", "ca.pem", "registry.key"])
@pytest.mark.parametrize("damage", [b"\xff\xfe", b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_damaged_tls_file_is_named_by_check_and_no_obstacle_to_status(
    root: Path, capsys: pytest.CaptureFixture[str], name: str, damage: bytes
) -> None:
    """`check` says which; `status` shows all the rest, or names it."""
    (root / "tls" / name).write_bytes(damage)
    status, said = outcome(capsys, "status", "--dir", root, "--json")
    assert status in (2, 4), said
    status, said = outcome(capsys, "check", "--dir", root, "--json")
    assert status == 2
    assert name in said
