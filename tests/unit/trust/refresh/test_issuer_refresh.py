"""A bad file of one participant is refused with its own reason; its last good files and the others serve on."""

import hashlib
from dataclasses import replace
from pathlib import Path

from tuf.api.metadata import DelegatedRole, Delegations

from healthcode.errors import Reason
from healthcode.revocation.head import encode_head
from healthcode.revocation.state import RevocationStatus
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from healthcode.trust.format.json_files import encode_json_file
from healthcode.trust.format.layout import (
    TrustLimits,
    head_path,
    list_file,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.format.metadata import sign_metadata
from healthcode.trust.format.new_metadata import new_live_metadata
from healthcode.trust.format.tuf_keys import tuf_key
from tests.simulator.realm import PEM, SimulatedRealm, fixed_key
from tests.unit.trust.refusals import others_move, refresh, rejected


def test_a_code_key_without_possession_or_with_too_long_a_window_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """The node holds to the same rules of admission as the registry."""
    province = realm.provinces["31"]
    good = province.document
    key = realm.province_key("31", KeyPurpose.LIVE, fixed_key("new"))
    for bad, reason in (
        (key.model_copy(update={"possession": bytes(64)}), Reason.POSSESSION_UNPROVEN),
        (key.model_copy(update={"kid": bytes(8)}), Reason.POSSESSION_UNPROVEN),
        (key.model_copy(update={"not_after": key.not_after + 1}), Reason.MALFORMED_MESSAGE),
    ):
        province.document = good.model_copy(update={"keys": (bad,)})
        realm.publish_province("31")
        realm.publish()
        result = refresh(client, realm)
        rejected(result, "31", reason)
        assert len(result.view.issuers["31"].keys) == 4


def test_province_json_that_is_not_what_was_signed_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """A mirror that swaps a file's bytes gains nothing."""
    realm.rotate_key("31", KeyPurpose.LIVE, "second")
    realm.publish_province("31")
    realm.publish()
    signed = encode_json_file(realm.provinces["31"].document)
    path = target_file(province_path("31"), hashlib.sha256(signed).hexdigest())
    realm.tampered[path] = signed.replace(b"7100", b"6666")
    result = refresh(client, realm)
    rejected(result, "31", Reason.SIGNATURE_INVALID)
    realm.tampered.clear()
    assert refresh(client, realm).rejected == ()


def test_a_province_of_another_realm_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """Files made in one realm never hold in another, whoever signed them."""
    other = SimulatedRealm(("31",), realm="test-other")
    other.publish_province("31")
    realm.files[metadata_file("province-31", 2)] = other.files[metadata_file("province-31", 2)]
    realm.files.update({path: data for path, data in other.files.items() if "province.json" in path})
    realm.versions["province-31"] = 2
    realm.publish()
    rejected(refresh(client, realm), "31", Reason.SIGNATURE_FOREIGN)


def test_a_province_that_shows_two_files_of_one_version_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """The same version is the same bytes: a re-signed one is never fetched, and the first serves."""
    realm.provinces["31"].live_version = 0
    realm.revoke("31", 5, realm.now + 60)
    realm.publish_live("31")
    realm.publish()
    result = refresh(client, realm)
    state = result.view.issuers["31"].revocations
    assert state is not None
    assert state.status(5, realm.now + 60) is RevocationStatus.CLEAR


def test_an_expired_authority_is_not_taken_anew(client: TrustClient, realm: SimulatedRealm) -> None:
    """What an authority signed too long ago is not believed by whoever did not have it yet."""
    realm.now -= 91 * 86_400
    realm.publish_province("31")
    realm.now += 91 * 86_400
    realm.publish()
    result = refresh(client, realm)
    assert "expired" in rejected(result, "31", Reason.TRUST_EXPIRED)


def test_an_oversized_head_or_province_is_refused_alone(realm: SimulatedRealm, folder: Path) -> None:
    """Limits hold a province, not the others."""
    client = realm.client(folder, limits=TrustLimits(head_bytes=400))
    client.refresh(realm.now)
    for offset in range(12):
        realm.revoke("31", 1, realm.now + offset * 86_400)
    realm.publish_live("31")
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.TOO_LARGE)
    others_move(client, realm, result, "31")


def test_a_list_with_other_bytes_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """A list is what its hash in the head says, checked before it is parsed."""
    realm.revoke("31", 7, realm.now + 3600)
    realm.publish_live("31")
    realm.publish()
    (data,) = realm.provinces["31"].lists.values()
    path = list_file(hashlib.sha256(data).hexdigest())
    for forged in (data[:-1] + b"\x00", data[:-1], data + b"\x00"):
        realm.tampered[path] = forged
        result = refresh(client, realm)
        assert [each.participant for each in result.rejected] == ["31"]
        assert result.view.issuers["31"].head_version == 1
    realm.tampered.clear()
    realm.missing.add(path)
    rejected(refresh(client, realm), "31", Reason.FILE_UNKNOWN)
    realm.missing.clear()
    assert refresh(client, realm).view.issuers["31"].head_version == 2


def test_a_head_that_is_garbage_but_signed_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """A broken node harms itself alone."""
    for garbage in (b"", b"\xff" * 100, b"\xa0"):
        realm.publish_head("31", garbage)
        realm.publish()
        result = refresh(client, realm)
        rejected(result, "31", Reason.MALFORMED_MESSAGE)
    others_move(client, realm, result, "31")


def test_a_head_that_is_not_what_was_signed_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """A mirror that swaps a head for another valid one gains nothing."""
    realm.revoke("31", 7, realm.now + 3600)
    realm.publish_live("31")
    realm.publish()
    signed = encode_head(realm.provinces["31"].head)
    other = encode_head(replace(realm.provinces["31"].head, version=3, days={}))
    realm.tampered[target_file(head_path("31"), hashlib.sha256(signed).hexdigest())] = other
    result = refresh(client, realm)
    rejected(result, "31", Reason.SIGNATURE_INVALID)
    assert result.view.issuers["31"].head_version == 1


def test_a_node_that_lists_another_path_or_delegates_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """A live key signs its head and nothing else."""
    province = realm.provinces["31"]
    head = encode_head(replace(province.head, version=2))
    key = tuf_key(fixed_key("thief").public)
    role = DelegatedRole("province-31-more", [key.keyid], 1, terminating=True, paths=["provinces/31/*"])
    for version, harm in enumerate(("path", "province", "role", "none"), start=2):
        metadata = new_live_metadata("31", version=version, head=head, now=realm.now)
        if harm == "path":
            metadata.signed.targets["provinces/31/revocations/more"] = metadata.signed.targets[
                head_path("31")
            ]
        elif harm == "province":
            metadata.signed.targets[province_path("31")] = metadata.signed.targets[head_path("31")]
        elif harm == "role":
            metadata.signed.delegations = Delegations({key.keyid: key}, {role.name: role})
        sign_metadata(metadata, province.live_key)
        realm._put_role("province-31-live", metadata, {head_path("31"): head})
        realm.publish()
        result = refresh(client, realm)
        if harm == "none":
            assert result.rejected == ()
        else:
            rejected(result, "31", Reason.PATH_FORBIDDEN)


def test_metadata_without_a_canonical_form_harms_its_province_alone(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """A fraction, or half a surrogate pair: python-tuf reads it and cannot write it."""
    for version, harm in enumerate((b'"terminating":0.0', b'"terminating":true,"x":"\\ud800"'), start=2):
        honest = realm.files[metadata_file("province-31", 1)]
        forged = honest.replace(b'"terminating":true', harm).replace(
            b'"version":1', b'"version":%d' % version
        )
        assert forged.count(harm) == 1
        realm.files[metadata_file("province-31", version)] = forged
        realm.versions["province-31"] = version
        realm.publish()
        result = refresh(client, realm)
        rejected(result, "31", Reason.MALFORMED_MESSAGE)
    others_move(client, realm, result, "31")


def test_a_hash_that_is_none_names_no_place(client: TrustClient, realm: SimulatedRealm) -> None:
    """No metadata can make a client ask for a path of its own choice."""
    honest = realm.files[metadata_file("province-31", 1)]
    digest = hashlib.sha256(encode_json_file(realm.provinces["31"].document)).hexdigest().encode()
    forged = honest.replace(digest, b"../../etc/passwd").replace(b'"version":1', b'"version":2')
    realm.files[metadata_file("province-31", 2)] = forged
    realm.versions["province-31"] = 2
    realm.publish()
    realm.fetched.clear()
    rejected(refresh(client, realm), "31", Reason.SIGNATURE_INVALID)
    assert not any(".." in path for path in realm.fetched)


def test_new_keys_arrive_though_the_head_is_refused_and_the_other_way_round(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """The authority's part and the node's part do not hold each other back."""
    realm.rotate_key("31", KeyPurpose.LIVE, "second")
    realm.publish_province("31")
    realm.publish_head("31", b"garbage")
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.MALFORMED_MESSAGE)
    assert len(result.view.issuers["31"].keys) == 5
    realm.publish_province("31", signers=[])
    realm.revoke("31", 7, realm.now + 60)
    realm.publish_live("31")
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.SIGNATURE_THRESHOLD)
    assert result.view.issuers["31"].head_version == realm.provinces["31"].head.version


def test_a_ca_subject_of_another_province_is_not_taken(realm: SimulatedRealm, client: TrustClient) -> None:
    """A province that claims another's CA subject keeps its last good files; what comes in its place is taken."""
    own, claimed = (make_ca(name, days=30, now=realm.now).certificate_pem.decode() for name in ("A", "A"))
    other = make_ca("B", days=30, now=realm.now).certificate_pem.decode()
    publish_cas(realm, "31", own)
    refresh(client, realm)
    publish_cas(realm, "11", other, claimed)
    result = refresh(client, realm)
    assert [(each.participant, each.reason) for each in result.rejected] == [("11", Reason.INVALID_REQUEST)]
    assert (result.view.issuers["31"].tls_ca, result.view.issuers["11"].tls_ca) == ((own,), (PEM,))
    assert client.open().view.issuers["31"].tls_ca == (own,)
    publish_cas(realm, "11", other)
    assert refresh(client, realm).view.issuers["11"].tls_ca == (other,)


def test_a_ca_that_is_none_is_left_out_and_told(realm: SimulatedRealm, client: TrustClient) -> None:
    """Garbage among a province's CAs costs it that entry alone, and its other files are taken."""
    garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    publish_cas(realm, "11", garbage, PEM)
    result = refresh(client, realm)
    assert (result.rejected, result.view.issuers["11"].tls_ca) == ((), (PEM,))
    assert any("tls_ca entry 1 of 11 is left out" in warning for warning in result.view.warnings)


def publish_cas(realm: SimulatedRealm, code: str, *pems: str) -> None:
    one = realm.provinces[code]
    one.document = one.document.model_copy(update={"tls_ca": pems})
    realm.publish_province(code)
    realm.publish()


def test_a_head_from_after_its_timestamp_is_refused_until_time_has_reached_it(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Nobody stockpiles heads of the future that look fresh on their day: the last good one serves, and ages."""
    began = realm.now
    realm.now = began + 2 * 86_400
    realm.publish_live("31")
    realm.now = began
    realm.publish()
    before = client.open().view.issuers["31"].live_signed_at
    rejected(result := refresh(client, realm), "31", Reason.TRUST_MIXED)
    assert result.view.held_back == {"31": Reason.TRUST_MIXED}
    assert result.view.issuers["31"].live_signed_at == before
    realm.publish_live("31")
    realm.publish()
    assert refresh(client, realm).rejected == ()


def test_a_node_whose_clock_is_ahead_within_the_skew_is_taken(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """The registry admits such a head, and signs the timestamp by its own clock."""
    realm.now += 290
    realm.publish_live("31")
    realm.now -= 290
    realm.publish()
    assert refresh(client, realm).rejected == ()
