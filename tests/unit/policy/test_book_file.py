"""`policy/national.json`, decoded strictly."""

from __future__ import annotations

from typing import Any

import pytest

from healthcode.errors import DecodeError
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from tests.unit.policy.policies import book, document, two_policies


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"skew_seconds": -1}, "document.field"),
        ({"skew_seconds": "300"}, "document.field"),
        ({"effective_from": "2026-11-21"}, "document.field"),
        ({"effective_from": "1969-12-31T23:59:59Z"}, "document.field"),
        ({"effective_from": "9999-12-31T23:59:59-01:00"}, "document.field"),
        ({"effective_from": 5}, "document.field"),
        ({"max_validity_seconds": {"LIVE": 1}}, "policy.validity"),
        ({"max_validity_seconds": {"LIVE": 0, "PAPER": 1}}, "policy.validity"),
        ({"freshness": {"default": {"fresh_seconds": 9, "aging_seconds": 8}}}, "policy.freshness"),
        ({"area_default": "NICE"}, "policy.area_default"),
        ({"places": []}, "document.field"),
        ({"places": [{"id": "A", "when": {"level": ["RED"]}, "decision": "PASS"}]}, "policy.rule"),
        ({"places": [{"id": "A", "decision": "REFUSE"}]}, "policy.rule"),
        ({"places": [{"id": "A", "decision": "PASS"}, {"id": "A", "decision": "PASS"}]}, "policy.rule"),
    ],
)
def test_a_broken_policy_is_refused_by_name(change: dict[str, Any], detail: str) -> None:
    """Each rule of the document has its own word."""
    with pytest.raises(DecodeError) as caught:
        book(**change)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'{"format":"a","format":"b"}', "json.duplicate_key"),
        (b'{"format":NaN}', "json.number"),
        (b'{"format":' + b"9" * 30 + b"}", "json.number"),
        (b"\xff", "json.encoding"),
        (b'{"format":"\\ud800"}', "json.encoding"),
        (b"{", "json.syntax"),
        (b"[" * 100_000, "json.depth"),
        (b" " * (2**20 + 1), "json.too_large"),
        (b"[]", "document.field"),
        (b'{"format":"healthcode/policy/9999"}', "policy.format_newer"),
        (b'{"format":"healthcode/policy/9999999"}', "policy.format"),
        (default_policy_bytes().replace(b"healthcode/policy/1", b"healthcode/policy/01"), "policy.format"),
        (default_policy_bytes().replace(b"healthcode/policy/1", b"healthcode/policy/1 "), "policy.format"),
        (default_policy_bytes().replace(b"healthcode/policy/1", b"healthcode/areas/1"), "policy.format"),
    ],
)
def test_a_hostile_document_is_refused_by_name(data: bytes, detail: str) -> None:
    """What is no strict JSON never reaches the rules."""
    with pytest.raises(DecodeError) as caught:
        decode_policy(data)
    assert caught.value.detail == detail


def test_two_policies_cannot_begin_at_once_nor_share_a_version() -> None:
    """Which one rules must never be in doubt."""
    written = two_policies(document()["policies"][0]["effective_from"])
    with pytest.raises(DecodeError, match=r"policy\.effective_from"):
        book(written)
    with pytest.raises(DecodeError, match=r"policy\.version"):
        book(two_policies("2026-12-01T00:00:00Z", version="2026.1"))
