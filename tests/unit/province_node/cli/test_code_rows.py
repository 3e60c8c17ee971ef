"""What `revoke` takes from standard input, and where `issue --out` writes codes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from healthcode.errors import InvalidInputError
from province_node.cli.code_rows import RowWriter, code_texts


def test_more_codes_than_a_file_may_hold_are_refused_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MiB and no more are read of a pipe, before anything is sent; what to do is said."""
    given = io.BytesIO((b"CNHT1:" + b"A" * 4000 + b"\n") * 10_000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    with pytest.raises(InvalidInputError, match="split -l"):
        list(code_texts("-"))
    assert given.tell() < 33 << 20


def test_codes_go_into_a_file_of_our_own(tmp_path: Path) -> None:
    """A file that was there before is replaced, and nobody else may read it, whatever its mode was."""
    path = tmp_path / "codes.ndjson"
    path.write_text("what was there before, and is longer")
    path.chmod(0o666)
    with RowWriter(path) as rows:
        rows.write({"row": 1})
    assert path.read_text() == '{"row": 1}\n'
    assert path.stat().st_mode & 0o777 == 0o600


def test_codes_go_through_no_link(tmp_path: Path) -> None:
    """Somebody else's link in the place of the file would let codes overwrite another file, or be read."""
    other = tmp_path / "other"
    other.write_text("untouched")
    link = tmp_path / "codes.ndjson"
    link.symlink_to(other)
    with pytest.raises(InvalidInputError, match="cannot be written"), RowWriter(link) as rows:
        rows.write({"row": 1})
    assert other.read_text() == "untouched"
