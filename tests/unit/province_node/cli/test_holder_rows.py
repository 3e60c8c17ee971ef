"""Rows of holders: strict, and silent about their content."""

from __future__ import annotations

import io

import pytest

from healthcode.errors import InvalidInputError
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.cli.holder_rows import IssueDefaults, read_items

NUMBER = "11010519491231002X"


def items(text: str | bytes, defaults: IssueDefaults | None = None) -> list[province_issuer_pb2.IssueItem]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_items(io.BytesIO(data), defaults or IssueDefaults()))


def test_a_row_takes_what_it_leaves_out_from_the_options():
    """Level, presentation and the rest come from the command, unless the row says them."""
    first, second = items(
        f'{{"number": "{NUMBER}", "name": "张小三"}}\n\n'
        f'{{"number": "{NUMBER}", "level": "RED", "reason": "A8", "legal_instrument": "7", '
        '"level_until": "2026-12-01T00:00:00Z", "presentation": "PAPER", "validity_seconds": 60}',
        IssueDefaults(level="YELLOW", reason="B1"),
    )
    assert (first.level, first.reason) == (verdict_pb2.LEVEL_YELLOW, province_issuer_pb2.LEVEL_REASON_B1)
    assert first.document.document_type == "10"
    assert (second.level, second.reason) == (verdict_pb2.LEVEL_RED, province_issuer_pb2.LEVEL_REASON_A8)
    assert second.presentation == verdict_pb2.PRESENTATION_PAPER
    assert (second.validity.seconds, second.level_until.seconds) == (60, 1_796_083_200)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (f'{{"number": "{NUMBER}", "nmae": "x"}}', "line 1: nmae"),
        (f'{{"number": {NUMBER[:17]}}}', "line 1: number"),
        ('{"name": "x"}', "line 1: number"),
        (f'{{"number": "{NUMBER}", "level": "BLUE"}}', "line 1: level"),
        (f'{{"number": "{NUMBER}", "level_until": "tomorrow"}}', "line 1: level_until"),
        ("not json", "line 1 is not JSON"),
        (b"\xff\xfe", "line 1 is not JSON"),
        ("{" + " " * 20_000, "line 1 is longer"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_field_never_by_content(row, says):
    """An operator finds the place; the id number stays out of the message."""
    with pytest.raises(InvalidInputError, match=says) as refused:
        items(row)
    assert NUMBER[:17] not in refused.value.message


def test_a_document_that_nobody_has_is_named_by_its_line():
    """Where the whole file counts or none of it, the line is found here and not by the node."""
    rows = f'{{"number": "{NUMBER}"}}\n{{"number": "110105194912310021"}}\n'.encode()
    assert len(items(rows)) == 2
    with pytest.raises(InvalidInputError, match=r"^line 2: number: ") as caught:
        list(read_items(io.BytesIO(rows), IssueDefaults(), check_documents=True))
    assert "1101051949" not in caught.value.message
