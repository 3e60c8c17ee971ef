"""The messages of ProvinceIssuerService as the use cases' own types, and back."""

from __future__ import annotations

from collections.abc import Sequence

from healthcode.errors import HealthcodeError, InvalidInputError
from healthcode.identity.document import decode_document
from healthcode.policy.words import LevelReason
from healthcode.rpc.convert import enum_member, enum_number, epoch, refuse_unknown_fields, timestamp
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.wire.claims import Level, Presentation
from province_node.codes.code_maker import IssuedCode
from province_node.codes.order import IssueOrder
from province_node.codes.repeat import IssueResult
from province_node.codes.revoke import MAX_HOLDERS, Selection
from province_node.people.pseudonym import PseudonymKey
from province_node.store.records import IssuedUnder, LevelStatement, RevocationReason

__all__ = [
    "decode_order",
    "decode_order_or_error",
    "decode_reason",
    "decode_selection",
    "encode_issued",
    "encode_results",
    "wrong_field",
]


def decode_order(item: province_issuer_pb2.IssueItem) -> IssueOrder:
    """An order. Raises InvalidInputError, which names the field."""
    level = enum_member(verdict_pb2.Level, item.level, Level)
    if item.level and level is None:
        raise wrong_field("level", "GREEN, YELLOW, RED, PENDING or NO_ABNORMALITY")
    reason = enum_member(province_issuer_pb2.LevelReason, item.reason, LevelReason)
    if item.reason and reason is None:
        raise wrong_field("reason", "one of LevelReason")
    presentation = enum_member(verdict_pb2.Presentation, item.presentation, Presentation)
    if item.presentation and presentation is None:
        raise wrong_field("presentation", "LIVE or PAPER")
    document = decode_document(item.document.document_type, item.document.number)
    return IssueOrder(
        document=document,
        name=item.name,
        statement=None
        if level is None
        else LevelStatement(
            level=level,
            reason=reason,
            legal_instrument=item.legal_instrument,
            until=epoch(item, "level_until"),
        ),
        presentation=presentation or Presentation.LIVE,
        validity_seconds=item.validity.seconds if item.HasField("validity") else None,
        shown_by_relative=item.shown_by_relative,
    )


def decode_order_or_error(item: province_issuer_pb2.IssueItem) -> IssueOrder | HealthcodeError:
    try:
        return decode_order(item)
    except HealthcodeError as error:
        return error


def decode_reason(number: int) -> RevocationReason:
    reason = enum_member(province_issuer_pb2.RevocationReason, number, RevocationReason)
    if reason is None:
        raise InvalidInputError(
            "a revocation has a reason of the closed list", fields={"reason": "one of RevocationReason"}
        )
    return reason


def wrong_field(name: str, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"{name}: wanted {wanted}", fields={name: wanted})


def encode_issued(code: IssuedCode) -> province_issuer_pb2.IssuedCode:
    return province_issuer_pb2.IssuedCode(
        code=code.text,
        index=code.index,
        kid=code.kid.hex(),
        issued_at=timestamp(code.issued_at),
        expires_at=timestamp(code.expires_at),
    )


def encode_results(results: Sequence[IssueResult]) -> province_issuer_pb2.IssueCodesResponse:
    response = province_issuer_pb2.IssueCodesResponse()
    for result in results:
        if isinstance(result, HealthcodeError):
            derived = result.info.get("derived_level")
            response.results.add(
                refused_reason=str(result.reason),
                refused_message=result.message,
                derived_level=enum_number(verdict_pb2.Level, Level(derived) if derived else None),
            )
        else:
            response.results.add(issued=encode_issued(result))
    return response


def decode_selection(
    request: province_issuer_pb2.RevokeMatchingRequest, pseudonym_key: PseudonymKey
) -> Selection:
    """Which codes to revoke. Raises InvalidInputError, which names the field."""
    refuse_unknown_fields(request)
    which = request.WhichOneof("selection")
    if which == "holders":
        documents = request.holders.documents
        if not 1 <= len(documents) <= MAX_HOLDERS:
            raise wrong_field("holders", f"1 to {MAX_HOLDERS} documents")
        return [
            pseudonym_key.pseudonym(decode_document(document.document_type, document.number))
            for document in documents
        ]
    if which != "issued":
        raise wrong_field("selection", "holders or issued")
    issued = request.issued
    level_reason = enum_member(province_issuer_pb2.LevelReason, issued.level_reason, LevelReason)
    if issued.level_reason and level_reason is None:
        raise wrong_field("level_reason", "one of LevelReason")
    begin, end = epoch(issued, "issued_from"), epoch(issued, "issued_until")
    if begin is None or end is None:
        raise wrong_field("issued_from", "a window: issued_from and issued_until")
    return IssuedUnder(begin, end, issued.rule, level_reason or "", issued.issued_by)
