"""The documents' commands: each one exists, with the options it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli import cli as gateway
from healthcode.cli.__main__ import cli as healthcode
from province_node.__main__ import cli as province_node
from trust_registry.__main__ import cli as trust_registry

ROOT = Path(__file__).parents[3]
PAGES = [
    "README.md",
    "README.zh-CN.md",
    "docs/operating.md",
    "docs/operating.zh-CN.md",
    "docs/integrating.md",
]
COMMANDS = {
    "healthcode": healthcode,
    "healthcode-gateway": gateway,
    "province-node": province_node,
    "trust-registry": trust_registry,
}
FENCE = re.compile(r"^```(?:ba)?sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown_commands(page: str) -> Iterator[list[str]]:
    """Every line of a page's shell blocks that calls one of our commands, as words."""
    for block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] in COMMANDS:
                yield words


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_exists_with_its_options(page: str) -> None:
    """What a reader types from a page is not refused as unknown."""
    shown = list(shown_commands(page))
    for words in shown:
        command: click.Command = COMMANDS[words[0]]
        rest = words[1:]
        while isinstance(command, click.Group) and rest:
            assert rest[0] in command.commands, " ".join(words)
            command, rest = command.commands[rest[0]], rest[1:]
        known = {
            name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word for word in rest if word.startswith("--")} <= known | {"--help"}, " ".join(words)
    assert shown or page == "docs/integrating.md"
