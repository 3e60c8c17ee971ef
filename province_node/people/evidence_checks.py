"""Checks one item of evidence as a source sent it. Pure: each refusal names the field and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.clock import LAST_SECOND, rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError, PermissionDeniedError, Reason
from healthcode.identity.document import IdentityDocument
from healthcode.identity.participant import NATIONAL_PLATFORM, PARTICIPANTS
from healthcode.policy.area import is_area_code
from healthcode.policy.levels.evidence import (
    FINDINGS,
    Evidence,
    EvidenceKind,
    EvidenceState,
    Finding,
    TestMethod,
)
from healthcode.policy.levels.rules import LevelRules, Need

__all__ = ["MAX_RECORD", "EvidenceDraft", "check_draft"]

MAX_RECORD = 64
_MAX_REVISION = 2**31 - 1
_MAX_DOSE = 99
_TEXT_BYTES = {"instrument": 128, "port_of_entry": 64, "laboratory": 128, "product": 64}
_TEXT_KINDS = {
    "port_of_entry": EvidenceKind.QUARANTINE_ORDER,
    "laboratory": EvidenceKind.TEST,
    "product": EvidenceKind.VACCINATION,
}
# 66 (兵团) has no area codes of its own in GB/T 2260
_AREA_PROVINCES = frozenset(PARTICIPANTS) - {NATIONAL_PLATFORM, "66"}


@dataclass(frozen=True, slots=True)
class EvidenceDraft:
    """An item as it was sent. Times in epoch seconds; None is "not stated". `document` may be the error of its decoding."""

    record: str
    revision: int
    document: IdentityDocument | HealthcodeError
    kind: EvidenceKind | None
    finding: Finding | None = None
    method: TestMethod | None = None
    observed_at: int | None = None
    area: str = ""
    stay_from: int | None = None
    stay_to: int | None = None
    until: int | None = None
    instrument: str = ""
    port_of_entry: str = ""
    laboratory: str = ""
    product: str = ""
    dose: int = 0
    withdrawn: bool = False
    unknown_words: tuple[str, ...] = ()
    """The fields with a value that this software does not know."""


def check_draft(
    draft: EvidenceDraft, source: str, *, now: int, skew_seconds: int, rules: LevelRules | None
) -> Evidence:
    """The item, with the record as the source names it. Raises the error that refuses it; `fields` names the field."""
    if isinstance(draft.document, HealthcodeError):
        raise draft.document
    _check_record(draft)
    kind = _check_words(draft)
    _check_texts(draft, kind)
    observed_at = _check_times(draft, kind, now + skew_seconds)
    item = Evidence(
        source=source,
        record=draft.record,
        revision=draft.revision,
        kind=kind,
        observed_at=observed_at,
        known_at=now,
        finding=draft.finding,
        method=draft.method,
        area=draft.area,
        stay_from=draft.stay_from,
        stay_to=draft.stay_to,
        until=draft.until,
        instrument=draft.instrument,
        port_of_entry=draft.port_of_entry,
        laboratory=draft.laboratory,
        product=draft.product,
        dose=draft.dose or None,
        state=EvidenceState.WITHDRAWN if draft.withdrawn else EvidenceState.ACTIVE,
    )
    if rules is not None and not draft.withdrawn:
        _check_needs(item, rules)
    return item


def _check_record(draft: EvidenceDraft) -> None:
    record = draft.record
    if not (1 <= len(record) <= MAX_RECORD and record.isascii() and record.isprintable()):
        raise _refusal(
            "record", f"give the record's own number, 1 to {MAX_RECORD} printable ASCII characters"
        )
    if not 1 <= draft.revision <= _MAX_REVISION:
        raise _refusal("revision", "count from 1; a correction has a higher number")


def _check_words(draft: EvidenceDraft) -> EvidenceKind:
    for field in draft.unknown_words:
        raise _refusal(field, "not a word of the closed list; an unset field may be what was meant")
    kind = draft.kind
    if kind is None:
        raise _refusal("kind", f"say one of {', '.join(EvidenceKind)}")
    if kind is EvidenceKind.ORDER:
        raise PermissionDeniedError(
            "kind: an ORDER is an officer's, and no source may send one",
            reason=Reason.KIND_FORBIDDEN,
            fields={"kind": "an ORDER is an officer's"},
        )
    known = FINDINGS[kind]
    if draft.finding is None and known:
        raise _refusal("finding", f"{kind} says one of {', '.join(sorted(known))}")
    if draft.finding is not None and draft.finding not in known:
        wanted = f"one of {', '.join(sorted(known))}" if known else "no finding"
        raise _refusal("finding", f"{kind} says {wanted}, and never {draft.finding}")
    if kind is EvidenceKind.TEST and draft.method is None:
        raise _refusal("method", "a TEST says NUCLEIC or ANTIBODY")
    if kind is not EvidenceKind.TEST and draft.method is not None:
        raise _refusal("method", f"{kind} has no method: leave it unset")
    return kind


def _check_texts(draft: EvidenceDraft, kind: EvidenceKind) -> None:
    for field, limit in _TEXT_BYTES.items():
        text: str = getattr(draft, field)
        if len(text.encode()) > limit:
            raise _refusal(field, f"at most {limit} bytes")
        if not text.isprintable() or "\ufffd" in text:
            raise _refusal(field, "is not UTF-8, or has characters that cannot be printed")
        if text and _TEXT_KINDS.get(field, kind) is not kind:
            raise _refusal(field, f"{kind} has none: leave it unset")
    if draft.dose and kind is not EvidenceKind.VACCINATION:
        raise _refusal("dose", f"{kind} has none: leave it unset")
    if not 0 <= draft.dose <= _MAX_DOSE:
        raise _refusal("dose", f"1 to {_MAX_DOSE}")


def _check_times(draft: EvidenceDraft, kind: EvidenceKind, latest: int) -> int:
    """When the fact was so; the end of a stay."""
    if kind is EvidenceKind.AREA_STAY:
        return _check_stay(draft, latest)
    for field, value in (
        ("area_code", draft.area),
        ("stay_from", draft.stay_from),
        ("stay_to", draft.stay_to),
    ):
        if value:
            raise _refusal(
                field, f"only AREA_STAY has one: leave it unset, or say kind AREA_STAY instead of {kind}"
            )
    observed_at = draft.observed_at
    if observed_at is None or observed_at <= 0:
        raise _refusal("observed_at", "say when it was so; of a TEST, when the sample was taken")
    _check_past("observed_at", observed_at, latest)
    if draft.until is not None and draft.until <= observed_at:
        raise _refusal("until", "ends before it begins: give a time later than observed_at")
    if draft.until is not None and draft.until > LAST_SECOND:
        raise _refusal("until", "is after the year 9999: leave it unset if no end is known")
    return observed_at


def _check_stay(draft: EvidenceDraft, latest: int) -> int:
    if draft.observed_at is not None:
        raise _refusal("observed_at", "a stay has stay_from and stay_to: leave it unset")
    if draft.until is not None:
        raise _refusal("until", "a stay ends by stay_to: leave it unset")
    if not is_area_code(draft.area):
        raise _refusal("area_code", "six digits of GB/T 2260")
    if draft.area[:2] not in _AREA_PROVINCES:
        raise _refusal("area_code", f"no province has the number {draft.area[:2]}")
    if draft.stay_from is None or draft.stay_from <= 0:
        raise _refusal("stay_from", "say when the stay began")
    if draft.stay_to is None:
        raise _refusal(
            "stay_to", "a stay that goes on has the latest time known; send it again with a higher revision"
        )
    if draft.stay_to <= draft.stay_from:
        raise _refusal("stay_to", "ends before it begins: give a time later than stay_from")
    _check_past("stay_to", draft.stay_to, latest)
    return draft.stay_to


def _check_past(field: str, at: int, latest: int) -> None:
    if at > latest:
        message = f"{rfc3339(at)} is in the future: check the zone and the clock that wrote it"
        raise InvalidInputError(
            f"{field}: {message}", reason=Reason.EVIDENCE_IN_FUTURE, fields={field: message}
        )


def _check_needs(item: Evidence, rules: LevelRules) -> None:
    """What the level rules need of such an item: without it the evidence could change nothing."""
    for _, rule in rules.by_kind[item.kind]:
        if rule.findings is not None and item.finding not in rule.findings:
            continue
        for need in sorted(rule.needs):
            value = item.until if need is Need.UNTIL else getattr(item, need).strip()
            if not value:
                raise _refusal(str(need), f"level rule {rule.id} needs it")


def _refusal(field: str, message: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {message}", reason=Reason.EVIDENCE_INVALID, fields={field: message})
