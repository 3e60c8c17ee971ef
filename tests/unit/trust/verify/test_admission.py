"""What the registry accepts from a province, and from one that wants to join."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, Targets

from healthcode.audit.checkpoint import Checkpoint
from healthcode.errors import ConflictError, DecodeError, HealthcodeError, InvalidInputError, Reason
from healthcode.revocation.head import encode_head
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.delegation import delegator_of
from healthcode.trust.format.json_files import encode_json_file
from healthcode.trust.format.key_possession import prove_key
from healthcode.trust.format.metadata import decode_metadata, sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata, new_province_metadata
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.verify.admission import (
    CurrentProvince,
    check_live_publication,
    check_province_publication,
)
from healthcode.trust.verify.issuer import AuthorityPart, LivePart, verify_authority_part
from healthcode.trust.verify.join_request import (
    JoinRequest,
    decode_join_request,
    encode_join_request,
    join_digest,
    verify_join_request,
)
from tests.simulator.realm import SimulatedRealm, fixed_key
from tests.simulator.weak_key import SMALL_ORDER, MixedOrderKey

Check = Callable[[SimulatedRealm, tuple[bytes, bytes]], AuthorityPart]


def publication(realm: SimulatedRealm, version: int, signers: int = 2) -> tuple[bytes, bytes]:
    province = realm.provinces["31"]
    data = encode_json_file(province.document)
    metadata = new_province_metadata(
        "31",
        version=version,
        province_json=data,
        live_public=province.live_key.public,
        live_possession=prove_key("31", KeyPurpose.HEAD, province.live_key, realm.realm),
        now=realm.now,
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
    audit: object = None,
) -> LivePart:
    province = realm.provinces["31"]
    head = encode_head(replace(province.head, version=version))
    metadata = new_live_metadata("31", version=version, head=head, now=signed or realm.now)
    if audit is not None:
        metadata.signed.unrecognized_fields["healthcode.audit"] = audit
    sign_metadata(metadata, province.live_key if key is None else fixed_key("thief"))
    return check_live_publication(
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


def test_an_audit_checkpoint_is_taken_in_its_one_shape(realm: SimulatedRealm) -> None:
    """The registry admits `[log, size, root]`, and refuses anything else in that field, by name."""
    assert accept_live(realm).checkpoint is None
    assert accept_live(realm, audit=["4c" * 16, 512, "52" * 32]).checkpoint == Checkpoint(
        b"L" * 16, 512, b"R" * 32
    )
    for wrong, detail in (
        ({}, "checkpoint.structure"),
        (["4c" * 16, "512", "52" * 32], "checkpoint.size"),
        (["4c" * 16, 0, "52" * 32], "checkpoint.size"),
        (["4c" * 16, 513, "52" * 32], "checkpoint.size"),
        (["4c" * 15, 512, "52" * 32], "checkpoint.log"),
        (["4c" * 16, 512, "52" * 33], "checkpoint.root"),
    ):
        with pytest.raises(HealthcodeError) as caught:
            accept_live(realm, audit=wrong)
        assert getattr(caught.value, "detail", caught.value) == detail


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
    data = encode_json_file(province.document)
    metadata = new_province_metadata(
        code,
        version=1,
        province_json=data,
        live_public=province.live_key.public,
        live_possession=prove_key(code, KeyPurpose.HEAD, province.live_key, realm.realm),
        now=realm.now,
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


LIVE_FIELD = "healthcode.live_possession"


def changed(realm: SimulatedRealm, change: Callable[[Targets], object]) -> tuple[bytes, bytes]:
    """The next publication, changed before the authority signs it."""
    province = realm.provinces["31"]
    data = publication(realm, 2, signers=0)
    metadata = decode_metadata(data[0], Targets)
    change(metadata.signed)
    for key in province.authority[:2]:
        sign_metadata(metadata, key)
    return to_bytes(metadata), data[1]


def admit(realm: SimulatedRealm, files: tuple[bytes, bytes]) -> AuthorityPart:
    """As the registry does."""
    current = CurrentProvince(authority_version=1)
    return check_province_publication("31", current, realm.targets.signed, *files, realm.realm, realm.now)


def take(realm: SimulatedRealm, files: tuple[bytes, bytes]) -> AuthorityPart:
    """As each client does."""
    return verify_authority_part("31", realm.targets.signed, *files, realm.realm)


def delegate(public: bytes, proof: bytes | None) -> Callable[[Targets], None]:
    """Gives the live role to another key, with its proof or with none."""

    def change(targets: Targets) -> None:
        key = tuf_key(public)
        role = DelegatedRole("province-31-live", [key.keyid], 1, True, ["provinces/31/revocations/*"])
        targets.delegations = Delegations({key.keyid: key}, {role.name: role})
        targets.unrecognized_fields.pop(LIVE_FIELD)
        if proof is not None:
            targets.unrecognized_fields[LIVE_FIELD] = {key.keyid: proof.hex()}

    return change


def test_the_registry_demands_a_proof_that_the_live_key_is_held(realm: SimulatedRealm) -> None:
    """A client takes metadata from before there was such a field; new ones without it are not admitted."""
    files = changed(realm, lambda targets: targets.unrecognized_fields.pop(LIVE_FIELD))
    assert take(realm, files).version == 2
    with pytest.raises(HealthcodeError, match="has no proof of possession of its live key") as caught:
        admit(realm, files)
    assert caught.value.reason is Reason.POSSESSION_UNPROVEN


@pytest.mark.parametrize("check", [admit, take])
@pytest.mark.parametrize(
    ("participant", "purpose", "elsewhere"),
    [("44", KeyPurpose.HEAD, ""), ("31", KeyPurpose.LIVE, ""), ("31", KeyPurpose.HEAD, "test-other")],
)
def test_a_proof_of_the_live_key_is_for_its_participant_purpose_and_realm(
    realm: SimulatedRealm, check: Check, participant: str, purpose: KeyPurpose, elsewhere: str
) -> None:
    """Somebody else's live key, slipped in with a proof that was made for another place, is refused on both sides."""
    other = fixed_key("somebody else's live key")
    good = prove_key("31", KeyPurpose.HEAD, other, realm.realm)
    assert check(realm, changed(realm, delegate(other.public, good))).version == 2
    proof = prove_key(participant, purpose, other, elsewhere or realm.realm)
    with pytest.raises(HealthcodeError, match=r"HEAD key .* has no proof of possession") as caught:
        check(realm, changed(realm, delegate(other.public, proof)))
    assert caught.value.reason is Reason.POSSESSION_UNPROVEN


@pytest.mark.parametrize("check", [admit, take])
def test_each_live_key_has_its_own_proof(realm: SimulatedRealm, check: Check) -> None:
    """Under another key's id, or for one of two keys, a proof is none."""

    def empty(targets: Targets) -> None:
        targets.unrecognized_fields[LIVE_FIELD] = {}

    def second(targets: Targets) -> None:
        key = tuf_key(fixed_key("second").public)
        targets.delegations.keys[key.keyid] = key
        targets.delegations.roles["province-31-live"].keyids.append(key.keyid)

    for change in (empty, second):
        with pytest.raises(HealthcodeError, match="has no proof of possession") as caught:
            check(realm, changed(realm, change))
        assert caught.value.reason is Reason.POSSESSION_UNPROVEN


@pytest.mark.parametrize("check", [admit, take])
@pytest.mark.parametrize("value", ["00" * 64, ["00" * 64], {"a": 1}, {"a": "00"}, {"a": "AB" * 64}, 7])
def test_a_proof_in_another_form_is_refused(realm: SimulatedRealm, check: Check, value: object) -> None:
    """A table of 128 lower-case hex digits, or nothing."""
    files = changed(realm, lambda targets: targets.unrecognized_fields.update({LIVE_FIELD: value}))
    with pytest.raises(DecodeError) as caught:
        check(realm, files)
    assert caught.value.detail == "metadata.live_possession"


@pytest.mark.parametrize("has_proof", [True, False])
@pytest.mark.parametrize("check", [admit, take])
def test_a_live_key_that_is_no_valid_point_is_refused(
    realm: SimulatedRealm, check: Check, has_proof: bool
) -> None:
    """Of mixed order, with a proof that holds and without; of small order, under which nothing verifies."""
    mixed = MixedOrderKey(b"m" * 32)
    proof = prove_key("31", KeyPurpose.HEAD, mixed, realm.realm) if has_proof else None
    for public in (mixed.public, SMALL_ORDER):
        with pytest.raises(HealthcodeError, match="delegates to a key that is not a valid") as caught:
            check(realm, changed(realm, delegate(public, proof)))
        assert caught.value.reason is Reason.POSSESSION_UNPROVEN


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
