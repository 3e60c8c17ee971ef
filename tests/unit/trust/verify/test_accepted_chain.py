"""Delegations and authority chains that do not follow from the accepted chain are refused."""

from pathlib import Path

import pytest

from healthcode.errors import Reason
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.store import TrustStore
from tests.simulator.realm import SimulatedRealm, fixed_key
from tests.unit.trust.refusals import others_move, refresh, rejected


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
