"""Certificates: one identity each, issued by the right CA, in files that only their owner reads."""

from __future__ import annotations

import pytest

from healthcode.errors import Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import decode_leaf, is_issued_by
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey

NOW = 1_800_000_000
DAY = 86_400
SHANGHAI = PeerId("test-x", PeerKind.PROVINCE, "31")


@pytest.fixture(scope="module")
def ca() -> CertifiedKey:
    return make_ca("Shanghai", days=30, now=NOW)


@pytest.fixture(scope="module")
def leaf(ca: CertifiedKey) -> CertifiedKey:
    return issue_leaf(ca, SHANGHAI, days=7, now=NOW)


@pytest.mark.parametrize(
    "peer",
    [
        SHANGHAI,
        PeerId("cn", PeerKind.REGISTRY),
        PeerId("cn", PeerKind.GATEWAY),
        PeerId("cn", PeerKind.ISSUER, "31", "backend"),
        PeerId("cn", PeerKind.OPERATOR, None, "wang"),
        PeerId("cn", PeerKind.INTEGRATOR, "44", "metro.line-3"),
    ],
    ids=lambda peer: peer.kind,
)
def test_a_leaf_names_its_peer(ca: CertifiedKey, peer: PeerId) -> None:
    """What was issued is what is read, for each kind."""
    found = decode_leaf(issue_leaf(ca, peer, days=7, now=NOW).certificate_pem)
    assert found.peer == peer
    assert found.not_before <= NOW < found.not_after == NOW + 7 * DAY


@pytest.mark.parametrize("extra", [["spiffe://test-x.healthcode/province/44"], ["https://example.com"]])
def test_two_uris_name_nobody(ca: CertifiedKey, extra: list[str]) -> None:
    """Exactly one URI SAN, whatever the second is."""
    with pytest.raises(UnauthenticatedError) as caught:
        decode_leaf(issue_leaf(ca, SHANGHAI, days=7, now=NOW, extra_uris=extra).certificate_pem)
    assert caught.value.reason is Reason.IDENTITY_MISSING


def test_a_certificate_without_a_uri_names_nobody(ca: CertifiedKey) -> None:
    """A CA's own certificate is no identity."""
    with pytest.raises(UnauthenticatedError) as caught:
        decode_leaf(ca.certificate_pem)
    assert caught.value.reason is Reason.IDENTITY_MISSING


@pytest.mark.parametrize(
    "pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_garbage_is_no_certificate(pem: bytes) -> None:
    """Only our own error leaves."""
    with pytest.raises(UnauthenticatedError):
        decode_leaf(pem)
    assert not is_issued_by(pem, ())


def test_only_the_ca_that_issued_it_vouches(ca: CertifiedKey, leaf: CertifiedKey) -> None:
    """Neither another CA, nor one with the same name, nor none."""
    same_name = make_ca("Shanghai", days=30, now=NOW)
    text = ca.certificate_pem.decode()
    assert is_issued_by(leaf.certificate_pem, (text,))
    assert is_issued_by(leaf.certificate_pem, (same_name.certificate_pem.decode(), text))
    assert is_issued_by(leaf.certificate_pem, (same_name.certificate_pem.decode() + text,))
    assert not is_issued_by(leaf.certificate_pem, (same_name.certificate_pem.decode(),))
    assert not is_issued_by(leaf.certificate_pem, ("garbage",))
    assert not is_issued_by(leaf.certificate_pem, ())


def test_a_leaf_is_no_ca(leaf: CertifiedKey) -> None:
    """A published leaf could not vouch for another leaf."""
    forged = issue_leaf(leaf, PeerId("test-x", PeerKind.GATEWAY), days=1, now=NOW)
    assert not is_issued_by(forged.certificate_pem, (leaf.certificate_pem.decode(),))
