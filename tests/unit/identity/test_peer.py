"""Peers: one identity, one spelling."""

import pytest

from healthcode.errors import InvalidInputError, Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind, decode_peer_uri

URIS = [
    "spiffe://cn.healthcode/registry",
    "spiffe://test-a.healthcode/gateway",
    "spiffe://cn.healthcode/province/31",
    "spiffe://cn.healthcode/issuer/31/hospital-1",
    "spiffe://cn.healthcode/source/31/lab-1",
    "spiffe://cn.healthcode/operator/zhang.san",
    "spiffe://cn.healthcode/integrator/44/metro_gate",
]


@pytest.mark.parametrize("uri", URIS)
def test_uris_come_back_as_they_were(uri):
    """Decoding and writing out is the identity."""
    assert decode_peer_uri(uri).uri == uri == str(decode_peer_uri(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://cn.healthcode",
        "spiffe://cn.healthcode/",
        "spiffe://cn.healthcode/registry/",
        "spiffe://cn.healthcode/registry/31",
        "spiffe://cn.healthcode//registry",
        "spiffe://cn.healthcode/province",
        "spiffe://cn.healthcode/province/3",
        "spiffe://cn.healthcode/province/31/x",
        "spiffe://cn.healthcode/province/\uff13\uff11",
        "spiffe://cn.healthcode/Province/31",
        "spiffe://CN.healthcode/province/31",
        "spiffe://prod.healthcode/province/31",
        "spiffe://cn.healthcode.evil/province/31",
        "spiffe://cn.healthcode/issuer/31",
        "spiffe://cn.healthcode/issuer/31/",
        "spiffe://cn.healthcode/issuer/31/../../province/44",
        "spiffe://cn.healthcode/issuer/31/-x",
        "spiffe://cn.healthcode/operator/31/x",
        "spiffe://cn.healthcode/operator/x?y",
        "spiffe://cn.healthcode/province/31#x",
        "spiffe://cn.healthcode:443/province/31",
        "https://cn.healthcode/province/31",
        "spiffe://cn.healthcode/province/31\n",
        "spiffe://cn.healthcode/operator/" + "x" * 5000,
    ],
)
def test_other_uris_are_foreign(uri):
    """Whatever is not exactly an identity is IDENTITY_FOREIGN, in a short message."""
    with pytest.raises(UnauthenticatedError) as caught:
        decode_peer_uri(uri)
    assert caught.value.reason is Reason.IDENTITY_FOREIGN
    assert len(caught.value.message) < 300


def test_who_serves_has_a_dns_name():
    """Servers are named without their realm; clients have no DNS name."""
    assert PeerId("cn", PeerKind.PROVINCE, "31").dns_name == "province-31.healthcode"
    assert PeerId("cn", PeerKind.REGISTRY).dns_name == "registry.healthcode"
    assert PeerId("test-a", PeerKind.GATEWAY).dns_name == "gateway.healthcode"
    with pytest.raises(InvalidInputError):
        _ = PeerId("cn", PeerKind.ISSUER, "31", "x").dns_name


@pytest.mark.parametrize(
    "parts",
    [
        ("cn", PeerKind.REGISTRY, "31", None),
        ("cn", PeerKind.PROVINCE, None, None),
        ("cn", PeerKind.PROVINCE, "31", "x"),
        ("cn", PeerKind.ISSUER, "31", "A"),
        ("cn", PeerKind.SOURCE, None, "lab"),
        ("cn", PeerKind.OPERATOR, None, ""),
        ("moon", PeerKind.REGISTRY, None, None),
    ],
)
def test_parts_that_make_no_identity_are_refused(parts):
    """An identity that could not be written out cannot be made."""
    with pytest.raises(InvalidInputError):
        PeerId(*parts)
