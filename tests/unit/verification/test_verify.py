"""verify_code: each outcome, their order, and the fields of the verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.document import decode_document
from healthcode.policy.area import AreaRisk
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.clock_evidence import ClockEvidence
from healthcode.trust.format.json_files import Retirement
from healthcode.trust.view import TrustView
from healthcode.v1 import verdict_pb2
from healthcode.verification.context import CheckContext
from healthcode.verification.verdict import Verdict
from healthcode.verification.verify import verify_code
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.holder_tag import HolderMatch, holder_tag
from tests.unit.verification.realm import (
    DAY_SECONDS,
    FOREIGN,
    LIVE,
    NOW,
    PAPER,
    REALM,
    REVOKED_INDEX,
    claims,
    code,
    issuer,
    issuer_key,
    revocations,
    view,
)

CARD = decode_document("10", "11010519491231002X")
SALT = b"saltsalt"


def verify(text: str, trust: TrustView | None = None, now: int = NOW, **changes: Any) -> Verdict:
    return verify_code(trust or view(), text, CheckContext.of("STATION", item_id="7"), now, **changes)


def test_a_good_code_passes_with_every_field() -> None:
    """VALID and PASS, and the verdict tells what it rests on."""
    assert verify(code()).to_dict() == {
        "outcome": "VALID",
        "decision": "PASS",
        "level": "GREEN",
        "holder_match": "NOT_CHECKED",
        "presentation": "LIVE",
        "masked_name": "张*三",
        "issuer": "31",
        "kid": kid(LIVE.public).hex(),
        "realm": REALM,
        "code_expires_at": "2026-11-21T08:10:00Z",
        "rule": "N-PASS-1",
        "policy_version": "2026.1",
        "remedy": None,
        "trust_version": 7,
        "trust_tier": "FRESH",
        "trust_age_seconds": 30,
        "revocations_as_of": "2026-11-21T07:59:30Z",
        "evaluated_at": "2026-11-21T08:00:00Z",
        "reusable_until": "2026-11-21T08:05:00Z",
        "item_id": "7",
        "detail": None,
        "shown_by_relative": False,
        "warnings": [],
        "place_type": "STATION",
        "area_code": "",
        "person_category": "GENERAL",
        "areas_version": 0,
    }


def test_the_verdict_has_the_fields_of_the_proto() -> None:
    """Same names, same order, in proto, SDK and JSON."""
    names = [
        field.name for field in sorted(verdict_pb2.Verdict.DESCRIPTOR.fields, key=lambda field: field.number)
    ]
    assert list(Verdict._fields) == names == list(verify(code()).to_dict())
    json.dumps(verify("").to_dict())


def test_the_words_are_those_of_the_proto() -> None:
    """Every enum has the proto's words, in the proto's order, without its zero."""
    for ours, theirs in [
        (Outcome, verdict_pb2.Outcome),
        (Decision, verdict_pb2.Decision),
        (HolderMatch, verdict_pb2.HolderMatch),
        (Presentation, verdict_pb2.Presentation),
        (TrustTier, verdict_pb2.TrustTier),
    ]:
        prefix = theirs.Name(0).removesuffix("UNSPECIFIED")  # type: ignore[attr-defined]  # an enum wrapper
        assert [prefix + word for word in ours] == theirs.keys()[1:]  # type: ignore[attr-defined]  # as above


def without_key(purpose: KeyPurpose) -> TrustView:
    return view(issuer("31", issuer_key(PAPER, purpose)))


TODAY_END = NOW - NOW % DAY_SECONDS + DAY_SECONDS

CASES: list[tuple[str, TrustView | None, Outcome, str, Decision]] = [
    ("", None, Outcome.MALFORMED, "code.prefix", Decision.REFUSE),
    (code(realm="cn"), None, Outcome.MALFORMED, "code.other_realm", Decision.REFUSE),
    (code(issuer="44"), None, Outcome.UNKNOWN_ISSUER, "issuer.unknown", Decision.REFUSE),
    (
        code(issuer="44"),
        view(held_back={"44": Reason.SIGNATURE_THRESHOLD}),
        Outcome.UNKNOWN_ISSUER,
        "issuer.held_back",
        Decision.UNDECIDED,
    ),
    (
        code(issuer="44"),
        view(held_back={"44": Reason.PARTICIPANT_UNKNOWN}),
        Outcome.UNKNOWN_ISSUER,
        "issuer.unknown",
        Decision.REFUSE,
    ),
    (code(FOREIGN), None, Outcome.UNKNOWN_KEY, "key.unknown", Decision.REFUSE),
    (
        code(FOREIGN),
        view(held_back={"31": Reason.AUTHORITY_WAITS}),
        Outcome.UNKNOWN_KEY,
        "key.held_back",
        Decision.UNDECIDED,
    ),
    (
        code(FOREIGN),
        view(held_back={"44": Reason.AUTHORITY_WAITS}),
        Outcome.UNKNOWN_KEY,
        "key.unknown",
        Decision.REFUSE,
    ),
    (code(PAPER), None, Outcome.UNKNOWN_KEY, "key.purpose", Decision.REFUSE),
    (code(LIVE, presentation=Presentation.PAPER), None, Outcome.UNKNOWN_KEY, "key.purpose", Decision.REFUSE),
    (code(issued_at=NOW - 4 * DAY_SECONDS), None, Outcome.UNKNOWN_KEY, "key.window", Decision.REFUSE),
    (
        code(),
        view(issuer("31", issuer_key(LIVE, KeyPurpose.LIVE, not_after=NOW - 60))),
        Outcome.UNKNOWN_KEY,
        "key.window",
        Decision.REFUSE,
    ),
    (
        code(),
        view(issuer("31", issuer_key(LIVE, KeyPurpose.LIVE, public=FOREIGN.public))),
        Outcome.BAD_SIGNATURE,
        "signature.invalid",
        Decision.REFUSE,
    ),
    (code(realm="test-other"), None, Outcome.BAD_SIGNATURE, "signature.invalid", Decision.REFUSE),
    (
        code(),
        view(issuer("31", issuer_key(LIVE, KeyPurpose.LIVE, alg="SM2"))),
        Outcome.BAD_SIGNATURE,
        "signature.algorithm",
        Decision.REFUSE,
    ),
    (
        code(),
        view(issuer(revocations=revocations(killed=frozenset({kid(LIVE.public)})))),
        Outcome.KEY_REVOKED,
        "key.killed",
        Decision.REFUSE,
    ),
    (code(issued_at=NOW + 301), None, Outcome.NOT_YET_VALID, "code.not_yet_valid", Decision.UNDECIDED),
    (code(not_before=NOW + 301), None, Outcome.NOT_YET_VALID, "code.not_yet_valid", Decision.UNDECIDED),
    (code(), view(timestamp_signed_at=NOW + 301), Outcome.NOT_YET_VALID, "clock.behind", Decision.UNDECIDED),
    (
        code(),
        view(issuer(live_signed_at=NOW + 301)),
        Outcome.NOT_YET_VALID,
        "clock.behind",
        Decision.UNDECIDED,
    ),
    (code(expires_at=NOW), None, Outcome.EXPIRED, "code.expired", Decision.REFUSE),
    (
        code(issued_at=NOW - 3600, expires_at=NOW + 600),
        None,
        Outcome.EXPIRED,
        "code.validity_capped",
        Decision.REFUSE,
    ),
    (code(index=REVOKED_INDEX), None, Outcome.REVOKED, "revocation.listed", Decision.REFUSE),
    (code(index=1 << 29), None, Outcome.REVOKED, "revocation.listed", Decision.REFUSE),
    (code(), view(issuer(revocations=None)), Outcome.NOT_COVERED, "revocation.no_head", Decision.UNDECIDED),
    (
        code(PAPER, presentation=Presentation.PAPER, expires_at=NOW + 3 * DAY_SECONDS),
        view(issuer(revocations=revocations(days=3))),
        Outcome.NOT_COVERED,
        "revocation.day",
        Decision.UNDECIDED,
    ),
    (
        code(),
        view(issuer(live_signed_at=NOW - 86_401)),
        Outcome.STALE_TRUST,
        "trust.stale",
        Decision.UNDECIDED,
    ),
    (code(), view(timestamp_signed_at=NOW - 86_401), Outcome.STALE_TRUST, "trust.stale", Decision.UNDECIDED),
]


@pytest.mark.parametrize(("text", "trust", "outcome", "detail", "decision"), CASES)
def test_each_outcome(
    text: str, trust: TrustView | None, outcome: Outcome, detail: str, decision: Decision
) -> None:
    """What is wrong is found, named, and decided."""
    verdict = verify(text, trust)
    assert (verdict.outcome, verdict.detail, verdict.decision) == (outcome, detail, decision)
    assert verdict.remedy
    assert verdict.reusable_until is None


def test_the_first_outcome_that_holds_is_the_answer() -> None:
    """With everything wrong at once, mending one fault shows the next in the order of the design."""
    bad_key = issuer_key(FOREIGN, KeyPurpose.LIVE)
    dead = frozenset({kid(LIVE.public)})
    stale = {"live_signed_at": NOW - 10 * DAY_SECONDS}
    old = {"issued_at": NOW - 7200, "expires_at": NOW - 3600}
    good_key = issuer_key(LIVE, KeyPurpose.LIVE)
    wrong = replace(good_key, public=FOREIGN.public)
    future = {"issued_at": NOW + 1000, "expires_at": NOW + 1001}
    uncovered = replace(revocations(), lists={}, head=replace(revocations().head, covered_to=0, days={}))
    steps = [
        (code(issuer="44", **old), view(issuer("31", bad_key, **stale)), Outcome.UNKNOWN_ISSUER),
        (code(**old), view(issuer("31", bad_key, **stale)), Outcome.UNKNOWN_KEY),
        (
            code(**old),
            view(issuer("31", wrong, revocations=revocations(killed=dead), **stale)),
            Outcome.BAD_SIGNATURE,
        ),
        (
            code(**old),
            view(issuer("31", good_key, revocations=revocations(killed=dead), **stale)),
            Outcome.KEY_REVOKED,
        ),
        (code(**future), view(issuer("31", good_key, **stale)), Outcome.NOT_YET_VALID),
        (code(index=REVOKED_INDEX, **old), view(issuer("31", good_key, **stale)), Outcome.EXPIRED),
        (code(index=REVOKED_INDEX), view(issuer("31", good_key, **stale)), Outcome.REVOKED),
        (code(), view(issuer("31", good_key, revocations=uncovered, **stale)), Outcome.NOT_COVERED),
        (code(), view(issuer("31", good_key, **stale)), Outcome.STALE_TRUST),
        (code(), view(issuer("31", good_key)), Outcome.HOLDER_MISMATCH),
    ]
    for text, trust, outcome in steps:
        assert verify(text, trust, holder_match=HolderMatch.MISMATCH).outcome is outcome


def test_nothing_of_the_person_is_told_that_no_good_signature_proves() -> None:
    """An unproven code gives no level and no name, and a killed key proves nothing."""
    for text, trust, outcome, _, _ in CASES:
        verdict = verify(text, trust)
        proven = outcome not in {
            Outcome.MALFORMED,
            Outcome.UNKNOWN_ISSUER,
            Outcome.UNKNOWN_KEY,
            Outcome.BAD_SIGNATURE,
            Outcome.KEY_REVOKED,
        }
        assert (verdict.level is not None) is proven
        assert (verdict.masked_name is not None) is proven


def test_skew_helps_the_beginning_and_never_the_end() -> None:
    """Up to 300 s ahead iat and nbf are taken; at exp the code is over."""
    assert verify(code(issued_at=NOW + 300, expires_at=NOW + 900)).outcome is Outcome.VALID
    assert verify(code(not_before=NOW + 300)).outcome is Outcome.VALID
    assert verify(code(expires_at=NOW + 1)).outcome is Outcome.VALID
    assert verify(code(expires_at=NOW)).outcome is Outcome.EXPIRED


def test_a_clock_that_is_behind_raises_an_alarm() -> None:
    """Signed times ahead of the clock are UNDECIDED and flagged, never EXPIRED."""
    assert verify(code(), now=NOW - 3600).outcome is Outcome.NOT_YET_VALID
    verdict = verify(code(issued_at=NOW - 4000, expires_at=NOW - 3000), now=NOW - 3600)
    assert (verdict.detail, verdict.warnings) == ("clock.behind", ("CLOCK_BEHIND",))
    assert verdict.decision is Decision.UNDECIDED


def test_a_clock_that_was_not_compared_calls_nothing_expired_for_certain() -> None:
    """Before a node's first contact a code that has ended is UNDECIDED, and every verdict says why."""
    trust = view(is_clock_unchecked=True)
    good = verify(code(), trust)
    assert (good.outcome, good.decision, good.warnings) == (
        Outcome.VALID,
        Decision.PASS,
        ("CLOCK_UNCHECKED",),
    )
    ended = verify(code(expires_at=NOW + 100), trust, now=NOW + 7200)
    assert (ended.outcome, ended.detail, ended.decision) == (
        Outcome.STALE_TRUST,
        "clock.unchecked",
        Decision.UNDECIDED,
    )
    assert "CLOCK_UNCHECKED" in ended.warnings
    assert "set the clock" in (ended.remedy or "")


def test_what_ended_before_the_newest_signature_has_expired_by_any_clock() -> None:
    """A signed time on disk proves that it is later, also before the first contact."""
    trust = view(is_clock_unchecked=True)
    ended = verify(code(issued_at=NOW - 900, expires_at=NOW - 600), trust)
    assert (ended.outcome, ended.decision) == (Outcome.EXPIRED, Decision.REFUSE)


def test_where_the_clock_is_the_cause_the_remedy_is_to_set_it() -> None:
    """Not to refresh the trust, which would not help."""
    ahead = view(clock_evidence=ClockEvidence(seen_at=NOW + 7200, signed_at=NOW))
    verdict = verify(code(expires_at=NOW + 100), ahead, now=NOW + 7200)
    assert (verdict.detail, verdict.decision) == ("clock.ahead", Decision.UNDECIDED)
    assert "Set the clock" in (verdict.remedy or "")
    assert "efresh" not in (verdict.remedy or "")


def test_a_clock_without_battery_is_found_too() -> None:
    """A machine that believes it is 1970 gets UNDECIDED and the alarm, not an error."""
    verdict = verify(code(issued_at=NOW - 60), now=0)
    assert (verdict.outcome, verdict.decision) == (Outcome.NOT_YET_VALID, Decision.UNDECIDED)
    assert verify("", now=0).outcome is Outcome.MALFORMED


def test_the_cap_of_the_policy_shows_in_the_expiry() -> None:
    """An issuer cannot give a LIVE code more than the policy's hour, and the verdict says when it ends."""
    verdict = verify(code(expires_at=NOW + 7200))
    assert verdict.code_expires_at == NOW - 60 + 3600
    assert verify(code(expires_at=NOW + 100)).reusable_until == NOW + 100


def test_one_silent_province_ages_alone() -> None:
    """Its codes go AGING, then STALE; its neighbour's stay FRESH."""
    quiet = issuer(live_signed_at=NOW - 3 * DAY_SECONDS)
    busy = issuer("00")
    trust = view(quiet, busy)
    assert verify(code(), trust).outcome is Outcome.STALE_TRUST
    other = verify(code(issuer="00", level=Level.NO_ABNORMALITY), trust)
    assert (other.outcome, other.trust_tier, other.decision) == (
        Outcome.VALID,
        TrustTier.FRESH,
        Decision.PASS,
    )
    aging = verify(code(), view(issuer(live_signed_at=NOW - 3600)))
    assert (aging.trust_tier, aging.decision) == (TrustTier.AGING, Decision.PASS)


def test_a_place_may_ask_for_fresher_trust() -> None:
    """Twenty hours are AGING at a station and STALE in a hospital."""
    trust = view(timestamp_signed_at=NOW - 20 * 3600)
    assert verify(code(), trust).outcome is Outcome.VALID
    hospital = verify_code(trust, code(), CheckContext.of("HOSPITAL"), NOW)
    assert hospital.outcome is Outcome.STALE_TRUST


@pytest.mark.parametrize(
    ("level", "decision"),
    [
        (Level.YELLOW, Decision.FURTHER_CHECK),
        (Level.RED, Decision.REFUSE),
        (Level.PENDING, Decision.FURTHER_CHECK),
    ],
)
def test_levels_decide(level: Level, decision: Decision) -> None:
    """A VALID code that is not green is still VALID; the policy says what follows."""
    verdict = verify(code(level=level))
    assert (verdict.outcome, verdict.level, verdict.decision) == (Outcome.VALID, level, decision)


def test_the_holder_is_matched_last() -> None:
    """A fitting card is MATCH, a stranger's is HOLDER_MISMATCH, another kind is NOT_COMPARABLE and no mismatch."""
    text = code(tag=holder_tag(CARD, SALT), salt=SALT)
    assert verify(text, document=CARD).holder_match is HolderMatch.MATCH
    stranger = verify(text, document=decode_document("10", "440524188001010014"))
    assert (stranger.outcome, stranger.decision) == (Outcome.HOLDER_MISMATCH, Decision.REFUSE)
    passport = verify(text, document=decode_document("20", "E12345678"))
    assert (passport.outcome, passport.holder_match) == (Outcome.VALID, HolderMatch.NOT_COMPARABLE)
    untagged = verify(code(), document=CARD)
    assert (untagged.outcome, untagged.holder_match) == (Outcome.VALID, HolderMatch.NOT_COMPARABLE)
    assert verify(code(expires_at=NOW), document=CARD).holder_match is HolderMatch.NOT_CHECKED


def test_an_unknown_word_falls_to_its_default_and_is_flagged() -> None:
    """A place or category that this node does not know never fails a check."""
    verdict = verify_code(view(), code(), CheckContext.of("SPACEPORT", "310115", "MARTIAN"), NOW)
    assert verdict.outcome is Outcome.VALID
    assert verdict.warnings == ("UNKNOWN_PLACE_TYPE", "UNKNOWN_PERSON_CATEGORY")
    assert (verdict.place_type, verdict.person_category) == (PlaceType.OTHER, PersonCategory.GENERAL)


def test_a_verdict_names_the_place_that_decided() -> None:
    """The place, area and category used are in the verdict; without a place it warns, and OTHER by name is silent."""
    for place in (None, ""):
        verdict = verify_code(view(), code(), CheckContext.of(place, "310115"), NOW)
        assert verdict.warnings == ("NO_PLACE_TYPE",)
        assert (verdict.place_type, verdict.area_code) == (PlaceType.OTHER, "310115")
    verdict = verify_code(view(), code(), CheckContext.of("other", category="special"), NOW)
    assert verdict.warnings == ()
    assert (verdict.place_type, verdict.area_code) == (PlaceType.OTHER, "")
    assert verdict.person_category is PersonCategory.SPECIAL


def test_a_verdict_names_the_version_of_the_areas() -> None:
    """0 where no risk of areas was published."""
    assert verify(code()).areas_version == 0
    assert verify(code(), replace(view(), areas_version=4)).areas_version == 4


def test_a_context_that_cannot_be_meant_is_refused() -> None:
    """An area code that is no code, and an item id over 64 bytes, name their field."""
    for changes, field in [({"area": "31"}, "area_code"), ({"item_id": "中" * 22}, "item_id")]:
        with pytest.raises(InvalidInputError) as caught:
            CheckContext.of(**changes)  # type: ignore[arg-type]  # one field at a time
        assert field in caught.value.fields


def test_equal_arguments_give_equal_verdicts() -> None:
    """Verification is pure."""
    trust = view(areas=AreaRisk(NOW, {}))
    assert verify(code(), trust) == verify(code(), trust)
    assert claims() == claims()


SIGNS, ENDS = NOW + 3600, NOW + 2 * DAY_SECONDS
RETIREMENT = Retirement(signs_until=SIGNS, codes_until=ENDS)


def retiring() -> TrustView:
    """A realm that participant 31 leaves."""
    return view(issuer(signs_until=SIGNS, codes_until=ENDS), issuer("00"), retirements={"31": RETIREMENT})


def test_a_code_of_a_province_that_leaves_passes_and_says_until_when() -> None:
    """Its holder is told in time; the level's own remedy stays; nobody else's code says anything."""
    verdict = verify(code(), retiring())
    assert (verdict.outcome, verdict.decision) == (Outcome.VALID, Decision.PASS)
    assert verdict.remedy is not None
    assert rfc3339(ENDS) in verdict.remedy
    assert "new code" in verdict.remedy
    assert verdict.warnings == ("ISSUER_RETIRES",)
    yellow = verify(code(level=Level.YELLOW), retiring()).remedy or ""
    assert "temperature" in yellow
    assert rfc3339(ENDS) in yellow
    assert verify(code(issuer="00"), retiring()).remedy is None
    # a code that is refused for another reason says that alone
    forged = verify(code(FOREIGN), retiring())
    assert "leaves" not in (forged.remedy or "")
    assert forged.warnings == ()


def test_codes_of_a_province_that_left_are_refused_and_say_why() -> None:
    """From the end of its codes on: EXPIRED while it is still delegated to, UNKNOWN_ISSUER after; one detail."""
    text = code(PAPER, presentation=Presentation.PAPER, expires_at=ENDS + DAY_SECONDS)
    before = verify(text, retiring(), now=ENDS - 1)
    assert before.code_expires_at == ENDS
    over = verify(text, replace(retiring(), timestamp_signed_at=ENDS - 1), now=ENDS)
    assert (over.outcome, over.detail) == (Outcome.EXPIRED, "issuer.retired")
    gone = verify(text, view(issuer("00"), retirements={"31": RETIREMENT}), now=ENDS)
    assert (gone.outcome, gone.detail) == (Outcome.UNKNOWN_ISSUER, "issuer.retired")
    for verdict in (over, gone):
        assert verdict.decision is not Decision.PASS
        assert "has left" in (verdict.remedy or "")
        assert rfc3339(ENDS) in (verdict.remedy or "")
