"""What the registry accepts from a province, and from one that wants to join."""

from dataclasses import replace

import pytest

from healthcode.errors import ConflictError, DecodeError, HealthcodeError, InvalidInputError, Reason
from healthcode.revocation.head import encode_head
from healthcode.trust.admission import CurrentProvince, check_live_publication, check_province_publication
from healthcode.trust.delegation import delegator_of
from healthcode.trust.document import encode_document
from healthcode.trust.drafting import new_live_metadata, new_province_metadata
from healthcode.trust.issuer import AuthorityPart
from healthcode.trust.join import (
    JoinRequest,
    decode_join_request,
    encode_join_request,
    join_digest,
    verify_join_request,
)
from healthcode.trust.metadata import sign_metadata, to_bytes
from tests.simulator.realm import SimulatedRealm, fixed_key


def publication(realm: SimulatedRealm, version: int, signers: int = 2) -> tuple[bytes, bytes]:
    province = realm.provinces["31"]
    data = encode_document(province.document)
    metadata = new_province_metadata(
        "31", version=version, province_json=data, live_public=province.live_key.public, now=realm.now
    )
    for key in province.authority[:signers]:
        sign_metadata(metadata, key)
    return to_bytes(metadata), data


def accept(realm: SimulatedRealm, version: int = 2, current: int = 1, signers: int = 2) -> AuthorityPart:
    return check_province_publication(
        "31",
        CurrentProvince(authority_version=current),
        realm.targets.signed,
        *publication(realm, version, signers),
        realm.realm,
        realm.now,
    )


def accept_live(
    realm: SimulatedRealm,
    version: int = 2,
    current: int = 1,
    *,
    signed: int | None = None,
    key: object = None,
    gap: int = 0,
) -> None:
    province = realm.provinces["31"]
    head = encode_head(replace(province.head, version=version))
    metadata = new_live_metadata("31", version=version, head=head, now=signed or realm.now)
    sign_metadata(metadata, province.live_key if key is None else fixed_key("thief"))
    check_live_publication(
        accept(realm),
        CurrentProvince(1, current, live_gap=gap),
        to_bytes(metadata),
        head,
        realm.realm,
        realm.now,
    )


def test_the_next_version_is_accepted(realm: SimulatedRealm) -> None:
    """Version = current + 1, signed by the threshold."""
    assert accept(realm).version == 2
    accept_live(realm)


@pytest.mark.parametrize("version", [1, 3, 1_000_000])
def test_any_other_version_is_a_conflict(realm: SimulatedRealm, version: int) -> None:
    """No repetition, no gap, no fast-forward."""
    for check in (accept, accept_live):
        with pytest.raises(ConflictError) as caught:
            check(realm, version)
        assert caught.value.reason is Reason.VERSION_CONFLICT


@pytest.mark.parametrize(("version", "is_taken"), [(5, False), (6, True), (9, True), (10, False)])
def test_a_restored_registry_lets_a_node_pass_over_versions(
    realm: SimulatedRealm, version: int, is_taken: bool
) -> None:
    """It has forgotten what it gave out last, and only the node knows; back, or beyond the gap, nobody goes."""
    if is_taken:
        accept_live(realm, version, 5, gap=3)
    else:
        with pytest.raises(ConflictError) as caught:
            accept_live(realm, version, 5, gap=3)
        assert caught.value.reason is Reason.VERSION_CONFLICT


def test_too_few_signatures_are_refused(realm: SimulatedRealm) -> None:
    """M of n for the authority, the live key for the node."""
    for check, reason in (
        (lambda: accept(realm, signers=1), Reason.SIGNATURE_THRESHOLD),
        (lambda: accept_live(realm, key="thief"), Reason.SIGNATURE_FOREIGN),
    ):
        with pytest.raises(HealthcodeError) as caught:
            check()
        assert caught.value.reason is reason


def test_metadata_that_has_expired_or_comes_from_the_future_is_refused(realm: SimulatedRealm) -> None:
    """An old statement is signed anew; a node whose clock runs ahead is told."""
    with pytest.raises(HealthcodeError, match="expired"):
        accept_live(realm, signed=realm.now - 86_400)
    accept_live(realm, signed=realm.now + 300)
    with pytest.raises(HealthcodeError, match="301 seconds in the future"):
        accept_live(realm, signed=realm.now + 301)


def request(realm: SimulatedRealm, code: str = "44") -> JoinRequest:
    province = realm.new_province(code)
    realm.provinces["31"], kept = province, realm.provinces["31"]
    data = encode_document(province.document)
    metadata = new_province_metadata(
        code, version=1, province_json=data, live_public=province.live_key.public, now=realm.now
    )
    for key in province.authority[:2]:
        sign_metadata(metadata, key)
    realm.provinces["31"] = kept
    return JoinRequest(
        realm=realm.realm,
        participant=code,
        link=province.chain[0],
        metadata=to_bytes(metadata),
        province_json=data,
    )


def test_a_join_request_holds_by_its_own_keys(realm: SimulatedRealm) -> None:
    """It survives the file, its digest is of the file, and every key in it is proven."""
    data = encode_join_request(request(realm))
    again = decode_join_request(data)
    assert again == request(realm)
    part = verify_join_request(again, realm.realm, realm.now)
    assert (part.participant, part.version) == ("44", 1)
    assert len(join_digest(data)) == 64


def test_a_second_authority_for_a_province_is_refused(realm: SimulatedRealm) -> None:
    """One authority a province; a change of keys goes by handover."""
    with pytest.raises(ConflictError, match="handover") as caught:
        verify_join_request(request(realm), realm.realm, realm.now, accepted=realm.provinces["31"].chain)
    assert caught.value.reason is Reason.AUTHORITY_EXISTS


def test_a_join_request_of_another_realm_or_participant_is_refused(realm: SimulatedRealm) -> None:
    """The realm is in every proof; participants are those of the realm."""
    asked = request(realm)
    with pytest.raises(HealthcodeError) as caught:
        verify_join_request(asked, "test-other", realm.now)
    assert caught.value.reason is Reason.REALM_MISMATCH
    with pytest.raises(HealthcodeError) as caught:
        verify_join_request(asked.model_copy(update={"participant": "11"}), realm.realm, realm.now)
    assert caught.value.reason is Reason.POSSESSION_UNPROVEN
    with pytest.raises(InvalidInputError):
        verify_join_request(request(realm, "38"), realm.realm, realm.now)
    with pytest.raises(HealthcodeError):
        verify_join_request(asked.model_copy(update={"province_json": b"{}"}), realm.realm, realm.now)


def test_a_participant_of_tests_cannot_join_the_real_realm() -> None:
    """90 to 99 are for test realms."""
    cn = SimulatedRealm(("31",), realm="cn")
    with pytest.raises(InvalidInputError) as caught:
        verify_join_request(request(cn, "91"), "cn", cn.now)
    assert caught.value.reason is Reason.PARTICIPANT_UNKNOWN


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format":"healthcode/join/1"}', b"\xff" * 40])
def test_garbage_is_no_join_request(data: bytes) -> None:
    """Only DecodeError leaves the decoder."""
    with pytest.raises(DecodeError):
        decode_join_request(data)


def test_base64_of_a_join_request_is_strict(realm: SimulatedRealm) -> None:
    """No line breaks, no foreign characters."""
    data = encode_join_request(request(realm)).replace(b'"metadata":"', b'"metadata":"*')
    with pytest.raises(DecodeError, match="metadata"):
        decode_join_request(data)


def test_the_delegation_that_a_chain_demands_is_the_one_targets_makes(realm: SimulatedRealm) -> None:
    """Checking against the chain and against targets is the same."""
    made = realm.targets.signed.get_delegated_role("province-31")
    assert delegator_of("31", realm.provinces["31"].chain[-1]).get_delegated_role("province-31") == made


def test_a_ca_that_is_no_certificate_is_refused(realm: SimulatedRealm) -> None:
    """What would be left out when read is not admitted."""
    province = realm.provinces["31"]
    bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    province.document = province.document.model_copy(update={"tls_ca": (*province.document.tls_ca, bad)})
    with pytest.raises(DecodeError) as caught:
        accept(realm)
    assert caught.value.detail == "tls_ca.certificate"
