"""The messages about evidence and levels as the use cases' own types, and back."""

from __future__ import annotations

from typing import Any

from healthcode.errors import HealthcodeError, InvalidInputError
from healthcode.identity.document import IdentityDocument, decode_document
from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.rpc.convert import enum_member, enum_number, epoch
from healthcode.v1 import province_issuer_pb2 as pb
from province_node.people.evidence_checks import EvidenceDraft
from province_node.people.submission import EvidenceResult, SubmitResult
from province_node.people.withdrawal import EvidenceSelection
from province_node.store.people_records import ReceivedBetween, Withdrawn

__all__ = ["decode_draft", "decode_evidence_selection", "encode_submitted", "encode_withdrawn"]

_ENUMS: tuple[tuple[str, Any, Any], ...] = (
    ("kind", pb.EvidenceKind, EvidenceKind),
    ("finding", pb.Finding, Finding),
    ("method", pb.TestMethod, TestMethod),
)


def decode_draft(item: pb.Evidence) -> EvidenceDraft:
    """What was sent; nothing is refused here."""
    words = {name: enum_member(proto, getattr(item, name), kind) for name, proto, kind in _ENUMS}
    return EvidenceDraft(
        record=item.record,
        revision=item.revision,
        document=_decode_document(item.document),
        kind=words["kind"],
        finding=words["finding"],
        method=words["method"],
        observed_at=epoch(item, "observed_at"),
        area=item.area_code,
        stay_from=epoch(item, "stay_from"),
        stay_to=epoch(item, "stay_to"),
        until=epoch(item, "until"),
        instrument=item.instrument,
        port_of_entry=item.port_of_entry,
        laboratory=item.laboratory,
        product=item.product,
        dose=item.dose,
        withdrawn=item.withdrawn,
        unknown_words=tuple(name for name, word in words.items() if getattr(item, name) and word is None),
    )


def _decode_document(document: pb.IdentityDocument) -> IdentityDocument | HealthcodeError:
    try:
        return decode_document(document.document_type, document.number)
    except HealthcodeError as error:
        error.fields = {f"document.{field}": wanted for field, wanted in error.fields.items()}
        return error


def encode_submitted(result: SubmitResult) -> pb.SubmitEvidenceResponse:
    if isinstance(result, EvidenceResult):
        return pb.SubmitEvidenceResponse(result=enum_number(pb.EvidenceResult, result))
    return pb.SubmitEvidenceResponse(
        result=pb.EVIDENCE_RESULT_REFUSED,
        refused_reason=str(result.reason),
        refused_field=next(iter(result.fields), ""),
        refused_message=result.message,
    )


def decode_evidence_selection(request: pb.WithdrawEvidenceRequest) -> EvidenceSelection:
    """Which evidence to withdraw. Raises InvalidInputError, which names the field."""
    which = request.WhichOneof("selection")
    if which == "records":
        return list(request.records.records)
    if which != "received":
        raise InvalidInputError(
            "selection: wanted records or received", fields={"selection": "records or received"}
        )
    received = request.received
    begin, end = epoch(received, "received_from"), epoch(received, "received_until")
    if begin is None or end is None:
        wanted = "a window: received_from and received_until"
        raise InvalidInputError(f"received_from: wanted {wanted}", fields={"received_from": wanted})
    kind = enum_member(pb.EvidenceKind, received.kind, EvidenceKind)
    if received.kind and kind is None:
        raise InvalidInputError("kind: wanted one of EvidenceKind", fields={"kind": "one of EvidenceKind"})
    return ReceivedBetween(begin, end, kind)


def encode_withdrawn(withdrawn: Withdrawn) -> pb.WithdrawEvidenceResponse:
    return pb.WithdrawEvidenceResponse(
        newly_withdrawn=withdrawn.newly, already_withdrawn=withdrawn.already, unknown=withdrawn.unknown
    )
