"""What every store promises of the entries that use cases leave: with what they record, and once."""

from __future__ import annotations

import hashlib
import struct

import pytest

from healthcode.audit.entry import person_subject
from healthcode.errors import InvalidInputError, NotFoundError
from province_node.store.audit_records import AuditQuery, AuditState
from province_node.store.people_records import ReceivedBetween, SourceState
from province_node.store.records import IssuedUnder, RevocationReason
from tests.contract.store.people import LAB, add, evidence, record
from tests.contract.store.stores import DAY, HOLDER, KID, NOW, RED, issue, request, revoke


def entries(store, event=""):
    """Oldest first, without the log's own first entry."""
    found, _ = store.audit.query(AuditQuery(event=event), None, 1000)
    return [each.entry for each in found if each.entry.event != "LOG_BEGUN"][::-1]


def digest(*indices):
    return hashlib.sha256(b"".join(struct.pack(">II", DAY, index) for index in sorted(indices))).digest()


def test_issuing_and_revoking_leave_one_entry_a_request(store):
    """Caller, request, counts and a digest of the indices; a repeat leaves none, and neither does a refused id."""
    issue(store, 7, 5, 6, name="i")
    revoke(store, 5, 9, name="v")
    revoke(store, 5, 9, name="v")
    with pytest.raises(InvalidInputError):
        store.revoking.record_revocations([], RevocationReason.FRAUD, request("v", digest=b"other"), NOW)
    issued, revoked = entries(store)
    assert (issued.event, issued.actor) == ("ISSUED", "caller")
    assert issued.content == {"request": "i", "issued": 3, "refused": 0, "indices": digest(5, 6, 7)}
    assert (revoked.event, revoked.actor) == ("REVOKED", "caller")
    assert revoked.content == {
        "request": "v",
        "newly": 2,
        "already": 0,
        "reason": "FRAUD",
        "indices": digest(5, 9),
    }


def test_a_mass_revocation_says_by_what_it_selected(store):
    """The selection, the counts and the digest of what was hit; a repeat leaves no entry."""
    issue(store, 1, 2)
    selection = IssuedUnder(NOW, NOW + 1, issued_by="caller")
    for _ in range(2):
        args = (selection, RevocationReason.ISSUED_IN_ERROR, request("m"), NOW)
        store.revoking.revoke_issued_under(*args)
    (entry,) = entries(store, "REVOKED_MATCHING")
    assert entry.content == {
        "request": "m",
        "newly": 2,
        "already": 0,
        "reason": "ISSUED_IN_ERROR",
        "indices": digest(1, 2),
        "issued_from": NOW,
        "issued_until": NOW + 1,
        "issued_by": "caller",
    }


def test_a_killed_key_leaves_one_entry(store):
    """Who killed which key and why, once for each request."""
    for name in ("k", "k", "l"):
        store.killing.kill_key(KID, RevocationReason.KEY_COMPROMISED, request(name), None, NOW)
    assert [(each.subject, each.content) for each in entries(store)] == [
        (KID.hex(), {"request": name, "reason": "KEY_COMPROMISED", "already": already})
        for name, already in (("k", False), ("l", True))
    ]


def test_a_stated_level_leaves_an_entry_when_it_changes(store):
    """One entry a person, by a subject that is not the pseudonym; GREEN at first is no change."""
    issue(store, 1, name="1")
    issue(store, 2, name="2", statement=RED)
    issue(store, 3, name="3", statement=RED)
    (entry,) = entries(store, "LEVEL_CHANGED")
    assert (entry.actor, entry.subject) == ("caller", person_subject(HOLDER))
    assert entry.content == {"from": "GREEN", "to": "RED", "sequence": 2, "reason": "A4"}


def test_sources_and_withdrawals_leave_entries(store):
    """Who was registered with which key, suspended, and took back how many items; a repeat leaves none."""
    add(store, evidence("a"), evidence("b"))
    store.sources.set_source_state(LAB.name, SourceState.SUSPENDED, NOW)
    with pytest.raises(NotFoundError):
        store.sources.set_source_state("nobody", SourceState.SUSPENDED, NOW)
    for _ in range(2):
        store.evidence.withdraw_records(LAB.name, [record("a"), record("c")], request("w"), NOW)
        store.evidence.withdraw_received(LAB.name, ReceivedBetween(NOW, NOW + 1), request("x"), NOW)
    added, suspended, first, second = entries(store)
    assert (added.event, added.subject, added.content["kinds"]) == ("SOURCE_ADDED", LAB.name, "TEST")
    assert (suspended.event, suspended.content) == ("SOURCE_STATE", {"state": "SUSPENDED"})
    assert (first.event, first.actor, first.subject) == ("EVIDENCE_WITHDRAWN", "caller", LAB.name)
    assert first.content == {"request": "w", "newly": 1, "already": 0, "unknown": 1}
    assert second.content == {"request": "x", "newly": 1, "already": 1, "unknown": 0}


def test_documents_that_are_merged_and_split_leave_entries(store):
    """Both persons are named by their subjects; what changes nothing leaves no entry."""
    other = b"o" * 32
    add(store, evidence("a"))
    for _ in range(2):
        store.documents.merge_documents(HOLDER, other, NOW)
    store.documents.split_document(other, NOW)
    merged, split = entries(store)[1:]
    assert (merged.event, merged.subject) == ("DOCUMENTS_MERGED", person_subject(HOLDER))
    assert merged.content == {"with": person_subject(other)}
    assert (split.event, split.subject) == ("DOCUMENT_SPLIT", person_subject(other))
    assert isinstance(store.audit.verify(), AuditState)
