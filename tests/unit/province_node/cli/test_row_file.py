"""Rows as JSON and as CSV: strict, by line, and silent about values."""

from __future__ import annotations

import io
from typing import Any

import pytest

from healthcode.errors import InvalidInputError
from province_node.cli.row_file import read_objects
from province_node.cli.text_file import TextFile


class Named(io.BytesIO):
    """Bytes that have a file's name."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def read(text: str, name: str = "rows.ndjson", encoding: str = "utf-8") -> list[tuple[int, Any]]:
    file = TextFile(Named(text.encode(encoding), name))
    return [
        (number, row.message if isinstance(row, InvalidInputError) else row)
        for number, row in read_objects(file, ["number", "name"])
    ]


def test_a_bad_line_is_refused_alone() -> None:
    """By its number; a key twice is refused, since two readers would take different values."""
    rows = read('{"number": "secret"\n\n{"number": "1", "number": "secret"}\n["secret"]\n{"number": "1"}\n')
    assert rows == [
        (1, "rows.ndjson: line 1 is not JSON (json.syntax)"),
        (3, "rows.ndjson: line 3 has a key twice: which value counts cannot be told"),
        (4, "rows.ndjson: line 4 is not a JSON object"),
        (5, {"number": "1"}),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_has_its_columns_in_the_first_line(encoding: str) -> None:
    """In both encodings, as spreadsheets write it; an empty cell is left out."""
    rows = read(' name,number\r\n张小三,1\r\n"李,四", 2 \r\n,3\r\n', "rows.CSV", encoding)
    assert rows == [
        (2, {"name": "张小三", "number": "1"}),
        (3, {"name": "李,四", "number": "2"}),
        (4, {"number": "3"}),
    ]


def test_a_bad_line_of_csv_is_refused_alone() -> None:
    """One quotation mark too many spoils its line, not the rest of the file."""
    rows = read('number,name\n1,"secret\n2,x\n3,x,secret\n', "rows.csv")
    assert rows == [
        (2, "rows.csv: line 2 is not CSV: look for a quotation mark too many"),
        (3, {"number": "2", "name": "x"}),
        (4, "rows.csv: line 4 has 3 cells, and the first line names 2 columns"),
    ]


@pytest.mark.parametrize("header", ["number,nmae", "number,number", "11010519491231002X,x", '"'])
def test_a_wrong_header_refuses_the_file(header: str) -> None:
    """An unknown column, one twice, or a row in the place of the names."""
    with pytest.raises(InvalidInputError, match="line 1 must name the columns") as refused:
        read(f"{header}\n1,x\n", "rows.csv")
    assert "1101" not in refused.value.message
