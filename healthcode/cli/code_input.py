"""Reads codes for a command: from its argument, a picture, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from healthcode.cli.picture import is_picture_name, read_picture
from healthcode.storage.owner import as_caller
from healthcode.wire.scan import clean_scan

__all__ = ["read_codes"]

MAX_LINE_CHARACTERS = 8192  # longer than any code, so a longer line is MALFORMED anyway


def read_codes(argument: str) -> Iterator[str]:
    """Yields the codes that `argument` names.

    `-` reads standard input, one code a line, and skips empty lines. The name of a picture or of an
    existing file yields the health codes in it. Any other text is the code itself, even if malformed:
    then the verdict says so. Raises InvalidInputError if a picture is missing or shows no code.
    """
    if argument == "-":
        yield from _lines()
    elif is_picture_name(argument) or _file_exists(argument):
        picture = read_picture(Path(argument))
        for other in picture.others:
            click.echo(f"note: another QR code in the picture does not count: {other[:60]!r}", err=True)
        yield from picture.codes
    else:
        yield clean_scan(argument.strip("\r\n"))


@as_caller()
def _file_exists(argument: str) -> bool:
    try:
        return Path(argument).exists()
    except (OSError, ValueError):  # the text cannot be a file name
        return False


def _lines() -> Iterator[str]:
    # invalid UTF-8 becomes characters that no code contains
    stream = sys.stdin.buffer
    while line := stream.readline(MAX_LINE_CHARACTERS):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE_CHARACTERS)):
            pass  # skip the rest of a line that is too long
        text = line.decode("utf-8", errors="replace").strip("\r\n")
        if text.strip():
            yield clean_scan(text)
