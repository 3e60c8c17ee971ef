"""Every command that may write into a service's folder runs as the folder's owner."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import click
import pytest

from healthcode.cli.service_folder import ServiceFolder

READERS = {
    "audit check",
    "verify",
    "trust show",
    "policy diff",
    "policy explain",
    "policy requirement",
    "policy show",
    "inspect",
}
"""Commands of `healthcode` that any user may run on another's trust folder."""


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from commands(found, f"{name} {each}".strip())


@pytest.mark.parametrize("module", ["trust_registry", "province_node", "gateway", "healthcode.cli"])
def test_a_folder_that_a_command_names_has_an_owner(module: str) -> None:
    """The next command with --dir is such a one, or is told here to only read."""
    cli = importlib.import_module(f"{module}.__main__").cli
    plain = {
        name
        for name, command in commands(cli)
        for option in command.params
        if {"--dir", "--trust"} & set(option.opts) and not isinstance(option, ServiceFolder)
    }
    assert plain == (READERS & plain if module == "healthcode.cli" else set())
