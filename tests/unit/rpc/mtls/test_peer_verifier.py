"""A caller's certificate is believed only now, in this realm, and under the CA published for its name."""

from __future__ import annotations

import pytest

from healthcode.errors import Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.peer_verifier import PeerVerifier, all_cas, leaf_of, published_cas
from healthcode.trust.store import TrustStore
from tests.simulator.realm import NOW, PEM, SimulatedRealm
from tests.world.clock import ManualClock

SHANGHAI = PeerId("test-x", PeerKind.PROVINCE, "31")


def test_a_leaf_counts_only_while_it_is_valid() -> None:
    """Also on a connection that outlives it."""
    ca, clock = make_ca("Shanghai", days=300, now=NOW), ManualClock()
    leaf = issue_leaf(ca, SHANGHAI, days=7, now=NOW).certificate_pem
    verifier = PeerVerifier(realm="test-x", ca_for=lambda _: [ca.certificate_pem.decode()], clock=clock)
    assert verifier.verify_peer(leaf) == SHANGHAI
    for moment in (NOW + 7 * 86_400, NOW - 86_400):
        clock.at = moment
        with pytest.raises(UnauthenticatedError) as caught:
            verifier.verify_peer(leaf)
        assert caught.value.reason is Reason.IDENTITY_MISSING


def test_no_ca_published_means_nobody() -> None:
    """An identity that trust does not know is refused, whoever signed its certificate."""
    ca = make_ca("Shanghai", days=300, now=NOW)
    leaf = issue_leaf(ca, SHANGHAI, days=7, now=NOW).certificate_pem
    with pytest.raises(UnauthenticatedError) as caught:
        PeerVerifier(realm="test-x", ca_for=lambda _: [], clock=ManualClock()).verify_peer(leaf)
    assert caught.value.reason is Reason.CERTIFICATE_NOT_PUBLISHED


def test_no_leaf_in_the_context() -> None:
    """Without a client certificate there is none to find."""
    assert leaf_of({}) is None
    assert leaf_of({"x509_pem_cert": [b"pem"]}) == b"pem"


def test_cas_come_from_the_trust_view(tmp_path) -> None:
    """A participant's for its node, issuers and integrators; a service's for itself; none for an operator."""
    realm = SimulatedRealm(("31",))
    realm.client(tmp_path).refresh(NOW)
    view = TrustStore.open(tmp_path).view
    for peer in (
        PeerId(realm.realm, PeerKind.PROVINCE, "31"),
        PeerId(realm.realm, PeerKind.ISSUER, "31", "desk"),
        PeerId(realm.realm, PeerKind.INTEGRATOR, "31", "metro"),
    ):
        assert published_cas(view, peer) == view.issuers["31"].tls_ca
    assert published_cas(view, PeerId(realm.realm, PeerKind.GATEWAY)) == (PEM,)
    assert published_cas(view, PeerId(realm.realm, PeerKind.REGISTRY)) == (PEM,)
    assert published_cas(view, PeerId(realm.realm, PeerKind.OPERATOR, None, "wang")) == ()
    assert published_cas(view, PeerId(realm.realm, PeerKind.PROVINCE, "44")) == ()
    assert set(all_cas(view)) == {PEM}
