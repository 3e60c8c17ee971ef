"""The example holders: the same everywhere, valid, and nobody's."""

from __future__ import annotations

import json

from examples import holders
from healthcode.identity.document import DocumentType, decode_document

LINES = [json.loads(line) for line in holders.PATH.read_text(encoding="utf-8").splitlines()]


def test_the_file_is_what_the_script_makes() -> None:
    """The committed file and the script never drift apart."""
    assert holders.PATH.read_text(encoding="utf-8") == holders.text()


def test_every_number_is_valid_and_different() -> None:
    """All 1,000 pass the checks that a real card must pass."""
    numbers = {decode_document(line["document_type"], line["number"]).number for line in LINES}
    assert len(LINES) == len(numbers) == 1_000
    assert {line["document_type"] for line in LINES} == {DocumentType.RESIDENT_ID}


def test_no_number_can_be_a_real_persons() -> None:
    """Every area is of 3199NN, which GB/T 2260 has not allotted."""
    assert {line["number"][:4] for line in LINES} == {"3199"}
