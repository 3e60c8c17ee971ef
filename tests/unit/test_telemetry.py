"""Logs tell what happened and never whom it happened to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from healthcode.errors import SignatureError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.telemetry import (
    LogBudget,
    configure_logging,
    get_logger,
    redact,
)
from healthcode.trust.format.metadata import sign_metadata, verify_threshold
from healthcode.trust.format.new_metadata import new_areas_metadata, new_targets

CODE = "CNHC1:6BFOXN*TS0BI$ZD-PHBS18U2/BR0 A%:3.T9"
RESIDENT_ID = "11010519491231002X"


@pytest.fixture
def log() -> Iterator[StringIO]:
    stream = StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("unit", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def events(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_line_is_json_with_service_and_component(log: StringIO) -> None:
    """One event, one line."""
    get_logger("issue").info("codes_issued", count=3, grpc_code="OK")
    (event,) = events(log)
    assert {
        "event": "codes_issued",
        "count": 3,
        "service": "unit",
        "component": "issue",
    }.items() <= event.items()
    assert event["grpc_code"] == "OK"
    assert event["level"] == "info"


@pytest.mark.parametrize(
    "fields",
    [
        {"code": CODE},
        {"why": f"could not read {CODE}"},
        {"why": f"holder {RESIDENT_ID} unknown"},
        {"why": f"{RESIDENT_ID.lower()}"},
        {"number": RESIDENT_ID},
        {"full_name": "张小三"},
        {"name": "张小三"},
        {"passphrase": "correct horse"},
        {"items": [{"document": {"number": RESIDENT_ID}, "text": CODE}]},
        {"private_key": b"\x01\x02"},
        {"raw": b"correct horse"},
        {"pem": "-----BEGIN PRIVATE KEY-----\nMIGHcorrect horse\n-----END PRIVATE KEY-----"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_may_not_be_logged_is_masked(log: StringIO, fields: dict[str, Any]) -> None:
    """By key and by pattern, at any depth."""
    get_logger("unit").warning("event", **fields)
    line = log.getvalue()
    for secret in (CODE, CODE[6:], RESIDENT_ID, RESIDENT_ID.lower(), "张小三", "correct horse", "MIGH"):
        assert secret not in line
    assert len(events(log)) == 1


def test_an_exceptions_text_is_masked_too(log: StringIO) -> None:
    """Tracebacks pass the same net, from our loggers and from others'."""
    try:
        int(f"bad code {CODE} of {RESIDENT_ID}")
    except ValueError:
        get_logger("unit").exception("event")
        logging.getLogger("some.library").exception("failed on %s", CODE)
    text = log.getvalue()
    assert CODE not in text
    assert RESIDENT_ID not in text
    assert "Traceback" in text
    assert all("service" in event for event in events(log))


@pytest.mark.parametrize("text", ["a" * 64, "0123456789abcdef" * 4, "participant 31", "20261121080000123"])
def test_digests_and_plain_words_stay(text: str) -> None:
    """A SHA-256 in hex is no resident id."""
    assert redact(text) == text


def test_debug_is_off_unless_asked(log: StringIO) -> None:
    """The level is held."""
    get_logger("unit").debug("chatter")
    assert log.getvalue() == ""


def test_a_role_of_m_of_n_fills_no_log(log: StringIO) -> None:
    """Verifying a threshold tells nothing of the keys that did not sign, nor of a signature that fails."""
    key, other = (PrivateKey(bytes([number]) * 32) for number in (1, 2))
    areas = new_areas_metadata(version=1, files={}, now=0)
    sign_metadata(areas, key)
    targets = new_targets(version=1, files={}, area_keys=[key.public, other.public], now=0)
    verify_threshold(targets.signed, "areas", areas)
    areas.signed.version = 2
    with pytest.raises(SignatureError):
        verify_threshold(targets.signed, "areas", areas)
    assert log.getvalue() == ""


def test_a_flood_becomes_a_few_lines() -> None:
    """The first few of a kind, each kind for itself, and an unbounded number of kinds is not kept."""
    budget = LogBudget(burst=3, period_seconds=1000, max_kinds=4)
    assert [budget.take("a") for _ in range(5)] == [0, 0, 0, None, None]
    assert budget.take("b") == 0
    taken = [budget.take(f"kind {number}") for number in range(1000)]
    assert sum(count is not None for count in taken) <= 3 * 4


def test_a_flood_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next line after the pause says how many were left out."""
    now = 100.0
    monkeypatch.setattr("healthcode.telemetry.time.monotonic", lambda: now)
    budget = LogBudget(burst=1, period_seconds=10)
    assert [budget.take("a") for _ in range(4)] == [0, None, None, None]
    now += 11
    assert budget.take("a") == 3
