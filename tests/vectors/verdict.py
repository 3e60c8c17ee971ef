"""Vectors of verification: a trust tree, and the verdict on a code for every outcome and detail."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from healthcode.clock import rfc3339
from healthcode.identity.document import decode_document
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.policy.decide import Facts
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome, PersonCategory, PlaceType
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.verify import verify_code
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.code import sign_code
from healthcode.wire.holder_tag import holder_tag
from tests.simulator.realm import NOW, SimulatedRealm
from tests.vectors.code import (
    CARD,
    DAY_SECONDS,
    REALM,
    SALT,
    another_algorithm,
    base_claims,
    key_of,
    later_version,
    malformed_codes,
)

REVOKED_INDEX = 77
STRANGER = ("10", "440524188001010014")
PASSPORT = ("20", "E12345678")


@cache
def realm() -> SimulatedRealm:
    """The realm of the vectors: 00, 11, 31 and 44; one code revoked, one key killed, one never published."""
    made = SimulatedRealm(("00", "11", "31", "44"), realm=REALM)
    made.revoke("31", REVOKED_INDEX, NOW + 600)
    made.publish_live("31")
    made.kill("11", kid(key_of("11", KeyPurpose.LIVE).public))
    made.publish_live("11")
    made.publish()
    return made


@cache
def view() -> TrustView:
    """The realm as a client sees it."""
    with TemporaryDirectory() as folder:
        return realm().client(Path(folder)).refresh(NOW).view


@dataclass(frozen=True)
class Case:
    """One code at one place and time."""

    name: str
    text: str
    now: int = NOW
    place: str = "STATION"
    area: str = ""
    category: str = ""
    document: tuple[str, str] | None = None


def _code(
    issuer: str = "31", purpose: KeyPurpose = KeyPurpose.LIVE, realm_name: str = REALM, **changes: Any
) -> str:
    return sign_code(base_claims(issuer=issuer, **changes), key_of(issuer, purpose), realm_name)


def cases() -> Iterator[Case]:
    """Every outcome, and every detail that a trust tree at one moment can show."""
    paper = {"presentation": Presentation.PAPER}
    tagged = _code(tag=holder_tag(decode_document(*CARD), SALT), salt=SALT)
    for level in (Level.GREEN, Level.YELLOW, Level.RED, Level.PENDING):
        yield Case(f"valid-{level.lower()}", _code(level=level))
    yield Case("valid-no-abnormality", _code("00", level=Level.NO_ABNORMALITY))
    yield Case("valid-paper", _code(purpose=KeyPurpose.PAPER, expires_at=NOW + 7 * DAY_SECONDS, **paper))
    yield Case("valid-shown-by-relative", _code(shown_by_relative=True))
    yield Case("valid-later-version", later_version())
    yield Case("valid-life-capped", _code(expires_at=NOW + 7200))
    yield Case("valid-in-a-high-risk-area", _code(), area="310115")
    yield Case("valid-at-an-unknown-place", _code(), place="SPACEPORT", category="MARTIAN")
    yield Case("valid-without-a-place", _code(), place="")
    yield Case("valid-last-second", _code(), now=NOW + 599)
    yield Case("valid-skew-of-300", _code(issued_at=NOW + 300, expires_at=NOW + 900))
    yield Case("valid-holder", tagged, document=CARD)
    yield Case("valid-holder-of-another-kind", tagged, document=PASSPORT)
    yield Case("valid-code-without-tag", _code(), document=CARD)
    yield Case("aging", _code(issued_at=NOW + 3600, expires_at=NOW + 4200), now=NOW + 3660)
    name, text, _ = next(malformed_codes())
    yield Case(f"malformed-{name}", text)
    yield Case("malformed-other-realm", _code(realm_name="cn"))
    yield Case("unknown-issuer", sign_code(base_claims(issuer="12"), key_of("31", KeyPurpose.LIVE), REALM))
    yield Case("unknown-key", sign_code(base_claims(), key_of("12", KeyPurpose.LIVE), REALM))
    yield Case("unknown-key-of-a-neighbour", sign_code(base_claims(), key_of("44", KeyPurpose.LIVE), REALM))
    yield Case("unknown-key-by-purpose", _code(purpose=KeyPurpose.PAPER))
    yield Case("unknown-key-by-window", _code(issued_at=NOW - 2 * DAY_SECONDS))
    yield Case("bad-signature-of-another-realm", _code(realm_name="test-other"))
    yield Case("bad-signature-of-another-algorithm", another_algorithm())
    yield Case("bad-signature-tampered", _tampered())
    yield Case("key-revoked", _code("11"))
    yield Case("not-yet-valid-by-iat", _code(issued_at=NOW + 301, expires_at=NOW + 900))
    yield Case("not-yet-valid-by-nbf", _code(not_before=NOW + 301))
    yield Case("not-yet-valid-by-clock", _code(issued_at=NOW - 4000, expires_at=NOW - 3000), now=NOW - 3600)
    yield Case("expired", _code(), now=NOW + 600)
    yield Case("expired-by-cap", _code(issued_at=NOW - 3600))
    yield Case("revoked", _code(index=REVOKED_INDEX))
    yield Case("not-covered", _code(purpose=KeyPurpose.PAPER, expires_at=NOW + 60 * DAY_SECONDS, **paper))
    late = NOW + 86_401
    yield Case("stale-trust", _code(issued_at=late - 60, expires_at=late + 600), now=late)
    soon = NOW + 43_201
    yield Case(
        "stale-trust-in-a-hospital",
        _code(issued_at=soon - 60, expires_at=soon + 600),
        now=soon,
        place="HOSPITAL",
    )
    yield Case(
        "unknown-key-with-aging-trust",
        sign_code(base_claims(), key_of("12", KeyPurpose.LIVE), REALM),
        now=NOW + 1000,
    )
    yield Case("holder-mismatch", tagged, document=STRANGER)


def _tampered() -> str:
    """A YELLOW code whose level was changed to GREEN under its old signature."""
    yellow = _code(level=Level.YELLOW)
    green = _code(level=Level.GREEN)
    # both texts have the same length; the signature is the last 64 bytes
    return green[: len(green) - 96] + yellow[len(yellow) - 96 :]


def verdicts() -> list[dict[str, Any]]:
    """Each case with its verdict."""
    made = []
    for case in cases():
        document = None if case.document is None else decode_document(*case.document)
        context = CheckContext.of(case.place, case.area, case.category, case.name)
        verdict = verify_code(view(), case.text, context, case.now, document=document)
        made.append(
            {
                "name": case.name,
                "text": case.text,
                "now": rfc3339(case.now),
                "place_type": case.place,
                "area_code": case.area,
                "person_category": case.category,
                "document": case.document and list(case.document),
                "verdict": verdict.to_dict(),
            }
        )
    return made


def rulings() -> list[list[str | None]]:
    """The default policy for every outcome, level and tier: (outcome, level, tier, decision, rule)."""
    policy = decode_policy(default_policy_bytes()).in_force(NOW)
    rows = []
    for outcome, level, tier in itertools.product(Outcome, [None, *Level], TrustTier):
        ruling = policy.decide(Facts(outcome, level, tier, PlaceType.OTHER, None, PersonCategory.GENERAL))
        rows.append([outcome, level, tier, ruling.decision, ruling.rule_id])
    return rows
