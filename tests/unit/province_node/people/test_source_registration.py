"""What a source is registered with."""

from __future__ import annotations

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from province_node.people.source_registration import new_source
from province_node.store.people_records import Source
from tests.world.clock import NOW

CA, OTHER_CA = (make_ca(name, days=1, now=NOW) for name in ("31", "44"))
LAB = PeerId("test-demo", PeerKind.SOURCE, "31", "lab")


def register(
    peer: PeerId = LAB, *, unit: str = "CDC", kinds: tuple[str, ...] = ("TEST",), **made: object
) -> Source:
    leaf = issue_leaf(made.get("ca", CA), made.get("named", peer), days=1, now=NOW)  # type: ignore[arg-type]  # as named
    words = [EvidenceKind(kind) for kind in kinds]
    return new_source(peer, leaf.certificate_pem, ca_pem=CA.certificate_pem.decode(), unit=unit, kinds=words)


def test_the_public_key_is_registered() -> None:
    """Of a certificate that names the source and is of the province's CA."""
    leaf = issue_leaf(CA, LAB, days=1, now=NOW).certificate_pem
    found = new_source(LAB, leaf, ca_pem=CA.certificate_pem.decode(), unit="CDC", kinds=[EvidenceKind.TEST])
    assert found == Source("lab", public_key_of(leaf), frozenset({EvidenceKind.TEST}), "CDC")


def test_a_push_is_of_the_national_platform() -> None:
    """At 00 a source may have it; nowhere may one have ORDER."""
    national = PeerId("test-demo", PeerKind.SOURCE, "00", "push")
    assert EvidenceKind.PUSH in register(national, kinds=("PUSH",)).kinds
    for kind, peer in (("PUSH", LAB), ("ORDER", LAB), ("ORDER", national)):
        with pytest.raises(HealthcodeError) as caught:
            register(peer, kinds=(kind,))
        assert caught.value.reason is Reason.KIND_FORBIDDEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"named": PeerId("test-demo", PeerKind.SOURCE, "31", "other")},
        {"named": PeerId("test-demo", PeerKind.ISSUER, "31", "lab")},
        {"named": PeerId("test-demo", PeerKind.SOURCE, "44", "lab")},
        {"ca": OTHER_CA},
        {"unit": " "},
        {"unit": "x" * 65},
        {"kinds": ()},
        {"peer": PeerId("test-demo", PeerKind.SOURCE, "31", "migrated")},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    """Before it is in the store, with what to do."""
    with pytest.raises(HealthcodeError):
        register(**wrong)  # type: ignore[arg-type]  # as named
