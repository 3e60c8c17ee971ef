"""Converts the standard's types to protos and back.

Enums go by name. A number that this software does not know becomes None or a default, never an error.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from healthcode.errors import InvalidInputError
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType
from healthcode.v1 import verdict_pb2
from healthcode.verification.verdict import Verdict
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.holder_tag import HolderMatch

__all__ = [
    "category_word",
    "decode_verdict",
    "duration",
    "encode_verdict",
    "enum_member",
    "enum_number",
    "enum_word",
    "epoch",
    "place_word",
    "refuse_unknown_fields",
    "timestamp",
]

_Word = TypeVar("_Word", bound=StrEnum)


def enum_number(proto: Any, word: StrEnum | None) -> Any:
    """The proto number of a word (`Level.GREEN` is LEVEL_GREEN); 0 for None or a word that the proto lacks."""
    if word is None:
        return 0
    found = _descriptor(proto).values_by_name.get(_prefix(proto) + word.value)
    return 0 if found is None else found.number


def enum_word(proto: Any, number: int) -> str | None:
    """The word of a proto number without its prefix; None for UNSPECIFIED or an unknown number."""
    found = _descriptor(proto).values_by_number.get(number)
    if found is None or number == 0:
        return None
    name: str = found.name
    return name.removeprefix(_prefix(proto))


def enum_member(proto: Any, number: int, kind: type[_Word]) -> _Word | None:
    """The member of `kind` for a proto number; None for UNSPECIFIED or an unknown number."""
    word = enum_word(proto, number)
    return kind(word) if word is not None and word in kind.__members__ else None


def place_word(number: int) -> str:
    """The place type's word: empty for UNSPECIFIED, the number as text if it is unknown."""
    return _word_or_number(verdict_pb2.PlaceType, number)


def category_word(number: int) -> str:
    """The person category's word: empty for UNSPECIFIED, the number as text if it is unknown."""
    return _word_or_number(verdict_pb2.PersonCategory, number)


def _word_or_number(proto: Any, number: int) -> str:
    return "" if number == 0 else enum_word(proto, number) or str(number)


def _descriptor(proto: EnumTypeWrapper) -> Any:
    return proto.DESCRIPTOR


def _prefix(proto: EnumTypeWrapper) -> str:
    """The prefix of an enum's values, taken from its UNSPECIFIED."""
    zero: str = _descriptor(proto).values_by_number[0].name
    return zero.removesuffix("UNSPECIFIED")


def timestamp(seconds: int | None) -> Timestamp | None:
    """Epoch seconds as a Timestamp."""
    return None if seconds is None else Timestamp(seconds=seconds)


def refuse_unknown_fields(message: Message, where: str = "request") -> None:
    """Raises InvalidInputError if any field of a message cannot be read.

    For requests that select codes or evidence: a condition that is passed over selects more.
    """
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise InvalidInputError(
            f"{where} has a field that cannot be read here (number {unknown[0].field_number}). A condition that is not read would "
            "select more, so nothing was done: use a client of the same release",
            fields={where: "only fields of this release"},
        )
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else (value,):
                refuse_unknown_fields(each, field.name)


def epoch(message: Any, field: str) -> int | None:
    """A Timestamp field as epoch seconds; None if it is not set."""
    return int(getattr(message, field).seconds) if message.HasField(field) else None


def duration(seconds: float | None) -> Duration | None:
    """Seconds as a Duration."""
    if seconds is None:
        return None
    made = Duration()
    made.FromNanoseconds(int(seconds * 1e9))
    return made


def encode_verdict(verdict: Verdict) -> verdict_pb2.Verdict:
    """A verdict as its proto."""
    return verdict_pb2.Verdict(
        outcome=enum_number(verdict_pb2.Outcome, verdict.outcome),
        decision=enum_number(verdict_pb2.Decision, verdict.decision),
        level=enum_number(verdict_pb2.Level, verdict.level),
        holder_match=enum_number(verdict_pb2.HolderMatch, verdict.holder_match),
        presentation=enum_number(verdict_pb2.Presentation, verdict.presentation),
        masked_name=verdict.masked_name or "",
        issuer=verdict.issuer or "",
        kid=verdict.kid or "",
        realm=verdict.realm,
        code_expires_at=timestamp(verdict.code_expires_at),
        rule=verdict.rule,
        policy_version=verdict.policy_version,
        remedy=verdict.remedy or "",
        trust_version=verdict.trust_version,
        trust_tier=enum_number(verdict_pb2.TrustTier, verdict.trust_tier),
        trust_age_seconds=verdict.trust_age_seconds,
        revocations_as_of=timestamp(verdict.revocations_as_of),
        evaluated_at=timestamp(verdict.evaluated_at),
        reusable_until=timestamp(verdict.reusable_until),
        item_id=verdict.item_id,
        detail=verdict.detail or "",
        shown_by_relative=verdict.shown_by_relative,
        warnings=verdict.warnings,
        place_type=enum_number(verdict_pb2.PlaceType, verdict.place_type),
        area_code=verdict.area_code,
        person_category=enum_number(verdict_pb2.PersonCategory, verdict.person_category),
        areas_version=verdict.areas_version,
    )


def decode_verdict(message: verdict_pb2.Verdict) -> Verdict:
    """The verdict that a server sent.

    An unknown outcome or decision reads as decision UNDECIDED; an unknown outcome becomes
    TEMPORARILY_UNAVAILABLE, which never refuses anyone. The warnings name it.
    """
    warnings = tuple(message.warnings)
    outcome = enum_member(verdict_pb2.Outcome, message.outcome, Outcome)
    decision = enum_member(verdict_pb2.Decision, message.decision, Decision)
    if outcome is None:
        warnings = (*warnings, "UNKNOWN_OUTCOME")
    elif decision is None:
        warnings = (*warnings, "UNKNOWN_DECISION")
    return Verdict(
        outcome=outcome or Outcome.TEMPORARILY_UNAVAILABLE,
        decision=decision if decision is not None and outcome is not None else Decision.UNDECIDED,
        level=enum_member(verdict_pb2.Level, message.level, Level),
        holder_match=enum_member(verdict_pb2.HolderMatch, message.holder_match, HolderMatch)
        or HolderMatch.NOT_CHECKED,
        presentation=enum_member(verdict_pb2.Presentation, message.presentation, Presentation),
        masked_name=message.masked_name or None,
        issuer=message.issuer or None,
        kid=message.kid or None,
        realm=message.realm,
        code_expires_at=epoch(message, "code_expires_at"),
        rule=message.rule,
        policy_version=message.policy_version,
        remedy=message.remedy or None,
        trust_version=message.trust_version,
        # an unknown tier counts as the worst
        trust_tier=enum_member(verdict_pb2.TrustTier, message.trust_tier, TrustTier) or TrustTier.STALE,
        trust_age_seconds=message.trust_age_seconds,
        revocations_as_of=epoch(message, "revocations_as_of"),
        evaluated_at=epoch(message, "evaluated_at") or 0,
        reusable_until=epoch(message, "reusable_until"),
        item_id=message.item_id,
        detail=message.detail or None,
        shown_by_relative=message.shown_by_relative,
        warnings=warnings,
        place_type=enum_member(verdict_pb2.PlaceType, message.place_type, PlaceType),
        area_code=message.area_code,
        person_category=enum_member(verdict_pb2.PersonCategory, message.person_category, PersonCategory),
        areas_version=message.areas_version,
    )
