"""A signer sees what is signed: a carried file whose unsigned parts were exchanged is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.errors import (
    ConflictError,
    DecodeError,
    HealthcodeError,
    InvalidInputError,
    Reason,
    TrustError,
)
from healthcode.policy.book_file import default_policy_bytes
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH
from tests.simulator.registry import found_registry, operator
from trust_registry.participants.checks import Publication
from trust_registry.proposals.drafts import draft_policy, draft_renewal
from trust_registry.proposals.in_force import (
    CarriedProposal,
    carry,
    decode_carried_proposal,
    encode_carried_proposal,
)
from trust_registry.proposals.proposal import Proposal, decode_proposal, encode_proposal
from trust_registry.proposals.sign import add_signature, sign_proposal, take_signatures
from trust_registry.proposals.signed_documents import changes_of
from trust_registry.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry")


def policy(reuse_seconds: int) -> bytes:
    """The policy in force, and one to come that differs from it in one value."""
    book = json.loads(default_policy_bytes())
    coming = {
        **book["policies"][-1],
        "version": f"2027.{reuse_seconds}",
        "effective_from": "2030-01-01T00:00:00Z",
        "reuse_seconds": reuse_seconds,
    }
    return json.dumps({**book, "policies": [*book["policies"], coming]}).encode()


def proposed(registry: Registry) -> Proposal:
    return draft_policy(registry.repository, registry.proposals, policy(60))


def carried(registry: Registry, proposal: Proposal) -> CarriedProposal:
    """As the holder finds it on the stick."""
    return decode_carried_proposal(
        encode_carried_proposal(carry(proposal, registry.repository.published(), {}))
    )


def exchanged(proposal: Proposal, what: str) -> Proposal:
    """The same metadata, hence the same id and digest, and something else beside it."""
    match what:
        case "another file":
            return replace(proposal, files={POLICY_PATH: policy(240)})
        case "no file":
            return replace(proposal, files={})
        case "one more file":
            return replace(proposal, files={**proposal.files, PARTICIPANTS_PATH: b"{}"})
        case _:
            return replace(proposal, files={**proposal.files, "policy/else.json": b"{}"})


@pytest.mark.parametrize("what", ["another file", "no file", "one more file", "a file of no role"])
def test_what_is_not_signed_is_not_shown(registry: Registry, what: str) -> None:
    """Files that are not those under the signature are neither shown nor signed, though the digest is the same."""
    proposal = proposed(registry)
    false = carried(registry, exchanged(proposal, what))
    assert false.proposal.digest == proposal.digest
    with pytest.raises((TrustError, DecodeError)):
        changes_of(false.proposal, false.in_force)
    with pytest.raises((TrustError, DecodeError)):
        add_signature(false.proposal, false.in_force, operator(registry, "operator-1"))


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"title": "renew as it is"},
        {"created": 1},
        {"files": {POLICY_PATH: policy(240)}},
        {"publications": {"province-31": Publication(b"{}", b"{}")}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_copy_that_says_something_else_is_not_collected(
    registry: Registry, change: dict[str, object], published: bool
) -> None:
    """A copy that was changed on its way is an alarm, also once its signatures are no longer needed."""
    proposal = proposed(registry)
    copy = carried(registry, proposal)
    signed = add_signature(copy.proposal, copy.in_force, operator(registry, "operator-1"))
    false = replace(signed, **change)  # type: ignore[arg-type]  # each is of its field's type
    if published:
        for name in ("operator-2", "operator-3"):
            sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))
    with pytest.raises(InvalidInputError, match="changed on its way"):
        take_signatures(registry.repository, registry.proposals, false, {})
    assert take_signatures(registry.repository, registry.proposals, signed, {})


def test_too_late_is_said_before_it_is_signed(registry: Registry) -> None:
    """A proposal for a version that was published meanwhile, or for one that is to come, is not signed."""
    proposal = proposed(registry)
    renewal = draft_renewal(registry.repository, registry.proposals, "targets")
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, renewal.id, operator(registry, name))
    late = carried(registry, proposal)
    with pytest.raises(ConflictError) as caught:
        add_signature(late.proposal, late.in_force, operator(registry, "operator-1"))
    assert caught.value.reason is Reason.PROPOSAL_STALE


@pytest.mark.parametrize("title", ["\x1b[2Jrenew", "renew\r\n~ nothing", "x" * 2000])
def test_a_title_is_a_line_of_text(registry: Registry, title: str) -> None:
    """A title that could clear the screen, or fill it, is refused: it is shown, and it is not signed."""
    with pytest.raises(HealthcodeError):
        decode_proposal(encode_proposal(replace(proposed(registry), title=title)))
