"""The part of ProvinceIssuerService about the audit log, for auditors."""

from __future__ import annotations

import re

from healthcode.audit.display import content_json
from healthcode.audit.entry import LoggedEntry, person_subject
from healthcode.errors import InvalidInputError
from healthcode.identity.document import decode_document
from healthcode.identity.role import Role
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import epoch, timestamp
from healthcode.v1 import province_issuer_pb2 as pb
from province_node.audit.reading import ReadAudit
from province_node.people.pseudonym import PseudonymKey
from province_node.store.audit_records import AuditQuery
from province_node.threads import NodeThreads

__all__ = ["AuditServicer"]

_MAX_PAGE = 1000
_MAX_WORD = 255
_TOKEN = re.compile(r"([0-9]{1,15})-([0-9]{1,15})", re.ASCII)


class AuditServicer:
    """Answers auditors."""

    def __init__(self, reading: ReadAudit, *, threads: NodeThreads, pseudonym_key: PseudonymKey) -> None:
        self._reading = reading
        self._threads = threads
        self._pseudonym_key = pseudonym_key

    async def QueryAudit(  # noqa: N802  named as in the proto
        self, request: pb.QueryAuditRequest, call: CallInfo
    ) -> pb.QueryAuditResponse:
        query = self._decode(request)
        before = _decode_token(request.page_token)
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise _wrong("page_size", f"0 to {_MAX_PAGE}")
        limit = request.page_size or _MAX_PAGE
        actor = call.caller().uri
        page = await self._threads.long.run(
            lambda: self._reading.query(query, before, limit, actor=actor, role=Role.AUDITOR.value)
        )
        return pb.QueryAuditResponse(
            records=map(_encode, page.entries),
            next_page_token="" if page.before is None else "{}-{}".format(*page.before),
        )

    def _decode(self, request: pb.QueryAuditRequest) -> AuditQuery:
        for field in ("event", "actor", "subject"):
            if len(getattr(request, field)) > _MAX_WORD:
                raise _wrong(field, f"at most {_MAX_WORD} characters")
        subject: str | bytes = request.subject
        if request.HasField("person"):
            document = decode_document(request.person.document_type, request.person.number)
            subject = person_subject(self._pseudonym_key.pseudonym(document))
        whole = AuditQuery()
        from_at, until_at = epoch(request, "from"), epoch(request, "until")
        return AuditQuery(
            event=request.event,
            actor=request.actor,
            subject=subject,
            from_at=whole.from_at if from_at is None else from_at,
            until_at=whole.until_at if until_at is None else until_at,
        )


def _decode_token(token: str) -> tuple[int, int] | None:
    if not token:
        return None
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise _wrong("page_token", "as the page before gave it")
    return int(found[1]), int(found[2])


def _encode(logged: LoggedEntry) -> pb.AuditRecord:
    entry = logged.entry
    subject = entry.subject
    return pb.AuditRecord(
        log=logged.log,
        seq=logged.seq,
        at=timestamp(logged.at),
        event=entry.event,
        actor=entry.actor,
        role=entry.role,
        subject=subject if isinstance(subject, str) else "",
        person=subject if isinstance(subject, bytes) else b"",
        content=content_json(entry.content),
    )


def _wrong(field: str, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: wanted {wanted}", fields={field: wanted})
