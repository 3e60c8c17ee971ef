"""Opening verifies by itself: whoever writes to a trust folder gains nothing, though each file be signed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import PARTICIPANTS_PATH, metadata_file
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.verify.assemble import assemble
from healthcode.trust.verify.issuer_trust import IssuerFiles
from healthcode.trust.verify.trust_state import TrustFiles, TrustState, Witness
from tests.simulator.realm import SimulatedRealm, fixed_key


def read_nothing(path: str, max_bytes: int) -> bytes:
    raise AssertionError(path)


def national_files(realm: SimulatedRealm, state: TrustState) -> TrustFiles:
    """The folder's files under what the realm's operators published last."""
    realm.publish()
    national = replace(
        state.files.national,
        timestamp=realm.files[metadata_file("timestamp")],
        snapshot=realm.files[metadata_file("snapshot", realm.snapshot_version)],
        targets=realm.files[metadata_file("targets", realm.versions["targets"])],
        participants=realm._national_files[PARTICIPANTS_PATH],
    )
    return replace(state.files, national=national)


def refused(files: TrustFiles, reason: Reason) -> None:
    with pytest.raises(HealthcodeError) as caught:
        assemble(files, read_nothing)
    assert caught.value.reason is reason, caught.value.message


def test_what_a_refresh_left_assembles_to_the_same_view(client: TrustClient) -> None:
    """One path into a view."""
    state = client.open().state
    assert assemble(state.files, read_nothing).view.issuers == state.view.issuers


def test_a_delegation_that_is_not_the_chains_head_does_not_open(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Signed by the operators or not."""
    targets = realm.new_targets()
    thief = tuf_key(fixed_key("thief").public)
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    targets.signed.delegations.keys[thief.keyid] = thief
    targets.signed.delegations.roles["province-31"].keyids = [thief.keyid]
    targets.signed.delegations.roles["province-31"].threshold = 1
    realm.publish_targets(targets)
    refused(national_files(realm, client.open().state), Reason.AUTHORITY_EXISTS)


def test_a_chain_that_is_not_proven_does_not_open(client: TrustClient, realm: SimulatedRealm) -> None:
    """participants.json is the operators' word; the proofs in it are the province's."""
    province = realm.provinces["31"]
    province.chain = (province.chain[0].model_copy(update={"possession": ()}),)
    realm.publish_targets()
    refused(national_files(realm, client.open().state), Reason.POSSESSION_UNPROVEN)


def test_a_province_above_snapshot_does_not_open(client: TrustClient, realm: SimulatedRealm) -> None:
    """A mix of an older national part and a newer province."""
    state = client.open().state
    realm.publish_live("31")
    live = realm.files[metadata_file("province-31-live", 2)]
    head = next(
        data
        for path, data in realm.files.items()
        if path.endswith(".head") and data not in {issuer.head for issuer in state.files.issuers.values()}
    )
    newer = replace(state.files.issuers["31"], live_metadata=live, head=head)
    refused(replace(state.files, issuers={**state.files.issuers, "31": newer}), Reason.TRUST_MIXED)


@pytest.mark.parametrize(
    "swap",
    [
        lambda one, two: two,
        lambda one, two: replace(one, metadata=two.metadata),
        lambda one, two: replace(one, province_json=two.province_json),
        lambda one, two: replace(one, live_metadata=two.live_metadata),
        lambda one, two: replace(one, head=two.head),
    ],
)
def test_a_neighbours_files_do_not_open(
    client: TrustClient, swap: Callable[[IssuerFiles, IssuerFiles], IssuerFiles]
) -> None:
    """Each file is good in its own place alone."""
    files = client.open().state.files
    swapped = swap(files.issuers["31"], files.issuers["11"])
    with pytest.raises(HealthcodeError):
        assemble(replace(files, issuers={**files.issuers, "31": swapped}), read_nothing)


def test_a_witness_is_signed_by_the_operators(client: TrustClient, realm: SimulatedRealm) -> None:
    """An older chain is believed by its signed evidence, never by a note of our own."""
    files = client.open().state.files
    true = Witness(files.national.targets, files.national.participants)
    assemble(replace(files, witnesses={"31": true}), read_nothing)
    other = SimulatedRealm(("31",), realm="test-other")
    forged = Witness(other.files[metadata_file("targets", 1)], other._national_files[PARTICIPANTS_PATH])
    refused(replace(files, witnesses={"31": forged}), Reason.SIGNATURE_THRESHOLD)
    mixed = Witness(true.targets, forged.participants)
    refused(replace(files, witnesses={"31": mixed}), Reason.SIGNATURE_INVALID)


def test_an_issuer_that_nobody_named_does_not_open(client: TrustClient) -> None:
    """Files alone make no participant."""
    files = client.open().state.files
    with pytest.raises(HealthcodeError, match="no chain"):
        assemble(replace(files, issuers={**files.issuers, "44": files.issuers["31"]}), read_nothing)


def test_a_root_that_the_one_before_did_not_sign_does_not_open(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """A row of roots is signed link by link, also in the folder."""
    files = client.open().state.files
    realm.root_keys = [fixed_key("thief-1"), fixed_key("thief-2")]
    realm._publish_root(2)
    forged = replace(files.national, roots=(*files.national.roots, realm.files[metadata_file("root", 2)]))
    refused(replace(files, national=forged), Reason.SIGNATURE_THRESHOLD)
