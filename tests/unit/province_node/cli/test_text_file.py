"""The encoding of a file is decided once, and never line by line."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from healthcode.errors import InvalidInputError
from province_node.cli.text_file import MAX_LINE_BYTES, TextFile

UTF8_ONLY = "张小三\n".encode()
GB_ONLY = "张小三\n".encode("gb18030")
BOTH = "模模\n".encode("gb18030")
"""Valid UTF-8 as well, with another meaning: a guess for each line reads it wrongly."""
TWO_HAN = "张伟\n".encode()
"""Valid GB18030 as well, with three characters."""


def lines(data: bytes, encoding: str | None = None) -> list[str]:
    return [
        line.message if isinstance(line, InvalidInputError) else line
        for _, line in TextFile(io.BytesIO(data), encoding).lines()
    ]


def test_the_examples_are_what_they_say() -> None:
    """One line can only be UTF-8, one only GB18030, and two are both."""
    with pytest.raises(UnicodeDecodeError):
        UTF8_ONLY.decode("gb18030")
    with pytest.raises(UnicodeDecodeError):
        GB_ONLY.decode("utf-8")
    assert BOTH.decode("utf-8") != BOTH.decode("gb18030") == "模模\n"
    assert len(TWO_HAN.decode("gb18030").strip()) == 3


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (UTF8_ONLY, ["张小三"]),
        (GB_ONLY, ["张小三"]),
        (BOTH + GB_ONLY, ["模模", "张小三"]),
        (GB_ONLY + b"\r\n  \n" + BOTH, ["张小三", "模模"]),
        ("模模\n张小三".encode(), ["模模", "张小三"]),
        (TWO_HAN, ["张伟"]),
        (b"plain\r\n", ["plain"]),
        (b"\xef\xbb\xbf" + UTF8_ONLY, ["张小三"]),
        ("\ufeff张小三".encode("gb18030"), ["张小三"]),
        (b"", []),
    ],
)
def test_a_file_in_one_encoding_is_read_in_it(data: bytes, read: list[str]) -> None:
    """Strict UTF-8 first, then GB18030, with or without a byte order mark."""
    assert lines(data) == read


@pytest.mark.parametrize(
    ("data", "utf8", "gb18030"),
    [
        (b"a\n" + BOTH + UTF8_ONLY + GB_ONLY + UTF8_ONLY, 3, 4),
        (GB_ONLY + b"a\n" * 3 + UTF8_ONLY, 5, 1),
        (b"\xef\xbb\xbfa\n" + GB_ONLY, 1, 2),
        (TWO_HAN + GB_ONLY, 1, 2),
        (BOTH + GB_ONLY + b"a\n" + "古丽·买买\n".encode(), 4, 2),
    ],
)
def test_a_file_in_two_encodings_is_refused_whole(data: bytes, utf8: int, gb18030: int) -> None:
    """By the first line of each kind; no line of it is read."""
    with pytest.raises(InvalidInputError) as refused:
        TextFile(io.BytesIO(data))
    assert f"line {utf8} is UTF-8, line {gb18030} is GB18030" in refused.value.message


def test_an_encoding_that_is_said_is_used() -> None:
    """A line in another one is refused alone, as is a line that is in neither."""
    assert lines(GB_ONLY + UTF8_ONLY, "gb18030") == ["张小三", "line 2 is not GB18030"]
    assert lines(UTF8_ONLY + GB_ONLY, "UTF-8") == ["张小三", "line 2 is not UTF-8"]
    assert lines(BOTH, "gb18030") == ["模模"]
    assert lines(TWO_HAN + GB_ONLY, "gb18030") == [TWO_HAN.decode("gb18030").strip(), "张小三"]
    assert lines(UTF8_ONLY + b"\x81\n" + UTF8_ONLY) == ["张小三", "line 2 is not UTF-8", "张小三"]


def test_utf_16_is_refused_by_name() -> None:
    """What a spreadsheet calls "Unicode text"."""
    with pytest.raises(InvalidInputError, match="UTF-16"):
        TextFile(io.BytesIO("a\n".encode("utf-16")))


def test_a_long_line_is_refused_alone_and_in_bounds() -> None:
    """Its rest is skipped, also a rest that looks like a line."""
    long = b"x" * (MAX_LINE_BYTES * 3) + b"\n"
    assert lines(b"a\n" + long + b"b") == ["a", f"line 2 is longer than {MAX_LINE_BYTES} bytes", "b"]


def test_a_pipe_is_read_as_often_as_a_file(tmp_path: Path) -> None:
    """What can be read once is kept, and has the same digest as the file."""
    path = tmp_path / "lines"
    path.write_bytes(UTF8_ONLY * 2)
    reading, writing = os.pipe()
    os.write(writing, UTF8_ONLY * 2)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, path.open("rb") as stream:
        file, kept = TextFile(stream), TextFile(pipe)
        assert file.digest == kept.digest
        for each in (file, kept):
            assert len(list(each.lines())) == len(list(each.lines())) == 2
    assert file.where(3) == f"{path}: line 3"


def test_a_large_file_tells_how_far_it_is_read_and_takes_little_memory() -> None:
    """One line at a time is in memory; progress is in bytes, and rises."""
    line = b'{"record": "r"}' + b" " * 85 + b"\n"
    stream = io.BytesIO(line * 50_000)
    told: list[int] = []
    tracemalloc.start()
    try:
        file = TextFile(stream, on_bytes=told.append)
        assert sum(1 for _ in file.lines()) == 50_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert told == sorted(told)
    assert len(told) > 40
    assert 0.9 < told[-1] / (len(line) * 50_000) <= 1


def test_a_file_that_changes_is_not_read_on(tmp_path: Path) -> None:
    """What was checked would not be what is sent."""
    path = tmp_path / "lines"
    path.write_bytes(b"a\nb\n")
    with path.open("rb") as stream:
        file = TextFile(stream)
        path.write_bytes(b"a\nb\nc\n")
        with pytest.raises(InvalidInputError, match="changes while it is read"):
            list(file.lines())
