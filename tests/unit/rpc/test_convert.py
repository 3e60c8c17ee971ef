"""Our words and the protos' are one list, and a verdict crosses the wire whole."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from healthcode.errors import InvalidInputError
from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, LevelReason, Outcome, PersonCategory, PlaceType
from healthcode.rpc.convert import (
    category_word,
    decode_verdict,
    duration,
    encode_verdict,
    enum_member,
    enum_number,
    enum_word,
    epoch,
    place_word,
    refuse_unknown_fields,
    timestamp,
)
from healthcode.v1 import province_issuer_pb2, province_node_pb2, verdict_pb2
from healthcode.verification.verdict import Verdict
from healthcode.wire.answer import CodeStatus
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.holder_tag import HolderMatch
from healthcode.wire.question import QueryMode, QueryPurpose

ENUMS: list[tuple[Any, type[StrEnum]]] = [
    (verdict_pb2.Level, Level),
    (verdict_pb2.Outcome, Outcome),
    (verdict_pb2.Decision, Decision),
    (verdict_pb2.HolderMatch, HolderMatch),
    (verdict_pb2.Presentation, Presentation),
    (verdict_pb2.TrustTier, TrustTier),
    (verdict_pb2.PlaceType, PlaceType),
    (verdict_pb2.PersonCategory, PersonCategory),
    (province_node_pb2.QueryMode, QueryMode),
    (province_node_pb2.QueryPurpose, QueryPurpose),
    (province_node_pb2.CodeStatus, CodeStatus),
    (province_issuer_pb2.LevelReason, LevelReason),
    (province_issuer_pb2.EvidenceKind, EvidenceKind),
    (province_issuer_pb2.Finding, Finding),
    (province_issuer_pb2.TestMethod, TestMethod),
]

VERDICT = Verdict(
    outcome=Outcome.VALID,
    decision=Decision.PASS,
    level=Level.GREEN,
    holder_match=HolderMatch.MATCH,
    presentation=Presentation.PAPER,
    masked_name="张*三",
    issuer="31",
    kid="0011223344556677",
    realm="test-x",
    code_expires_at=1_800_000_000,
    rule="P-1",
    policy_version="2026.1",
    remedy=None,
    trust_version=7,
    trust_tier=TrustTier.AGING,
    trust_age_seconds=1000,
    revocations_as_of=1_799_999_000,
    evaluated_at=1_799_999_500,
    reusable_until=1_799_999_600,
    item_id="gate-7",
    detail=None,
    shown_by_relative=True,
    warnings=("UNKNOWN_PLACE_TYPE",),
    place_type=PlaceType.HOSPITAL,
    area_code="310115",
    person_category=PersonCategory.SPECIAL,
    areas_version=4,
)
EMPTY = VERDICT._replace(
    outcome=Outcome.MALFORMED,
    decision=Decision.REFUSE,
    level=None,
    holder_match=HolderMatch.NOT_CHECKED,
    presentation=None,
    masked_name=None,
    issuer=None,
    kid=None,
    code_expires_at=None,
    remedy="Show the code again",
    revocations_as_of=None,
    reusable_until=None,
    detail="base45.character",
    warnings=(),
    place_type=None,
    area_code="",
    person_category=None,
    areas_version=0,
)


@pytest.mark.parametrize(("proto", "kind"), ENUMS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_words_are_the_protos(proto: Any, kind: type[StrEnum]) -> None:
    """Every value of the proto has a member and back; a member beyond them (Level.UNKNOWN) has no number."""
    words = {enum_word(proto, number) for number in proto.values() if number != 0}
    assert words <= set(kind.__members__)
    assert set(kind.__members__) - words <= {"UNKNOWN"}
    for number in proto.values():
        member = enum_member(proto, number, kind)
        assert enum_number(proto, member) == number


def test_what_is_not_known_is_none() -> None:
    """A number of a newer peer is never an error."""
    assert enum_word(verdict_pb2.Outcome, 99) is None
    assert enum_member(verdict_pb2.Outcome, 99, Outcome) is None
    assert enum_number(verdict_pb2.Outcome, None) == 0


def test_a_field_that_is_not_read_is_found_at_any_depth() -> None:
    """A newer client's condition, and one of another wire type, which protobuf passes over."""
    request = province_issuer_pb2.RevokeMatchingRequest(request_id="1", count_only=True)
    request.issued.issued_by = "spiffe://t/issuer/31/x"
    request.issued.issued_from.seconds = 1
    refuse_unknown_fields(request)
    for more in (b"\x22\x02A8", b"\x7a\x01x"):  # level_reason as a text; field 15
        changed = request.issued.SerializeToString() + more
        lost = province_issuer_pb2.RevokeMatchingRequest(
            issued=province_issuer_pb2.IssueSelection.FromString(changed)
        )
        with pytest.raises(InvalidInputError) as caught:
            refuse_unknown_fields(lost)
        assert list(caught.value.fields) == ["issued"]
    with pytest.raises(InvalidInputError, match="number 5"):
        refuse_unknown_fields(province_issuer_pb2.RevokeMatchingRequest.FromString(b"\x2a\x01x"))


def test_place_and_category_tell_what_was_not_given() -> None:
    """Unspecified is empty, as not given; unknown stays recognisable, so that both can be flagged."""
    assert (place_word(0), place_word(3), place_word(77)) == ("", "STATION", "77")
    assert (category_word(0), category_word(2), category_word(9)) == ("", "SPECIAL", "9")


@pytest.mark.parametrize("verdict", [VERDICT, EMPTY])
def test_a_verdict_round_trip(verdict: Verdict) -> None:
    """Every field comes back as it went, None too."""
    message = verdict_pb2.Verdict.FromString(encode_verdict(verdict).SerializeToString())
    assert decode_verdict(message) == verdict


def test_a_verdict_has_the_protos_fields() -> None:
    """By the same names, in the same order."""
    assert [field.name for field in verdict_pb2.Verdict.DESCRIPTOR.fields] == list(VERDICT.to_dict())


def test_an_unknown_outcome_or_decision_is_undecided() -> None:
    """Whatever a newer server means, this software neither lets pass nor refuses."""
    for field in ("outcome", "decision"):
        message = encode_verdict(VERDICT)
        setattr(message, field, 99)
        read = decode_verdict(message)
        assert read.decision is Decision.UNDECIDED
        assert f"UNKNOWN_{field.upper()}" in read.warnings
    message = encode_verdict(VERDICT)
    message.outcome = 99  # type: ignore[assignment]  # on purpose
    assert decode_verdict(message).outcome is not Outcome.VALID


def test_times() -> None:
    """None stays None; fractions of a second survive in durations."""
    assert timestamp(None) is None
    assert duration(None) is None
    half = duration(0.5)
    assert half is not None
    assert half.ToMilliseconds() == 500
    assert epoch(verdict_pb2.Verdict(), "evaluated_at") is None
