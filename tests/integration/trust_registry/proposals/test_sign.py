"""Onboarding: what two operators must do, and what nobody can."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import (
    ConflictError,
    HealthcodeError,
    InvalidInputError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    TrustError,
)
from healthcode.policy.book_file import default_policy_bytes
from healthcode.trust.client import TrustClient
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import NOW, PEM
from tests.simulator.registry import Province, admit, found_registry, operator, put_join
from tests.world.clock import ManualClock
from trust_registry.participants.join import Join, receive_join
from trust_registry.proposals.drafts import draft_admission, draft_policy, draft_renewal, draft_service
from trust_registry.proposals.proposal import ProposalState
from trust_registry.proposals.publish import publish_proposal
from trust_registry.proposals.sign import sign_proposal
from trust_registry.proposals.signed_documents import changes_of, state_of
from trust_registry.proposals.signers import tally_of
from trust_registry.registry import Registry
from trust_registry.tree.retention import remove_superseded

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry")


def client_view(registry: Registry, tmp_path: Path) -> TrustClient:
    """A node's trust folder that follows the registry's files."""
    source = FolderSource(registry.folder.repository)
    fingerprint = root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    init_trust(tmp_path / "trust", source, fingerprint)
    return TrustClient(tmp_path / "trust", source)


def test_two_operators_admit_a_province_and_clients_believe_it(registry: Registry, tmp_path: Path) -> None:
    """One signature publishes nothing; the second publishes at once, and a client takes it."""
    client = client_view(registry, tmp_path)
    assert not client.refresh(NOW).view.issuers
    shanghai = Province("31", REALM)
    proposal = draft_admission(registry.repository, registry.proposals, [put_join(registry, shanghai)])
    first = sign_proposal(
        registry.repository, registry.proposals, proposal.id, operator(registry, "operator-1")
    )
    assert first.receipt is None
    assert (first.tally.signatures, first.tally.threshold) == (1, 2)
    assert registry.repository.published().versions.roles["targets"] == 1
    second = sign_proposal(
        registry.repository, registry.proposals, proposal.id, operator(registry, "operator-3")
    )
    assert second.receipt is not None
    result = client.refresh(NOW)
    assert not result.rejected
    assert set(result.view.issuers) == {"31"}


def test_what_is_signed_is_shown_whole(registry: Registry) -> None:
    """The difference names the new delegation, its keys, the chain, and the new version."""
    proposal = draft_admission(
        registry.repository, registry.proposals, [put_join(registry, Province("31", REALM))]
    )
    lines = "\n".join(str(change) for change in changes_of(proposal, registry.repository.published()))
    assert "~ targets.json / version: 1 → 2" in lines
    assert "+ targets.json / delegations / roles / province-31 / threshold: 2" in lines
    assert "provinces/31/*, provinces/31/revocations/*" in lines
    assert "+ participants.json / participants / 31 / chain / 1 / threshold: 2" in lines


def test_one_operator_is_one_signature(registry: Registry) -> None:
    """Signing twice is refused as ALREADY_SIGNED, and counts once."""
    proposal = draft_admission(
        registry.repository, registry.proposals, [put_join(registry, Province("31", REALM))]
    )
    key = operator(registry, "operator-1")
    sign_proposal(registry.repository, registry.proposals, proposal.id, key)
    with pytest.raises(ConflictError) as caught:
        sign_proposal(registry.repository, registry.proposals, proposal.id, key)
    assert caught.value.reason is Reason.ALREADY_SIGNED
    assert tally_of(registry.proposals.find(proposal.id), registry.repository.published()).signatures == 1


@pytest.mark.parametrize("name", ["root-1", "root-2"])
def test_a_root_holder_is_no_operator(registry: Registry, name: str) -> None:
    """A key that root does not name for targets signs nothing there."""
    proposal = draft_admission(
        registry.repository, registry.proposals, [put_join(registry, Province("31", REALM))]
    )
    with pytest.raises(PermissionDeniedError, match="use an operator's key"):
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))


def test_below_the_threshold_nothing_is_published(registry: Registry) -> None:
    """Asking to publish does not replace a signature."""
    proposal = draft_admission(
        registry.repository, registry.proposals, [put_join(registry, Province("31", REALM))]
    )
    sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, "operator-1"))
    with pytest.raises(PermissionDeniedError) as caught:
        publish_proposal(registry.repository, registry.proposals, proposal.id)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD
    assert registry.repository.published().versions.roles["targets"] == 1


def test_both_operators_get_the_same_proposal(registry: Registry) -> None:
    """Asking for the same admission again makes no second proposal."""
    join = put_join(registry, Province("31", REALM))
    first = draft_admission(registry.repository, registry.proposals, [join])
    assert draft_admission(registry.repository, registry.proposals, [join]).id == first.id
    assert len(registry.proposals.all()) == 1


def test_a_second_authority_is_refused_at_the_door_and_at_the_table(registry: Registry) -> None:
    """A province has one authority: neither the wire nor the operators let a second in."""
    waiting = put_join(registry, Province("31", REALM, name="impostor"))
    admit(registry, Province("31", REALM))
    late = Province("31", REALM, name="other")
    with pytest.raises(ConflictError) as caught:
        put_join(registry, late)
    assert caught.value.reason is Reason.AUTHORITY_EXISTS
    with pytest.raises(ConflictError) as caught:
        draft_admission(registry.repository, registry.proposals, [waiting])
    assert caught.value.reason is Reason.AUTHORITY_EXISTS


def test_two_requests_for_one_province_are_told_apart_by_digest(registry: Registry) -> None:
    """A squatter cannot be taken for the province: its code alone is refused, a digest decides."""
    true = put_join(registry, Province("31", REALM))
    false = put_join(registry, Province("31", REALM, name="squatter"))
    with pytest.raises(ConflictError, match="by that digest"):
        registry.joins.find("31")
    assert registry.joins.find(true.digest[:8]).digest == true.digest
    with pytest.raises(ConflictError):
        draft_admission(registry.repository, registry.proposals, [true, false])


def test_the_door_holds_a_bounded_number(registry: Registry) -> None:
    """Strangers fill four places a participant; a request carried by hand still finds room."""
    for number in range(4):
        put_join(registry, Province("31", REALM, name=f"stranger-{number}"))
    true = Province("31", REALM)
    with pytest.raises(OverloadedError, match="carried to them as a file"):
        put_join(registry, true)
    registry.joins.put(Join.decode(true.join_request(NOW)), bounded=False)
    assert len(registry.joins.all()) == 5


def test_handing_in_again_changes_nothing(registry: Registry) -> None:
    """The same request has the same digest, waits once, and after admission is known as approved."""
    shanghai = Province("31", REALM)
    first = put_join(registry, shanghai)
    assert put_join(registry, shanghai).digest == first.digest
    assert len(registry.joins.all()) == 1
    admit(registry, shanghai)
    published = registry.repository.published()
    assert receive_join(registry.joins, shanghai.join_request(NOW), published, NOW).is_admitted


def test_a_request_whose_keys_are_not_held_is_refused(registry: Registry) -> None:
    """Somebody else's key in the link, without its owner's proof, is refused at the door."""
    shanghai, beijing = Province("31", REALM), Province("11", REALM)
    stolen = shanghai.link.model_copy(update={"keys": beijing.link.keys})
    join = Join.decode(shanghai.join_request(NOW))
    forged = join.request.model_copy(update={"link": stolen})
    with pytest.raises(HealthcodeError) as caught:
        Join("0" * 64, b"", forged).verify(registry.repository.published(), NOW)
    assert caught.value.reason is Reason.POSSESSION_UNPROVEN


def test_a_request_of_another_realm_is_refused(registry: Registry) -> None:
    """A request says for which realm it is."""
    with pytest.raises(TrustError) as caught:
        put_join(registry, Province("31", "test-other"))
    assert caught.value.reason is Reason.REALM_MISMATCH


def test_what_was_published_stays_published(registry: Registry) -> None:
    """However much is published after it, and superseded files are removed."""
    ids = []
    for code in ("31", "11", "44"):
        join = put_join(registry, Province(code, REALM))
        ids.append(draft_admission(registry.repository, registry.proposals, [join]).id)
        for name in ("operator-1", "operator-2"):
            sign_proposal(registry.repository, registry.proposals, ids[-1], operator(registry, name))
    remove_superseded(registry.repository, keep_seconds=-60)
    published = registry.repository.published()
    states = [state_of(registry.proposals.find(each), published) for each in ids]
    assert states == [ProposalState.PUBLISHED] * 3


def test_of_two_proposals_the_slower_goes_stale(registry: Registry) -> None:
    """What was drafted on what is no longer current is refused, and is drafted again."""
    shanghai, beijing = (put_join(registry, Province(code, REALM)) for code in ("31", "11"))
    slow = draft_admission(registry.repository, registry.proposals, [shanghai])
    fast = draft_admission(registry.repository, registry.proposals, [beijing])
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, fast.id, operator(registry, name))
    published = registry.repository.published()
    assert state_of(registry.proposals.find(fast.id), published) is ProposalState.PUBLISHED
    assert state_of(registry.proposals.find(slow.id), published) is ProposalState.STALE
    with pytest.raises(ConflictError) as caught:
        sign_proposal(registry.repository, registry.proposals, slow.id, operator(registry, "operator-1"))
    assert caught.value.reason is Reason.PROPOSAL_STALE
    again = draft_admission(registry.repository, registry.proposals, [shanghai])
    assert again.version == 3


def test_several_are_admitted_by_one_signature_each(registry: Registry, tmp_path: Path) -> None:
    """Thirty-four provinces need not be sixty-eight signatures."""
    admit(registry, *(Province(code, REALM) for code in ("00", "11", "31", "44")))
    view = client_view(registry, tmp_path).refresh(NOW).view
    assert set(view.issuers) == {"00", "11", "31", "44"}


def test_test_participants_join_test_realms_alone(registry: Registry, tmp_path: Path) -> None:
    """90 to 99 are refused in cn, whoever signs, and welcome in a test realm."""
    admit(registry, Province("90", REALM))
    with pytest.raises(InvalidInputError, match="no participant 90"):
        Join.decode(Province("90", "cn").join_request(NOW)).verify(_Cn(registry), NOW)  # type: ignore[arg-type]  # a stand-in


class _Cn:
    """What is published, if this registry were that of cn."""

    def __init__(self, registry: Registry) -> None:
        self.participants = registry.repository.published().participants.model_copy(
            update={"participants": {}}
        )
        self.realm = "cn"
        self.root = registry.repository.published().root

    def version_of(self, role: str) -> int:
        return 0


def test_policy_service_and_renewals_take_the_same_way(registry: Registry, tmp_path: Path) -> None:
    """Everything that operators or root holders sign is a proposal; a client follows all of them."""
    client = client_view(registry, tmp_path)
    entry = ServiceEntry(ca_pem=PEM, endpoint="127.0.0.1:7445")
    service = draft_service(registry.repository, registry.proposals, "gateway", entry)
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, service.id, operator(registry, name))
    renewal = draft_renewal(registry.repository, registry.proposals, "targets")
    for name in ("operator-2", "operator-3"):
        sign_proposal(registry.repository, registry.proposals, renewal.id, operator(registry, name))
    root = draft_renewal(registry.repository, registry.proposals, "root")
    with pytest.raises(PermissionDeniedError, match="root holder"):
        sign_proposal(registry.repository, registry.proposals, root.id, operator(registry, "operator-1"))
    for name in ("root-1", "root-3"):
        sign_proposal(registry.repository, registry.proposals, root.id, operator(registry, name))
    view = client.refresh(NOW).view
    assert (view.root_version, view.targets_version) == (2, 3)
    assert view.services["gateway"].endpoint == "127.0.0.1:7445"


def test_a_proposal_that_changes_nothing_is_refused(registry: Registry) -> None:
    """Nobody is asked to sign nothing."""
    with pytest.raises(InvalidInputError, match="nothing would change"):
        draft_policy(registry.repository, registry.proposals, default_policy_bytes())


def test_a_clock_that_moves_does_not_matter_to_open_proposals(tmp_path: Path) -> None:
    """A proposal signed a week later is still the same proposal."""
    clock = ManualClock()
    registry = found_registry(tmp_path / "registry", clock=clock)
    proposal = draft_admission(
        registry.repository, registry.proposals, [put_join(registry, Province("31", REALM))]
    )
    sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, "operator-1"))
    clock.at += 7 * 86_400
    signing = sign_proposal(
        registry.repository, registry.proposals, proposal.id, operator(registry, "operator-2")
    )
    assert signing.receipt is not None
