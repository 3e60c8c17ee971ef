"""Proposals as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthcode.errors import DecodeError, NotFoundError, Reason
from tests.world.clock import NOW, ManualClock
from trust_registry.participants.checks import Publication
from trust_registry.proposals.proposal import (
    Proposal,
    ProposalKind,
    ProposalStore,
    decode_proposal,
    encode_proposal,
)
from trust_registry.tree.event_log import EventLog


def make(version: int = 2, signers: tuple[str, ...] = ()) -> Proposal:
    metadata = {
        "signatures": [{"keyid": signer, "sig": "00"} for signer in signers],
        "signed": {"_type": "targets", "version": version},
    }
    return Proposal(
        kind=ProposalKind.ADMIT,
        role="targets",
        title="admit 31 上海 Shanghai",
        created=1_790_000_000 + version,
        metadata=json.dumps(metadata).encode(),
        files={"policy/participants.json": b"{}"},
        publications={"province-31": Publication(metadata=b"m", file=b"f")},
        requests=("ab" * 32,),
    )


def test_a_proposal_survives_its_file() -> None:
    """What is carried by hand comes back the same."""
    proposal = make(signers=("k1",))
    assert decode_proposal(encode_proposal(proposal)) == proposal


def test_a_signature_does_not_change_the_id() -> None:
    """The id is of what is signed; another content has another id."""
    assert make().id == make(signers=("k1", "k2")).id
    assert make(2).id != make(3).id


def test_a_proposal_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    """A prefix that fits one is enough; none, or several, is refused by name."""
    store = ProposalStore(tmp_path, EventLog(tmp_path / "events.ndjson", ManualClock(NOW)))
    for version in (2, 3):
        store.put(make(version))
    assert store.find(make(3).id[:8]) == make(3)
    assert [proposal.version for proposal in store.all()] == [2, 3]
    for prefix in ("", "zz"):
        with pytest.raises(NotFoundError) as caught:
            store.find(prefix)
        assert caught.value.reason is Reason.PROPOSAL_UNKNOWN


@given(
    st.binary(max_size=64) | st.from_regex(r'\{"format": ?"healthcode/proposal/1".{0,40}\}').map(str.encode)
)
def test_only_our_errors_leave_the_decoder(data: bytes) -> None:
    """Whatever a carried file holds, it is refused as MALFORMED_MESSAGE."""
    with pytest.raises(DecodeError):
        decode_proposal(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", "bm90IGpzb24="),
        ("metadata", "W10="),
        ("metadata", "eyJzaWduZWQiOiBbXSwgInNpZ25hdHVyZXMiOiBbXX0="),
        ("metadata", "!"),
        ("role", "snapshot"),
        ("kind", "WISH"),
        ("created", "yesterday"),
        ("files", {"a": 1}),
    ],
)
def test_a_broken_field_is_refused(field: str, value: object) -> None:
    """Each field has one form."""
    body = json.loads(encode_proposal(make()))
    body[field] = value
    with pytest.raises(DecodeError):
        decode_proposal(json.dumps(body).encode())
