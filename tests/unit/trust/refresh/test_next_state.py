"""What a registry, an operator, a province or a thief of one of their keys may not do to a client.

Each attack is signed with the keys that its thief would have, refused with its own
reason, and leaves the last good trust serving. These are the ones that need more than
one step, or have more to show; tests/simulator/attack.py lists the others, which
tests/attack tries over real gRPC and HTTP.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.metadata import DelegatedRole, Delegations

from healthcode.errors import HealthcodeError, Reason, TrustError, UnavailableError
from healthcode.policy.words import RiskLevel
from healthcode.revocation.day import day_of
from healthcode.revocation.head import encode_head
from healthcode.revocation.state import RevocationStatus
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import encode_json_file
from healthcode.trust.format.layout import (
    PARTICIPANTS_PATH,
    SIGNED_AT_FIELD,
    TrustLimits,
    head_path,
    list_file,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata, new_timestamp
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.national import verify_national
from tests.simulator.realm import PEM, SimulatedRealm, fixed_key


def refresh(client: TrustClient, realm: SimulatedRealm) -> RefreshResult:
    realm.now += 60
    return client.refresh(realm.now)


def refused(client: TrustClient, realm: SimulatedRealm, reason: Reason) -> HealthcodeError:
    """The refresh is refused as a whole for this reason, and the folder still serves what it held."""
    before = client.open().view
    with pytest.raises(HealthcodeError) as caught:
        refresh(client, realm)
    assert caught.value.reason is reason, caught.value.message
    after = client.open().view
    assert (after.timestamp_version, after.targets_version) == (
        before.timestamp_version,
        before.targets_version,
    )
    assert set(after.issuers) == set(before.issuers)
    return caught.value


def rejected(result: RefreshResult, participant: str, reason: Reason) -> str:
    """Exactly this participant's change is refused, for this reason."""
    assert [(each.participant, each.reason) for each in result.rejected] == [(participant, reason)], (
        result.rejected
    )
    return result.rejected[0].message


def others_move(client: TrustClient, realm: SimulatedRealm, result: RefreshResult, bad: str) -> None:
    """While `bad` is held back, a revocation elsewhere gets through in the same refresh or the next."""
    other = next(code for code in realm.provinces if code != bad)
    was = result.view.issuers[other].head_version
    realm.revoke(other, 99, realm.now + 3600)
    realm.publish_live(other)
    realm.publish()
    after = refresh(client, realm).view.issuers[other]
    assert after.head_version == (was or 0) + 1
    assert after.revocations is not None
    assert after.revocations.status(99, realm.now + 3500) is RevocationStatus.REVOKED


# targets, signed by enough operators


@pytest.mark.parametrize("name", ["province-31-live", "provinces", "province-3", "province-99x", "evil"])
def test_a_role_that_has_no_place_is_refused(client: TrustClient, realm: SimulatedRealm, name: str) -> None:
    """Targets may delegate to `areas` and `province-NN` alone, so an extra, wider sibling is refused."""
    targets = realm.new_targets()
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    thief = tuf_key(fixed_key("thief").public)
    targets.signed.delegations.keys[thief.keyid] = thief
    roles = dict(targets.signed.delegations.roles)
    role = DelegatedRole(name, [thief.keyid], 1, terminating=False, paths=["provinces/*/*"])
    targets.signed.delegations.roles = {name: role, **roles}
    realm.publish_targets(targets)
    realm.publish()
    refused(client, realm, Reason.TARGETS_OVERREACH)


def test_a_participant_that_the_realm_cannot_have_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Only GB/T 2260 provinces, 00, 66 and, in test realms, 90 to 99 take part."""
    realm.provinces["98"] = realm.new_province("98")
    realm.publish_targets()
    realm.publish()
    assert "98" not in refresh(client, realm).view.issuers  # allowed, but it has published nothing
    realm.provinces["38"] = realm.new_province("38")
    realm.publish_targets()
    realm.publish()
    refused(client, realm, Reason.TARGETS_OVERREACH)


@pytest.mark.parametrize(
    "paths",
    [["provinces/*/*"], ["provinces/31/*"], ["provinces/31/*", "provinces/31/revocations/*", "areas/*"]],
)
def test_a_wider_or_narrower_delegation_is_refused_for_that_province_alone(
    client: TrustClient, realm: SimulatedRealm, paths: list[str]
) -> None:
    """A delegation has exactly its two patterns; the province keeps its last good files, the others move on."""
    targets = realm.new_targets()
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    targets.signed.delegations.roles["province-31"].paths = paths
    realm.publish_targets(targets)
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.TARGETS_OVERREACH)
    assert "31" in result.view.issuers
    others_move(client, realm, result, "31")


def test_a_delegation_to_other_keys_than_the_chains_head_is_refused(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Operators cannot hand a province to another key: its own keys serve on, also after a restart."""
    honest = dict(client.open().view.issuers["31"].keys)
    thief = fixed_key("thief")
    targets = realm.new_targets()
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    role = targets.signed.delegations.roles["province-31"]
    key = tuf_key(thief.public)
    targets.signed.delegations.keys[key.keyid] = key
    role.keyids, role.threshold = [key.keyid], 1
    realm.publish_targets(targets)
    realm.provinces["31"].document = realm.provinces["31"].document.model_copy(
        update={"keys": (realm.province_key("31", KeyPurpose.LIVE, thief),)}
    )
    realm.publish_province("31", signers=[thief])
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.AUTHORITY_EXISTS)
    assert result.view.issuers["31"].keys == honest
    assert TrustStore.open(folder).view.issuers["31"].keys == honest
    others_move(client, realm, result, "31")
    again = TrustClient(folder, realm).refresh(realm.now)
    rejected(again, "31", Reason.AUTHORITY_EXISTS)
    assert again.view.issuers["31"].keys == honest


def test_an_extra_key_or_a_lower_threshold_in_a_delegation_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """The delegation is the chain's head to the letter."""
    targets = realm.new_targets()
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    targets.signed.delegations.roles["province-31"].threshold = 1
    key = tuf_key(fixed_key("thief").public)
    targets.signed.delegations.keys[key.keyid] = key
    targets.signed.delegations.roles["province-11"].keyids.append(key.keyid)
    realm.publish_targets(targets)
    realm.publish()
    result = refresh(client, realm)
    assert {(each.participant, each.reason) for each in result.rejected} == {
        ("11", Reason.AUTHORITY_EXISTS),
        ("31", Reason.AUTHORITY_EXISTS),
    }
    assert set(result.view.issuers) == {"00", "11", "31"}


def test_a_chain_that_does_not_extend_the_accepted_one_is_refused(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A replaced authority is refused for ever, while its honest node's revocations still come through."""
    honest = realm.provinces["31"]
    thieves = [fixed_key(f"thief-{number}") for number in (1, 2)]
    real_chain, real_authority = honest.chain, honest.authority
    honest.chain = (new_link("31", thieves, 2, realm.realm, created=realm.now),)
    honest.authority = thieves
    realm.publish_targets()
    realm.publish_province("31")
    realm.publish()
    for _ in range(2):
        result = refresh(client, realm)
        rejected(result, "31", Reason.AUTHORITY_EXISTS)
        assert result.view.issuers["31"].province_version == 1
    store = TrustStore.open(folder)
    assert store.view.issuers["31"].province_version == 1
    assert not store.warnings
    honest.chain, honest.authority = real_chain, real_authority
    realm.publish_targets()
    realm.publish_province("31")
    realm.publish()
    healed = refresh(client, realm)
    assert healed.rejected == ()
    assert healed.view.issuers["31"].province_version == 3


def test_a_participant_dropped_from_the_document_is_kept(client: TrustClient, realm: SimulatedRealm) -> None:
    """A chain is append-only: leaving one out is not a way to replace it later."""
    dropped = realm.provinces.pop("31")
    realm.publish_targets()
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.AUTHORITY_EXISTS)
    assert "31" in result.view.issuers
    fresh = realm.new_province("31")
    fresh.authority = [fixed_key("thief-1"), fixed_key("thief-2")]
    fresh.chain = (new_link("31", fresh.authority, 2, realm.realm, created=realm.now),)
    fresh.authority_version, fresh.live_version = dropped.authority_version, dropped.live_version
    realm.provinces["31"] = fresh
    realm.publish_targets()
    realm.publish_province("31")
    realm.publish()
    rejected(refresh(client, realm), "31", Reason.AUTHORITY_EXISTS)


def test_a_delegation_taken_back_with_its_chain_left_retires_the_province(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Operators may retire an issuer, which is told once; its chain is remembered."""
    targets = realm.new_targets()
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    del targets.signed.delegations.roles["province-31"]
    realm.publish_targets(targets)
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.PARTICIPANT_UNKNOWN)
    assert "31" not in result.view.issuers
    realm.sign_timestamp()
    assert refresh(client, realm).rejected == ()
    realm.provinces["31"].chain = (new_link("31", [fixed_key("thief")], 1, realm.realm, created=realm.now),)
    realm.publish_targets()
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.AUTHORITY_EXISTS)
    assert "31" not in result.view.issuers


def test_a_handover_by_the_old_keys_is_followed(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The new authority publishes, and the old one no longer can."""
    old = realm.provinces["31"].authority
    realm.hand_over("31", "second")
    realm.publish_targets()
    realm.publish_province("31")
    realm.publish()
    result = refresh(client, realm)
    assert result.rejected == ()
    assert TrustStore.open(folder).view.issuers["31"].province_version == 2
    realm.publish_province("31", signers=old[:2])
    realm.publish()
    rejected(refresh(client, realm), "31", Reason.SIGNATURE_FOREIGN)


def test_a_handover_whose_publication_is_missing_keeps_the_old_authoritys_files(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Between a handover and the first publication under it the last good files serve, by their witness."""
    realm.hand_over("31", "second")
    realm.publish_targets()
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.SIGNATURE_FOREIGN)
    assert "31" in TrustStore.open(folder).view.issuers
    realm.publish_province("31")
    realm.publish()
    assert refresh(client, realm).rejected == ()


def test_an_unproven_authority_key_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """A link whose key nobody proved to hold never counts."""
    province = realm.new_province("44")
    link = province.chain[0]
    province.chain = (link.model_copy(update={"possession": link.possession[:2]}),)
    realm.provinces["44"] = province
    realm.publish_targets()
    realm.publish_province("44")
    realm.publish_live("44")
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "44", Reason.POSSESSION_UNPROVEN)
    assert set(result.view.issuers) == {"00", "11", "31"}


# provinces


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


# going back, jumping ahead, mixing


def test_rollback_is_refused_without_the_cache_too(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The durable generation remembers what was accepted, even if python-tuf's cache is lost."""
    old = realm.files[metadata_file("timestamp")]
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    shutil.rmtree(folder / "cache")
    realm.tampered[metadata_file("timestamp")] = old
    refused(client, realm, Reason.TRUST_ROLLBACK)


@pytest.mark.parametrize("role", ["targets", "areas", "province-31", "province-31-live"])
@pytest.mark.parametrize("cache", [True, False])
def test_a_snapshot_that_takes_a_role_back_is_refused(
    client: TrustClient, realm: SimulatedRealm, folder: Path, role: str, cache: bool
) -> None:
    """Rollback of any role by a thief of the snapshot and timestamp keys, python-tuf's cache or not."""
    realm.publish_targets()
    realm.publish_areas({})
    realm.publish_province("31")
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    realm.versions[role] -= 1
    realm.publish()
    if not cache:
        shutil.rmtree(folder / "cache")
    refused(client, realm, Reason.TRUST_ROLLBACK)


def test_a_snapshot_that_forgets_a_role_is_refused(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A role stays in snapshot for ever."""
    del realm.versions["province-31"]
    realm.publish()
    shutil.rmtree(folder / "cache")
    refused(client, realm, Reason.TRUST_ROLLBACK)


def test_a_head_that_goes_back_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """The live key signs an older head at a newer version: refused, nothing is un-revoked."""
    old = encode_head(realm.provinces["31"].head)
    expires = realm.now + 3600
    realm.revoke("31", 7, expires)
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    realm.publish_head("31", old)
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.LIST_ROLLBACK)
    state = result.view.issuers["31"].revocations
    assert state is not None
    assert state.status(7, expires) is RevocationStatus.REVOKED


def test_a_shrunk_list_is_refused(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """Within a day a list only grows, also when its count stays the same."""
    expires = realm.now + 3600
    for index in (7, 8):
        realm.revoke("31", index, expires)
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    for members in ([8], [8, 9]):
        realm.set_list("31", day_of(expires), members)
        realm.publish_live("31")
        realm.publish()
        result = refresh(client, realm)
        rejected(result, "31", Reason.LIST_SHRANK)
    state = TrustStore.open(folder).view.issuers["31"].revocations
    assert state is not None
    assert state.status(7, expires) is RevocationStatus.REVOKED
    realm.set_list("31", day_of(expires), [7, 8, 9])
    realm.publish_live("31")
    realm.publish()
    assert refresh(client, realm).rejected == ()


def test_a_killed_key_stays_killed(client: TrustClient, realm: SimulatedRealm) -> None:
    """Killing a key cannot be taken back."""
    province = realm.provinces["31"]
    dead = kid(province.keys[KeyPurpose.LIVE].public)
    realm.kill("31", dead)
    realm.publish_live("31")
    realm.publish()
    view = refresh(client, realm).view
    assert view.issuers["31"].keys_for(KeyPurpose.LIVE, realm.now) == ()
    province.head = replace(province.head, killed_kids=frozenset())
    realm.publish_live("31")
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.LIST_SHRANK)
    assert result.view.issuers["31"].keys_for(KeyPurpose.LIVE, realm.now) == ()


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


def test_the_timestamp_key_alone_cannot_make_a_snapshot(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Each online role signs for itself, on the wire and in the folder."""
    realm.snapshot_key = realm.timestamp_key
    realm.publish()
    refused(client, realm, Reason.SIGNATURE_THRESHOLD)
    files = client.open().state.files.national
    forged = replace(
        files,
        timestamp=realm.files[metadata_file("timestamp")],
        snapshot=realm.files[metadata_file("snapshot", realm.snapshot_version)],
    )
    with pytest.raises(HealthcodeError) as caught:
        verify_national(forged)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD


def test_an_expired_authority_is_not_taken_anew(client: TrustClient, realm: SimulatedRealm) -> None:
    """What an authority signed too long ago is not believed by whoever did not have it yet."""
    realm.now -= 91 * 86_400
    realm.publish_province("31")
    realm.now += 91 * 86_400
    realm.publish()
    result = refresh(client, realm)
    assert "expired" in rejected(result, "31", Reason.TRUST_EXPIRED)


# sizes, lists, files


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


def test_area_risk_that_does_not_hold_leaves_the_last_good_one(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Areas is a part by itself."""
    realm.areas_key = fixed_key("thief")
    realm.publish_areas({"310115": RiskLevel.LOW})
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "areas", Reason.SIGNATURE_THRESHOLD)
    assert result.view.areas.risk("310115") is RiskLevel.HIGH


# root, realm, reach


def test_roots_are_followed_one_by_one(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """New key holders, consented to by the old ones; the folder still opens from its first root."""
    for name in ("second", "third"):
        realm.rotate_root(root_keys=[realm.key(f"root {name}-{number}") for number in (1, 2, 3)])
    realm.publish()
    assert refresh(client, realm).view.root_version == 3
    assert TrustStore.open(folder).view.root_version == 3


def test_another_realms_registry_is_refused(realm: SimulatedRealm, folder: Path) -> None:
    """A folder begun in one realm takes nothing from another, nor begins with its root."""
    other = SimulatedRealm(("31",), realm="test-other")
    with pytest.raises(TrustError):
        init_trust(folder, other, realm.fingerprint)
    with pytest.raises(TrustError) as caught:
        init_trust(folder, realm, realm.fingerprint, realm="test-other")
    assert caught.value.reason is Reason.REALM_MISMATCH
    init_trust(folder, realm, realm.fingerprint)
    with pytest.raises(TrustError) as caught:
        TrustClient(folder, other).refresh(realm.now)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD


def test_a_registry_out_of_reach_changes_nothing(client: TrustClient, realm: SimulatedRealm) -> None:
    """Unavailable is told as such."""
    realm.offline = True
    error = refused(client, realm, Reason.TRUST_UNAVAILABLE)
    assert isinstance(error, UnavailableError)


def test_paths_are_the_fixed_ones(realm: SimulatedRealm) -> None:
    """What a plain TUF client of another language reads stands at the same paths."""
    listed = set(realm.targets.signed.targets)
    assert listed == {PARTICIPANTS_PATH, "policy/national.json"}
    assert head_path("31") == "provinces/31/revocations/head"


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


@pytest.mark.parametrize("what", ["timestamp", "targets", "live", "no snapshot"])
def test_what_was_refused_is_not_held_against_what_comes_later(
    realm: SimulatedRealm, client: TrustClient, what: str
) -> None:
    """Files that a thief of the online keys signed, and that were refused, bar nobody when they are gone."""
    honest = {name: getattr(realm, name) for name in ("timestamp_version", "snapshot_version")}
    versions, before = dict(realm.versions), dict(realm.files)
    if what == "timestamp":
        realm.timestamp_version = 10**25
    elif what == "targets":
        realm.versions["targets"] = 99
    elif what == "live":
        realm.versions["province-44-live"] = 10**25
    realm.publish()
    if what == "no snapshot":
        del realm.files[metadata_file("snapshot", realm.snapshot_version)]
    with pytest.raises(HealthcodeError):
        refresh(client, realm)
    realm.versions, realm.files = versions, before
    for name, value in honest.items():
        setattr(realm, name, value)
    realm.publish_live("31")
    realm.publish()
    assert refresh(client, realm).view.timestamp_version == realm.timestamp_version


def test_what_a_killed_refresh_fetched_is_not_held_against_what_comes_later(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """A kill after a version far ahead was fetched, and before it was judged, leaves nothing behind."""

    def kill(step: str) -> None:
        raise KeyboardInterrupt(step)

    honest, before = realm.timestamp_version, dict(realm.files)
    realm.timestamp_version = 10**4
    realm.publish()
    with pytest.raises(KeyboardInterrupt):
        refresh(realm.client(folder, checkpoint=kill), realm)
    realm.timestamp_version, realm.files = honest, before
    realm.publish()
    assert refresh(client, realm).view.timestamp_version == honest + 1


def test_a_full_disk_is_no_sources_fault(
    realm: SimulatedRealm, client: TrustClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When python-tuf cannot write its cache, the folder is named, and the source is not blamed."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    realm.publish_targets()  # under the same targets python-tuf is not asked
    realm.publish()
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    error = refused(client, realm, Reason.STORAGE_FULL)
    assert str(folder) in error.message
    assert "No space left" in error.message
    assert realm.name not in error.message
    monkeypatch.undo()
    assert refresh(client, realm).changed


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00", 5]
)
def test_a_time_that_no_calendar_has_is_refused(
    realm: SimulatedRealm, client: TrustClient, text: object
) -> None:
    """What could not be shown again is not taken."""
    timestamp = new_timestamp(
        version=realm.timestamp_version + 1,
        snapshot=realm.files[metadata_file("snapshot", realm.snapshot_version)],
        snapshot_version=realm.snapshot_version,
        now=realm.now,
    )
    timestamp.signed.unrecognized_fields[SIGNED_AT_FIELD] = text
    sign_metadata(timestamp, realm.timestamp_key)
    realm.tampered[metadata_file("timestamp")] = to_bytes(timestamp)
    refused(client, realm, Reason.MALFORMED_MESSAGE)
