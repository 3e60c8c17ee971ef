"""Commands are imported when they are asked for, and each that a group names is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from gateway.__main__ import cli as gateway
from healthcode.cli.__main__ import cli as healthcode
from province_node.__main__ import cli as province_node
from trust_registry.__main__ import cli as trust_registry


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command | None]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize("group", [gateway, healthcode, province_node, trust_registry], ids=str)
def test_every_command_that_is_named_is_there(group: click.Group) -> None:
    """A name without its command would show only when somebody types it."""
    found = dict(commands(group, ""))
    assert len(found) >= 5
    for path, command in found.items():
        assert command is not None, path
        assert command.name == path.rpartition(" ")[2], path
        assert command.help, path


def test_one_command_imports_none_of_the_others() -> None:
    """What takes long to start is what the others import: the server, the stores."""
    script = (
        "import sys, click; from province_node.__main__ import cli; cli.get_command(click.Context(cli), 'draw');"
        "print(sorted({'province_node.app', 'province_node.cli.backup'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
