"""Hostile certificates: one door, one error, whatever the bytes are."""

from __future__ import annotations

import base64
import contextlib
import textwrap
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from healthcode.errors import DecodeError, HealthcodeError, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.x509 import decode_certificates, is_signed_by
from healthcode.rpc.mtls.certificate import (
    decode_leaf,
    encode_pool,
    is_issued_by,
    is_taken_by_tls,
    public_key_of,
)
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.forwarded import HEADER, forwarded_leaf
from healthcode.trust.verify.tls_ca import decode_tls_ca, select_tls_cas, split_pem
from tests.world.clock import NOW

CA = make_ca("a CA", days=30, now=NOW)
LEAF = issue_leaf(CA, PeerId("test-realm", PeerKind.PROVINCE, "31"), days=10, now=NOW)
OTHER = make_ca("another CA", days=30, now=NOW).certificate_pem.decode()
DER = [
    x509.load_pem_x509_certificate(each.certificate_pem).public_bytes(serialization.Encoding.DER)
    for each in (CA, LEAF)
]


def as_pem(der: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def uses(pem: str) -> None:
    """Everything that ours does with a stranger's certificate."""
    try:
        for each in decode_certificates(pem):
            is_signed_by(each, decode_certificates(CA.certificate_pem)[0])
            is_signed_by(decode_certificates(LEAF.certificate_pem)[0], each)
    except DecodeError:
        assert split_pem(pem) == ()
        assert encode_pool([pem]) == b""
    try:
        decode_tls_ca(pem)
    except HealthcodeError as error:
        assert isinstance(error, DecodeError)  # noqa: PT017  it is no other of ours
    kept, _ = select_tls_cas({"31": [pem], "44": [OTHER]})
    assert kept["44"], "a stranger's entry must not take another's place"
    is_issued_by(pem.encode(), (CA.certificate_pem.decode(), pem))
    # in a proxy's header, and as a proxy's own
    for leaf in (pem.encode(), LEAF.certificate_pem):
        is_taken_by_tls(leaf, (CA.certificate_pem.decode(), pem), NOW)
        public_key_of(leaf)
    for judge in (lambda: forwarded_leaf([(HEADER, quote(pem))]), lambda: decode_leaf(pem.encode())):
        with contextlib.suppress(UnauthenticatedError):
            judge()


@st.composite
def harmed(draw: st.DrawFn) -> str:
    """A certificate with some bytes changed, removed or doubled."""
    der = bytearray(draw(st.sampled_from(DER)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der) - 1))
        match draw(st.sampled_from(("change", "remove", "double"))):
            case "change":
                der[at] = draw(st.integers(0, 255))
            case "remove":
                del der[at]
            case _:
                end = draw(st.integers(at, min(len(der), at + 40)))
                der[end:end] = der[at:end]
    return as_pem(bytes(der))


@given(harmed())
def test_a_harmed_certificate_is_read_or_refused(pem: str) -> None:
    """No exception of a library leaves, wherever the bytes are wrong."""
    uses(pem)


@pytest.mark.parametrize("der", DER, ids=["CA", "leaf"])
def test_each_byte_changed_in_turn(der: bytes) -> None:
    """Each place of a certificate, so that a version, a doubled extension and an odd key kind are among them."""
    for at in range(0, len(der), 3):
        uses(as_pem(der[:at] + bytes([der[at] ^ 1 << at % 8]) + der[at + 1 :]))


def test_an_impossible_version_is_refused() -> None:
    """x509.InvalidVersion is no ValueError."""
    version = DER[0].index(bytes([0xA0, 3, 2, 1, 2]))
    with pytest.raises(DecodeError):
        decode_certificates(as_pem(DER[0][: version + 4] + b"\x05" + DER[0][version + 5 :]))


def test_an_extension_twice_is_refused() -> None:
    """x509.DuplicateExtension is raised where extensions are read, not where the certificate is loaded."""
    key_usage, basic = b"\x06\x03\x55\x1d\x0f", b"\x06\x03\x55\x1d\x13"
    assert key_usage in DER[0]
    with pytest.raises(DecodeError):
        decode_certificates(as_pem(DER[0].replace(key_usage, basic)))


@pytest.mark.parametrize("text", ["", "\ud800", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    """Also a text that has no encoding."""
    with pytest.raises(DecodeError):
        decode_certificates(text)
