"""Rows of holders: strict, and silent about their content."""

from __future__ import annotations

import io

import pytest

from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.document import resident_id_check_digit
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.cli.holder_rows import HolderRow, IssueDefaults, check_rows, read_holders, read_rows
from province_node.cli.text_file import TextFile
from tests.world.people import VALID_IDS

NUMBER = "11010519491231002X"
NOW = parse_rfc3339("2026-11-30T15:59:59Z")


def opened(text: str | bytes, name: str = "") -> TextFile:
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    if name:
        stream.name = name  # type: ignore[attr-defined]  # as a file has it
    return TextFile(stream)


def items(
    text: str | bytes, defaults: IssueDefaults | None = None, name: str = ""
) -> list[province_issuer_pb2.IssueItem]:
    return [row.item for row in read_holders(opened(text, name), defaults or IssueDefaults())]


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


def test_a_row_of_csv_says_the_same():
    """Cells are texts, and become numbers and booleans as the fields need them."""
    text = f"number,name,validity_seconds,shown_by_relative\n{NUMBER},张小三,60,true\n{NUMBER},,,\n"
    first, second = items(text, name="holders.csv")
    assert (first.name, first.validity.seconds, first.shown_by_relative) == ("张小三", 60, True)
    assert (second.name, second.HasField("validity"), second.shown_by_relative) == ("", False, False)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (f'{{"number": "{NUMBER}", "nmae": "x"}}', "line 1: nmae"),
        (f'{{"number": {NUMBER[:17]}}}', "line 1: number"),
        ('{"name": "x"}', "line 1: number"),
        (f'{{"number": "{NUMBER}", "level": "BLUE"}}', "line 1: level"),
        (f'{{"number": "{NUMBER}", "level_until": "tomorrow"}}', "line 1: level_until"),
        (f'{{"number": "1", "number": "{NUMBER}"}}', "line 1 has a key twice"),
        ("not json", "line 1 is not JSON"),
        (b"\xff\xff", "line 1 is not UTF-8"),
        ("{" + " " * 20_000, "line 1 is longer"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_field_never_by_content(row, says):
    """An operator finds the place; the id number stays out of the message."""
    with pytest.raises(InvalidInputError, match=says) as refused:
        items(row)
    assert NUMBER[:17] not in refused.value.message


@pytest.mark.parametrize("seconds", ["0", "-1", "315576000001", str(2**63), "1" + "0" * 24, "9" * 5000])
@pytest.mark.parametrize("name", ["", "holders.csv"])
def test_a_number_that_nothing_can_hold_spoils_its_row_alone(name, seconds):
    """The row is refused by line, and those around it are read."""
    if name:
        text = f"number,validity_seconds\n{NUMBER},315576000000\n{NUMBER},{seconds}\n{NUMBER},60\n"
    else:
        text = "".join(
            f'{{"number": "{NUMBER}", "validity_seconds": {number}}}\n'
            for number in ("315576000000", seconds, "60")
        )
    first, refused, last = read_rows(opened(text, name), IssueDefaults(), now=NOW)
    assert isinstance(first, HolderRow)
    assert isinstance(last, HolderRow)
    assert isinstance(refused, InvalidInputError)
    assert refused.message.startswith(f"{name}: line 3: validity_seconds" if name else "line 2")
    assert seconds not in refused.message.replace("315576000000", "") or len(seconds) < 3


def test_a_document_that_nobody_has_is_named_by_its_line():
    """The line is found here and not by the node, with the reason that the node would give."""
    rows = f'{{"number": "{NUMBER}"}}\n{{"number": "110105194912310021"}}\n'
    with pytest.raises(InvalidInputError, match=r"^line 2: number: ") as caught:
        items(rows)
    assert caught.value.reason is Reason.DOCUMENT_INVALID
    assert "1101051949" not in caught.value.message


def test_a_holder_born_in_the_future_is_named_by_line():
    """By China's date; to revoke, such a row is taken, since an older release issued to it."""
    first17 = "11010520261201002"
    row = f'{{"number": "{first17}{resident_id_check_digit(first17)}"}}\n'
    (refused,) = read_rows(opened(row), IssueDefaults(), now=NOW)
    assert isinstance(refused, InvalidInputError)
    assert refused.message.startswith("line 1: number: a birth date")
    assert refused.reason is Reason.DOCUMENT_INVALID
    assert first17 not in refused.message
    (born,) = read_rows(opened(row), IssueDefaults(), now=NOW + 1)
    assert isinstance(born, HolderRow)
    assert len(items(row)) == 1


@pytest.mark.parametrize(
    "spelling",
    [
        VALID_IDS[0].lower(),
        f" {VALID_IDS[0][:6]} {VALID_IDS[0][6:]}\u3000",
        "１１０１０５１９４９１２３１００２Ｘ",
    ],
)
def test_a_holder_twice_is_found_in_any_spelling(spelling):
    """Each of the lines names both, and never the number; another type of document is another holder."""
    text = "".join(
        f'{{"number": "{number}", "document_type": "{kind}"}}\n'
        for number, kind in (
            (VALID_IDS[0], "10"),
            (VALID_IDS[1], "10"),
            (spelling, "１０"),
            (VALID_IDS[0], "99"),
            ("bad", "10"),
            ("bad", "10"),
        )
    )
    checked = check_rows(opened(text), IssueDefaults(), now=NOW)
    assert checked.rows == 6
    assert {line: error.message for line, error in checked.repeated.items()} == {
        line: f"line {line}: the same holder is in lines 1, 3: leave one of them" for line in (1, 3)
    }


def test_a_holder_who_is_everywhere_is_named_shortly():
    """A file of one holder gives no message of a thousand lines."""
    checked = check_rows(opened(f'{{"number": "{NUMBER}"}}\n' * 1000), IssueDefaults(), now=NOW)
    assert len(checked.repeated) == 1000
    assert "lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 990 more" in checked.repeated[1000].message
