"""officers.json: one spelling, bounded, and signed by as many keys as the authority says."""

from __future__ import annotations

import json

import pytest

from healthcode.errors import DecodeError, SignatureError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.json_files import KeyProof, ProvinceFile, decode_json_file
from province_node.officers.officers_file import (
    MAX_OFFICERS_BYTES,
    decode_officers_file,
    encode_officers_file,
    missing_officer_signatures,
    sign_officers_file,
)
from tests.unit.province_node.officers.world import HOME, LI_ROW, REALM, WANG_ROW, officers_file

GOOD = encode_officers_file(officers_file())


def test_a_file_is_read_back_as_it_was() -> None:
    """Encoding and decoding are inverse, and a further signature does not change the digest."""
    file = officers_file()
    assert decode_officers_file(GOOD) == file
    assert officers_file(signers=3).digest == file.digest


def _with(**changes: object) -> bytes:
    return json.dumps(json.loads(GOOD) | changes, sort_keys=True, separators=(",", ":")).encode()


def _rows(**changes: object) -> bytes:
    rows = json.loads(GOOD)["officers"]
    return _with(officers=[rows[0], rows[1] | changes])


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (GOOD[:-1], "json.syntax"),
        (GOOD.replace(b'"version":2', b'"version":2,"version":3'), "json.duplicate_key"),
        (b" " * (MAX_OFFICERS_BYTES + 1), "json.too_large"),
        (GOOD.replace(b",", b", "), "officers.not_canonical"),
        (_with(format="healthcode/officers/2"), "officers.field"),
        (_with(more=1), "officers.field"),
        (_with(version=0), "officers.field"),
        (_rows(roles=["MINISTER"]), "officers.field"),
        (_rows(roles=[]), "officers.field"),
        (_rows(roles=["DESK", "DESK"]), "officers.duplicate"),
        (_rows(unit=" "), "officers.field"),
        (_rows(name="li"), "officers.duplicate"),
        (_rows(spki_sha256=LI_ROW.spki_sha256.hex()), "officers.duplicate"),
        (_rows(sign_key=LI_ROW.sign_key.hex()), "officers.duplicate"),
        (_rows(sign_key="00" * 32), "officers.key"),
    ],
)
def test_hostile_bytes_are_refused_by_name(data: bytes, detail: str) -> None:
    """What is truncated, doubled, too large, spelled otherwise or unknown is no officers file."""
    with pytest.raises(DecodeError) as caught:
        decode_officers_file(data)
    assert caught.value.detail == detail


def test_only_valid_signatures_of_the_authority_count() -> None:
    """A signature of another key, over other content or twice by one key does not reach the threshold."""
    one = officers_file(signers=1)
    assert missing_officer_signatures(one) == 1
    doubled = one.model_copy(update={"signatures": one.signatures * 2})
    assert missing_officer_signatures(doubled) == 1
    stranger = PrivateKey(b"\x77" * 32)
    with pytest.raises(SignatureError):
        sign_officers_file(one, [stranger])
    forged = KeyProof(key=one.link.keys[1], signature=stranger.sign(one.content))
    assert missing_officer_signatures(one.model_copy(update={"signatures": (*one.signatures, forged)})) == 1
    moved = officers_file().model_copy(update={"officers": (WANG_ROW,)})
    assert missing_officer_signatures(moved) == 2


@pytest.mark.parametrize("officers", [{"version": 1, "sha256": "zz"}, {"version": "1"}, 7, []])
def test_a_reference_that_cannot_be_read_stops_officers_alone(officers: object) -> None:
    """province.json stays readable with an officers field of another form, and with fields of a newer writer."""
    text = json.dumps(
        {"realm": REALM, "participant": HOME, "keys": [], "officers": officers, "field_of_tomorrow": {"x": 1}}
    )
    assert decode_json_file(ProvinceFile, text.encode(), 10_000).officers is None
