"""docs/wire-format.md is true: its example decodes, and it has every word a decoder refuses with."""

import re
from pathlib import Path

import pytest

from healthcode.identity.document import decode_document
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.wire.claims import CodeClaims, Level, Presentation, encode_claims
from healthcode.wire.code import decode_code, sign_code
from healthcode.wire.cose import Context, verify_sign1
from healthcode.wire.holder_tag import HolderMatch, match_holder

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "wire-format.md").read_text("utf-8")
EXAMPLE = re.search(r"### 3\.4 An example\n(.*?)\n### ", DOCUMENT, re.DOTALL)[1]
KEY = PrivateKey(bytes(range(32)))


def example(name):
    return re.sub(r"\s", "", re.search(rf"^{name} +((?:.|\n +)+)$", EXAMPLE, re.MULTILINE)[1])


def test_the_example_is_what_this_software_writes():
    """The text of the document decodes to its payload, verifies, and is made again byte by byte."""
    text = re.search(r"^CNHT1:.*$", EXAMPLE, re.MULTILINE)[0]
    decoded = decode_code(text, "test-example")
    assert decoded.claims == CodeClaims(
        issuer="31",
        issued_at=1_800_000_000,
        expires_at=1_800_003_600,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=123_456_789,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=bytes.fromhex("bbc1"),
        salt=bytes(range(8)),
        name="张*三",
    )
    assert len(text) == 215
    assert sign_code(decoded.claims, KEY, "test-example") == text
    assert verify_sign1(decoded.sign1, KEY.public, Context.CODE, "test-example")
    assert match_holder(decoded.claims, decode_document("10", "11010519491231002X")) is HolderMatch.MATCH
    payload = encode_claims(decoded.claims).hex()
    assert example("payload") == payload
    assert example("public key") == KEY.public.hex()
    assert example("kid") == kid(KEY.public).hex()
    assert example("signature") == decoded.sign1.signature.hex()
    cose = example("COSE").replace("payload", payload).replace("signature", example("signature"))
    assert cose.replace("‖", "") == decoded.cose.hex()
    signed = bytes.fromhex(example("signed").replace("payload", payload).replace("‖", ""))
    assert KEY.sign(signed) == decoded.sign1.signature


def details():
    wire, audit = (ROOT / "healthcode" / folder for folder in ("wire", "audit"))
    for path in (*sorted(wire.glob("*.py")), audit / "consistency.py"):
        text = path.read_text("utf-8")
        for kind, word in re.findall(r'DecodeError\(\s*f?"(\{kind\}|[a-z0-9]+)\.([a-z_]+)"', text):
            for first in ("question", "answer") if kind == "{kind}" else (kind,):
                yield f"{first}.{word}"


@pytest.mark.parametrize("detail", sorted(set(details())))
def test_every_word_of_refusal_is_documented(detail):
    """A second implementation finds each `detail` in the document."""
    assert f"`{detail}`" in DOCUMENT


def test_no_word_is_documented_that_is_never_said():
    """What the document lists, a decoder says."""
    listed = re.findall(r"`((?:code|base45|cbor|cose|claims|question|answer|growth)\.[a-z_0-9]+)`", DOCUMENT)
    assert set(listed) == set(details())
