"""The documents' commands: each one exists, with the options it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.__main__ import cli as gateway
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
# code within a line; and what of it has several words and is no command of ours
INLINE = re.compile(r"`([^`\n]+)`")
NO_COMMAND = re.compile(
    r"make |docker |journalctl |systemctl |nft |nginx |hook |\[log\] |the |each at home|31/3: |mirrors = |\[trust\] "
)
# a command in a container
DOCKER = re.compile(r"^docker compose -f \S+ (?:run --rm|exec) [a-z]+ +")
FENCE = re.compile(r"^```(?:ba)?sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown_commands(page: str) -> Iterator[list[str]]:
    """Every line of a page's shell blocks that calls one of our commands, as words."""
    for block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(DOCKER.sub("", line), comments=True)
            if words and words[0] in COMMANDS:
                yield words


def fault_in(words: list[str]) -> str | None:
    """What the command line names that its program does not have; None when all of it exists."""
    command: click.Command = COMMANDS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        below = command.get_command(click.Context(command), rest[0])
        if below is None:
            return rest[0]
        command, rest = below, rest[1:]
    unknown = {word for word in rest if word.startswith("--")} - options_of(command) - {"--help"}
    return min(unknown, default=None)


def options_of(command: click.Command) -> set[str]:
    """Every way to write an option of this command."""
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def every_option(command: click.Command) -> Iterator[str]:
    """The options of a program, of whatever command of it."""
    yield from options_of(command)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_option(below)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_exists_with_its_options(page: str) -> None:
    """What a reader types from a page is not refused as unknown."""
    shown = list(shown_commands(page))
    for words in shown:
        assert fault_in(words) is None, " ".join(words)
    assert shown or page == "docs/integrating.md"


@pytest.mark.parametrize("page", ["docs/operating.md", "docs/operating.zh-CN.md"])
def test_every_command_in_the_text_exists_with_its_options(page: str) -> None:
    """`entry --accept` within a sentence is a command of one of our programs, as much as one in a block."""
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    options = {option for program in COMMANDS.values() for option in every_option(program)}
    commands = 0
    for span in INLINE.findall(text):
        words = shlex.split(span)
        if words[0].startswith("--"):
            assert words[0] in options, span
        elif len(words) > 1 and not NO_COMMAND.match(span):
            commands += 1
            programs = [words[0]] if words[0] in COMMANDS else COMMANDS
            tried = [words if words[0] in COMMANDS else [program, *words] for program in programs]
            assert None in map(fault_in, tried), span
    assert commands > 20
