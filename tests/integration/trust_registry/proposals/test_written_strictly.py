"""What is proposed, signed or published has known words alone; readers pass over unknown ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthcode.errors import InvalidInputError
from healthcode.policy.book_file import default_policy_bytes
from healthcode.trust.format.layout import POLICY_PATH
from healthcode.trust.format.metadata import Targets, decode_metadata, sign_metadata, to_bytes
from tests.simulator.realm import NOW
from tests.simulator.registry import found_registry, operator, plan
from tests.world.clock import ManualClock
from trust_registry.founding.ceremony import hold_ceremony
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.areas.approval import (
    AreaApproval,
    AreaApprovalStore,
    add_approval,
    check_areas,
    published_areas,
)
from trust_registry.proposals.areas.approve import approve_areas, keep_for_approval, take_approvals
from trust_registry.proposals.drafts import draft_policy, next_targets
from trust_registry.proposals.in_force import carry
from trust_registry.proposals.proposal import Proposal, ProposalKind
from trust_registry.proposals.publish import publish_proposal
from trust_registry.proposals.sign import add_signature, sign_proposal
from trust_registry.registry import Registry, open_registry

LATER = NOW + 60


def misspelt(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The policy in force, and one to come with a slip."""
    book = json.loads(default_policy_bytes())
    coming = json.loads(json.dumps(book["policies"][0]))
    coming |= {"version": "2030.1", "effective_from": "2030-01-01T00:00:00Z"}
    change(coming)
    book["policies"].append(coming)
    return json.dumps(book).encode()


def vallid(policy: dict[str, Any]) -> None:
    policy["places"][0]["when"]["outcome"] = ["VALLID"]


def gren(policy: dict[str, Any]) -> None:
    policy["places"][0]["when"]["level"] = ["GREN", "NO_ABNORMALITY"]


def hospitl(policy: dict[str, Any]) -> None:
    policy["freshness"]["places"]["HOSPITL"] = policy["freshness"]["places"].pop("HOSPITAL")


def plase(policy: dict[str, Any]) -> None:
    policy["places"][0]["when"]["plase"] = ["PARK"]


SLIPS = [
    (vallid, "policies[2030.1].places[N-PASS-1].when.outcome[0]", "'VALLID'; did you mean VALID?"),
    (gren, "policies[2030.1].places[N-PASS-1].when.level[0]", "'GREN'; did you mean GREEN?"),
    (hospitl, "policies[2030.1].freshness.places.HOSPITL", "'HOSPITL'; did you mean HOSPITAL?"),
    (plase, "policies[2030.1].places[N-PASS-1].when.plase", "'plase'; did you mean place?"),
]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry")


def of_older_software(registry: Registry, policy: bytes) -> Proposal:
    """A proposal of this policy that nothing has checked, in the registry's store."""
    with registry.repository.transaction() as transaction:
        targets = next_targets(transaction, {POLICY_PATH: policy})
    proposal = Proposal(
        ProposalKind.POLICY, "targets", "change", NOW, to_bytes(targets), {POLICY_PATH: policy}, {}
    )
    registry.proposals.put(proposal)
    return proposal


@pytest.mark.parametrize(("change", "path", "told"), SLIPS, ids=lambda each: getattr(each, "__name__", None))
def test_a_policy_with_an_unknown_word_is_not_proposed(
    registry: Registry, change: Callable[[dict[str, Any]], None], path: str, told: str
) -> None:
    """The error names the path, the value and the nearest word; nothing is kept."""
    with pytest.raises(InvalidInputError) as caught:
        draft_policy(registry.repository, registry.proposals, misspelt(change))
    assert told in caught.value.fields[path]
    assert path in caught.value.message
    assert registry.proposals.all() == []


def test_a_policy_with_an_unknown_word_is_not_signed(registry: Registry) -> None:
    """Neither at the registry nor on a carried file, though an older registry proposed it."""
    proposal = of_older_software(registry, misspelt(gren))
    with pytest.raises(InvalidInputError, match="GREN"):
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, "operator-1"))
    carried = carry(proposal, registry.repository.published(), {})
    with pytest.raises(InvalidInputError, match="GREN"):
        add_signature(carried.proposal, carried.in_force, operator(registry, "operator-1"))


def test_a_policy_with_an_unknown_word_is_not_published(registry: Registry) -> None:
    """Whatever signatures it has."""
    proposal = of_older_software(registry, misspelt(gren))
    metadata = decode_metadata(proposal.metadata, Targets)
    for name in ("operator-1", "operator-2"):
        sign_metadata(metadata, operator(registry, name))
    registry.proposals.put(replace(proposal, metadata=to_bytes(metadata)))
    with pytest.raises(InvalidInputError, match="GREN"):
        publish_proposal(registry.repository, registry.proposals, proposal.id)
    assert registry.repository.published().version_of("targets") == 1


def test_no_realm_is_founded_with_an_unknown_word(tmp_path: Path) -> None:
    """A ceremony refuses its policy before it makes a key."""
    place = RegistryFolder(tmp_path / "registry")
    with pytest.raises(InvalidInputError, match="GREN"):
        hold_ceremony(
            replace(plan(), policy=misspelt(gren)), place, ManualClock(), confirm=lambda _step: True
        )
    assert not place.root.exists()


def areas(as_of: str = "2026-11-21T08:01:00Z", **codes: str) -> bytes:
    written = {code.removeprefix("a"): risk for code, risk in codes.items()}
    return json.dumps({"format": "healthcode/areas/1", "as_of": as_of, "areas": written}).encode()


AREA_SLIPS = [
    (areas(a310115="high"), "areas.310115", "did you mean HIGH?"),
    (areas(a310115="PURPLE"), "areas.310115", "known are LOW, MEDIUM, HIGH"),
    (areas(a990115="HIGH"), "areas.990115", "no province has the code 99"),
]


@pytest.fixture
def later(tmp_path: Path) -> Registry:
    made = found_registry(tmp_path / "areas")
    return open_registry(made.folder, ManualClock(LATER), {})


@pytest.mark.parametrize(("data", "path", "told"), AREA_SLIPS, ids=["high", "PURPLE", "990115"])
def test_areas_with_an_unknown_word_are_not_approved(
    later: Registry, data: bytes, path: str, told: str
) -> None:
    """Neither kept to be carried, nor approved here, nor taken from a carried file."""
    store = AreaApprovalStore(later.folder.areas, later.events)
    key = operator(later, "operator-1")
    unchecked = AreaApproval(realm="test-registry", risk=base64.b64encode(data).decode())
    for act in (
        lambda: check_areas(data, later.repository.published(), LATER),
        lambda: keep_for_approval(later.repository, store, data),
        lambda: approve_areas(later.repository, store, data, key),
        lambda: take_approvals(later.repository, store, unchecked, {}),
        lambda: add_approval(unchecked, areas(), later.repository.published().root.signed, key, LATER),
    ):
        with pytest.raises(InvalidInputError) as caught:
            act()
        assert told in caught.value.fields[path]
    assert store.all() == []


@pytest.mark.parametrize("as_of", ["9999-12-31T23:59:59Z", "2020-01-01T00:00:00Z"])
def test_areas_of_another_time_are_not_approved(later: Registry, as_of: str) -> None:
    """In the future, or not later than those in force: at each door, and when a carried file is signed."""
    data = areas(as_of, a310115="HIGH")
    store = AreaApprovalStore(later.folder.areas, later.events)
    key = operator(later, "operator-1")
    unchecked = AreaApproval(realm="test-registry", risk=base64.b64encode(data).decode())
    published = later.repository.published()
    for act in (
        lambda: keep_for_approval(later.repository, store, data),
        lambda: approve_areas(later.repository, store, data, key),
        lambda: take_approvals(later.repository, store, unchecked, {}),
        lambda: add_approval(unchecked, published_areas(published), published.root.signed, key, LATER),
    ):
        with pytest.raises(InvalidInputError) as caught:
            act()
        assert "as_of" in caught.value.fields
    assert store.all() == []
