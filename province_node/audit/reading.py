"""Reading the audit log: an auditor's questions, and a holder's own entries with their proofs. Both leave entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.audit.entry import AuditEntry, LoggedEntry, person_subject
from healthcode.audit.events import AuditEvent
from healthcode.audit.proof_file import ProofFile, encode_proof_file
from healthcode.clock import Clock
from healthcode.errors import PreconditionError
from province_node.store.audit_protocol import AuditStore
from province_node.store.audit_records import AuditQuery
from province_node.store.people_protocols import DocumentStore

__all__ = ["AuditPage", "ReadAudit"]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first, and where the next page begins (None: that was all)."""

    entries: Sequence[LoggedEntry]
    before: tuple[int, int] | None


class ReadAudit:
    """Reads the log of one participant. Blocks."""

    def __init__(
        self, participant: str, realm: str, *, store: AuditStore, documents: DocumentStore, clock: Clock
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._store = store
        self._documents = documents
        self._clock = clock

    def query(
        self, query: AuditQuery, before: tuple[int, int] | None, limit: int, *, actor: str, role: str
    ) -> AuditPage:
        """One page. The first page of a question is recorded, before it is answered."""
        if before is None:
            words = {"event": query.event, "actor": query.actor}
            content = {name: value for name, value in words.items() if value}
            self._store.record(
                [AuditEntry(AuditEvent.AUDIT_READ, actor, role, query.subject, content)], self._clock.now()
            )
        return AuditPage(*self._store.query(query, before, limit))

    def prove(self, document: bytes, *, actor: str) -> bytes:
        """The proof file of a holder, by the pseudonym of any of the documents. Recorded before it is given out.

        Raises PreconditionError while there is no checkpoint.
        """
        subjects = [person_subject(each) for each in self._documents.documents_of(document)]
        entry = AuditEntry(AuditEvent.HOLDER_EXPORTED, actor, "", subjects[0])
        self._store.record([entry], self._clock.now())
        proofs = self._store.prove(subjects)
        if proofs is None:
            raise PreconditionError(
                "with_proof: this node's audit log has no checkpoint yet: ask again after the next publication"
            )
        return encode_proof_file(ProofFile(self._realm, self._participant, proofs.checkpoint, proofs.proofs))
