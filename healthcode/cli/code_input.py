"""What a command is given to check: a code's text, a picture of one, or lines on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from healthcode.cli.picture import is_picture_name, read_picture

__all__ = ["read_codes"]

MAX_LINE_CHARACTERS = 8192  # longer than any code; what is cut off is MALFORMED all the same


def read_codes(argument: str) -> Iterator[str]:
    """The texts that `argument` stands for, as they come.

    `-` reads standard input, a code a line, empty lines left out. The name of a
    picture gives the QR codes in it; so does whatever else lies there. Anything else is a code itself: also garbage,
    for which a verdict is the right answer. Raises InvalidInputError for a picture
    that is missing or shows no code.
    """
    if argument == "-":
        yield from _lines()
    elif is_picture_name(argument) or _is_there(argument):
        yield from read_picture(Path(argument))
    else:
        yield argument.strip("\r\n")


def _is_there(argument: str) -> bool:
    try:
        return Path(argument).exists()
    except (OSError, ValueError):  # a text that no file system takes for a name
        return False


def _lines() -> Iterator[str]:
    # bytes that are no UTF-8 become characters that no code has
    stream = sys.stdin.buffer
    while line := stream.readline(MAX_LINE_CHARACTERS):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE_CHARACTERS)):
            pass  # the end of a line that is too long belongs to it
        text = line.decode("utf-8", errors="replace").strip("\r\n")
        if text.strip():
            yield text
