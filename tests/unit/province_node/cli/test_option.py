"""Options that several commands share."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from province_node.__main__ import cli


@pytest.mark.parametrize(
    "command",
    [
        ["revoke", "--reason", "FRAUD", "--level-reason", "A8", "--rule", ""],
        ["revoke", "--reason", "FRAUD", "--level-reason", "A8", "--issued-by", " "],
        ["issue", "--file", "-", "--replacing", ""],
    ],
)
def test_an_empty_option_never_selects_more(command: list[str]) -> None:
    """As an empty variable of a script gives it: the command says so, and does nothing."""
    done = CliRunner().invoke(cli, command, input="")
    assert done.exit_code == 2
    assert "it is empty" in done.output
