"""Lines of evidence as items: words and times, and refusals that never have a value."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from healthcode.v1 import province_issuer_pb2 as pb
from province_node.cli.evidence_rows import EvidenceRow, Problem, read_rows
from province_node.cli.text_file import TextFile
from tests.world.people import VALID_IDS

ROW = {"record": "r-1", "number": VALID_IDS[0], "kind": "TEST"}


class Named(io.BytesIO):
    """Bytes that have a file's name."""

    name = "rows.ndjson"


def read(*rows: Any, end: str = "\n") -> list[EvidenceRow | Problem]:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + end
    return list(read_rows(TextFile(Named(text.encode()))))


def test_a_row_has_every_field_of_evidence() -> None:
    """A field that evidence gains needs its column."""
    columns = {
        "record": "r-1",
        "revision": 2,
        "document_type": "10",
        "number": VALID_IDS[0],
        "kind": "test",
        "finding": "negative",
        "method": "NUCLEIC",
        "observed_at": "2026-11-21T16:00:00+08:00",
        "area_code": "310115",
        "stay_from": "2026-11-21T08:00:01Z",
        "stay_to": "2026-11-21T08:00:02Z",
        "until": "2026-11-21T08:00:03Z",
        "instrument": "沪卫〔2026〕1号",
        "port_of_entry": "PVG",
        "laboratory": "L",
        "product": "P",
        "dose": 2,
        "withdrawn": True,
    }
    (row,) = read(columns)
    assert isinstance(row, EvidenceRow)
    assert {field.name for field, _ in row.item.ListFields()} == {
        field.name for field in pb.Evidence.DESCRIPTOR.fields
    }
    assert (row.item.kind, row.item.finding) == (pb.EVIDENCE_KIND_TEST, pb.FINDING_NEGATIVE)
    assert row.item.observed_at.seconds == 1_795_248_000
    assert VALID_IDS[0] not in repr(row)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "TESTS"}, "kind"),
        ({"finding": 1}, "finding"),
        ({"observed_at": "2026-13-01T00:00:00Z"}, "observed_at"),
        ({"observed_at": "2026-02-29T00:00:00Z"}, "observed_at"),
        ({"observed_at": "2026-11-21T24:00:00Z"}, "observed_at"),
        ({"observed_at": "21.11.2026"}, "observed_at"),
        ({"revision": 0}, "revision"),
        ({"revision": "1"}, "revision"),
        ({"dose": -1}, "dose"),
        ({"withdrawn": "secret"}, "withdrawn"),
        ({"record": None}, "record"),
        ({"secret": "secret"}, ""),
    ],
)
def test_a_refusal_names_the_field_and_no_value(change: dict[str, Any], field: str) -> None:
    """The lines around it are read."""
    first, bad, last = read(ROW, {**ROW, **change}, ROW)
    assert isinstance(first, EvidenceRow)
    assert isinstance(bad, Problem)
    assert isinstance(last, EvidenceRow)
    assert (bad.line, bad.field, bad.reason) == (2, field, "EVIDENCE_INVALID")
    assert bad.message
    assert "secret" not in bad.message
    assert "rows.ndjson" not in bad.message


def test_a_refusal_says_what_the_field_may_have() -> None:
    """The findings of this kind alone; a text that JSON gives as a number; a time without a zone."""
    problems = read(
        {**ROW, "kind": "CONTACT", "finding": "NEAR"},
        {**ROW, "kind": "VACCINATION", "finding": "POSITIVE?"},
        {**ROW, "number": 1},
        {**ROW, "observed_at": "2026-11-21 08:00:00"},
        {"record": "r"},
    )
    assert [each.message for each in problems if isinstance(each, Problem)] == [
        "must be one of CLOSE, SECOND, OVERLAP, CONVEYANCE",
        "must be empty: VACCINATION has no finding",
        "must be a text: write it in quotation marks",
        "is no day and time with a zone: write one like 2026-11-21T08:00:00+08:00",
        "is missing",
    ]


def test_an_item_that_is_too_large_is_refused_alone() -> None:
    """In GB18030 a line is shorter than its item, which would end the stream."""
    rows = [ROW, {**ROW, "instrument": "沪" * 8_000}, ROW]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    first, bad, last = read_rows(TextFile(Named(text.encode("gb18030"))))
    assert isinstance(first, EvidenceRow)
    assert isinstance(bad, Problem)
    assert "too large" in bad.message
    assert isinstance(last, EvidenceRow)


def test_a_last_line_that_was_cut_says_so() -> None:
    """Whole, it needs no line end."""
    assert isinstance(read(ROW, end="")[0], EvidenceRow)
    (bad,) = read(json.dumps(ROW)[:-5], end="")
    assert isinstance(bad, Problem)
    assert "cut" in bad.message


def test_a_character_that_was_cut_does_not_mix_encodings() -> None:
    """A UTF-8 file that ends within a character is still a UTF-8 file."""
    text = json.dumps({**ROW, "laboratory": "上海市"}, ensure_ascii=False).encode()
    cut = text[: text.index("海".encode()) + 2]
    first, last = read_rows(TextFile(Named(text + b"\n" + cut)))
    assert isinstance(first, EvidenceRow)
    assert first.item.laboratory == "上海市"
    assert isinstance(last, Problem)


@pytest.mark.parametrize("word", ["TE\u017fT", "\uff34EST", "TEST "])
def test_words_are_exact(word: str) -> None:
    """Another script's letters that become ours in capitals are another word."""
    (found,) = read({"record": "r", "number": VALID_IDS[0], "kind": word})
    assert isinstance(found, Problem)
    assert (found.field, "TEST" in found.message) == ("kind", True)
