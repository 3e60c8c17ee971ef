"""Documents from outside: strict, bounded, and open to newer writers."""

import json

import pytest

from healthcode.errors import DecodeError
from healthcode.signing.purpose import KeyPurpose
from healthcode.strict_json import load_json
from healthcode.trust.format.json_files import (
    ParticipantsFile,
    ProvinceFile,
    decode_json_file,
    encode_json_file,
)
from tests.simulator.realm import SimulatedRealm

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'{"a":1,"a":2}', "json.duplicate_key"),
        (b'{"b":{"a":1,"a":1}}', "json.duplicate_key"),
        (b'{"a":NaN}', "json.number"),
        (b'{"a":-Infinity}', "json.number"),
        (b'{"a":' + b"9" * 5000 + b"}", "json.number"),
        (b'{"a":"\xff"}', "json.encoding"),
        (b"{", "json.syntax"),
        (b"", "json.syntax"),
        (b"{} {}", "json.syntax"),
        (b"[" * 17 + b"]" * 17, "json.depth"),
        (DEEP, "json.depth"),
        (b" " * 1_000_001, "json.too_large"),
    ],
)
def test_json_that_is_refused(data: bytes, detail: str) -> None:
    """Each rule has its own word."""
    with pytest.raises(DecodeError) as caught:
        load_json(data, 1_000_000)
    assert caught.value.detail == detail


def test_documents_survive_writing_and_reading() -> None:
    """Keys are bytes and times seconds in memory; hex and RFC 3339 in the file."""
    realm = SimulatedRealm(("31",))
    document = realm.provinces["31"].document
    data = encode_json_file(document)
    assert decode_json_file(ProvinceFile, data, 65_536) == document
    first = json.loads(data)["keys"][0]
    assert first["not_before"] == "2026-11-20T08:00:00Z"
    assert bytes.fromhex(first["public"]) == document.keys[0].public
    participants = realm.participants_document()
    assert decode_json_file(ParticipantsFile, encode_json_file(participants), 65_536) == participants


def test_newer_fields_keys_and_purposes_are_passed_over() -> None:
    """A second algorithm may join without breaking those who lack it."""
    realm = SimulatedRealm(("31",))
    raw = json.loads(encode_json_file(realm.provinces["31"].document))
    raw["hologram"] = True
    raw["keys"][0]["colour"] = "blue"
    raw["keys"].append({"alg": "SM2", "purpose": "LIVE", "public": "04ab"})
    raw["keys"].append({**raw["keys"][0], "purpose": "TELEPATHY"})
    raw["keys"].append({**raw["keys"][0], "purpose": "ROOT"})
    raw["keys"].append({**raw["keys"][0], "purpose": ["LIVE"]})
    document = decode_json_file(ProvinceFile, json.dumps(raw).encode(), 65_536)
    assert [key.purpose for key in document.keys] == [
        KeyPurpose.LIVE,
        KeyPurpose.PAPER,
        KeyPurpose.ANSWER,
        KeyPurpose.QUESTION,
    ]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("format",), "healthcode/province/2", "format"),
        (("participant",), "3", "participant"),
        (("participant",), 31, "participant"),
        (("keys", 0, "public"), "AB" * 32, "keys.0.public"),
        (("keys", 0, "public"), "ab" * 31, "keys.0.public"),
        (("keys", 0, "public"), 7, "keys.0.public"),
        (("keys", 0, "not_before"), 1_795_248_000, "keys.0.not_before"),
        (("keys", 0, "not_before"), "2026-11-20T08:00:00", "keys.0.not_before"),
        (("keys", 0, "not_before"), "0001-01-01T00:00:00+23:59", "keys.0.not_before"),
        (("keys", 0, "not_before"), "1969-12-31T23:59:59Z", "keys.0.not_before"),
        (("keys", 0, "possession"), None, "keys.0.possession"),
        (("keys",), "none", "keys"),
        (("keys",), [7], "keys.0"),
        (("endpoints", "federation"), "no port", "endpoints.federation"),
        (("tls_ca",), ["-----BEGIN PRIVATE KEY-----"], "tls_ca.0"),
    ],
)
def test_a_wrong_field_is_named(path: tuple[str | int, ...], value: object, field: str) -> None:
    """No coercion; the error says which field."""
    raw = json.loads(encode_json_file(SimulatedRealm(("31",)).provinces["31"].document))
    inner = raw
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(DecodeError) as caught:
        decode_json_file(ProvinceFile, json.dumps(raw).encode(), 65_536)
    assert caught.value.detail == "document.field"
    assert f"{field}:" in caught.value.message
