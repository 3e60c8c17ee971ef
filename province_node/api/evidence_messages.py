"""The messages about evidence and levels as the use cases' own types, and back."""

from __future__ import annotations

from typing import Any

from healthcode.errors import HealthcodeError, InvalidInputError
from healthcode.identity.document import IdentityDocument, decode_document
from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.rpc.convert import enum_member, enum_number, epoch, refuse_unknown_fields, timestamp
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from province_node.people.evidence_checks import EvidenceDraft
from province_node.people.explanation import ExplainedGround, Explanation
from province_node.people.submission import EvidenceResult, SubmitResult
from province_node.people.withdrawal import EvidenceSelection
from province_node.store.people_records import ReceivedBetween, Withdrawn

__all__ = [
    "decode_draft",
    "decode_evidence_selection",
    "encode_explanation",
    "encode_submitted",
    "encode_withdrawn",
]


def _members(proto: Any, kind: Any) -> dict[int, Any]:
    """The words by their numbers: a look-up for each item is faster than asking the descriptors."""
    return {number: enum_member(proto, number, kind) for number in proto.values()}


_ENUMS: tuple[tuple[str, dict[int, Any]], ...] = (
    ("kind", _members(pb.EvidenceKind, EvidenceKind)),
    ("finding", _members(pb.Finding, Finding)),
    ("method", _members(pb.TestMethod, TestMethod)),
)
_RESULTS = {result: enum_number(pb.EvidenceResult, result) for result in EvidenceResult}


def decode_draft(item: pb.Evidence) -> EvidenceDraft:
    """What was sent; nothing is refused here."""
    words = {name: members.get(getattr(item, name)) for name, members in _ENUMS}
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
        return pb.SubmitEvidenceResponse(result=_RESULTS[result])
    return pb.SubmitEvidenceResponse(
        result=pb.EVIDENCE_RESULT_REFUSED,
        refused_reason=str(result.reason),
        refused_field=next(iter(result.fields), ""),
        refused_message=result.message,
    )


def decode_evidence_selection(request: pb.WithdrawEvidenceRequest) -> EvidenceSelection:
    """Which evidence to withdraw. Raises InvalidInputError, which names the field."""
    refuse_unknown_fields(request)
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


def encode_explanation(found: Explanation, participant: str) -> pb.ExplainLevelResponse:
    response = pb.ExplainLevelResponse(
        level=enum_number(verdict_pb2.Level, found.level),
        sequence=found.sequence,
        grounds=map(_encode_ground, found.grounds),
        next_change=timestamp(found.next_change),
        policy_version=found.policy_version,
        areas_as_of=timestamp(found.areas_as_of),
        decided_at=timestamp(found.decided_at),
        stated_by=found.stated_by,
    )
    if found.ground is not None:
        response.ground.CopyFrom(_encode_ground(found.ground))
    if found.appeal_seconds is not None:
        review, decide = (seconds // 3600 for seconds in found.appeal_seconds)
        response.appeal = (
            f"Participant {participant} is the home and decides. It takes an appeal up within {review} hours and "
            f"decides within {decide} hours."
        )
        response.appeal_zh = (
            f"由归属方 {participant} 受理：{review} 小时内开始复核，{decide} 小时内作出决定。"
        )
    return response


def _encode_ground(ground: ExplainedGround) -> pb.Ground:
    text, text_zh = ground.texts
    made = pb.Ground(
        rule=ground.rule,
        level=enum_number(verdict_pb2.Level, ground.level),
        reason=enum_number(pb.LevelReason, ground.reason),
        text=text,
        text_zh=text_zh,
        source=ground.source,
        evidence=ground.evidence,
        kind=enum_number(pb.EvidenceKind, ground.kind),
        observed_at=timestamp(ground.observed_at),
        starts=timestamp(ground.starts),
        ends=timestamp(ground.ends),
        active=ground.is_active,
        cleared=ground.is_cleared,
    )
    if ground.clearing is not None:
        made.clearing.negative_tests = ground.clearing.negative_tests
        made.clearing.apart_hours = ground.clearing.apart_seconds // 3600
        if ground.starts is not None:
            made.clearing.not_before.seconds = ground.starts + ground.clearing.not_before_seconds
    return made
