"""What `revoke` takes from standard input."""

from __future__ import annotations

import io
import sys

import pytest

from healthcode.errors import InvalidInputError
from province_node.cli.code_rows import code_texts


def test_more_codes_than_a_file_may_hold_are_refused_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MiB and no more are read of a pipe, before anything is sent; what to do is said."""
    given = io.BytesIO((b"CNHT1:" + b"A" * 4000 + b"\n") * 10_000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    with pytest.raises(InvalidInputError, match="split -l"):
        list(code_texts("-"))
    assert given.tell() < 33 << 20
