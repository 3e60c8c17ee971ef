"""Runs the commands of an operator, as at the keyboard."""

from __future__ import annotations

from click.testing import CliRunner, Result

from trust_registry.__main__ import cli
from trust_registry.registry import Registry


def run(registry: Registry, *arguments: str, keyboard: str = "") -> Result:
    return CliRunner().invoke(cli, [*arguments, "--dir", str(registry.folder.root)], input=keyboard)


def signed(registry: Registry, *arguments: str, holder: str) -> Result:
    passphrase = str(registry.folder.ceremony / "passphrase")
    return run(registry, *arguments, "--key", holder, "--passphrase-file", passphrase, "--yes", "--json")
