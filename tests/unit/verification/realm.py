"""Two issuers with fixed keys in a trust view, and codes that they sign."""

from __future__ import annotations

import hashlib
from typing import Any

from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, Head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.revocation.state import RevocationState, build_state
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerKey, IssuerView, TrustView
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from tests.world import views
from tests.world.clock import NOW

REALM = "test-verify"
DAY_SECONDS = 86_400

LIVE = PrivateKey(b"L" * 32)
PAPER = PrivateKey(b"P" * 32)
ANSWER = PrivateKey(b"A" * 32)
FOREIGN = PrivateKey(b"F" * 32)
KEYS = ((LIVE, KeyPurpose.LIVE), (PAPER, KeyPurpose.PAPER), (ANSWER, KeyPurpose.ANSWER))
REVOKED_INDEX = 77


def revocations(*, killed: frozenset[bytes] = frozenset(), days: int = 30) -> RevocationState:
    today = day_of(NOW)
    data = encode_list(RevocationList(REALM, "31", today, [REVOKED_INDEX, 1 << 29]))
    entry = DayEntry(1, 2, hashlib.sha256(data).digest(), len(data))
    head = Head(1, REALM, "31", today - 1, today - 1 + days, {today: entry}, killed)
    return build_state(head, lambda _: data)


def issuer_key(private: PrivateKey, purpose: KeyPurpose, **changes: Any) -> IssuerKey:
    return views.issuer_key(private, purpose, now=NOW, **changes)


def issuer(code: str = "31", *keys: IssuerKey, **changes: Any) -> IssuerView:
    keys = keys or tuple(issuer_key(each, purpose) for each, purpose in KEYS)
    values = {"revocations": revocations(), "live_signed_at": NOW - 30, **changes}
    return views.issuer_view(code, keys, now=NOW, **values)


def view(*issuers: IssuerView, **changes: Any) -> TrustView:
    values = {
        "timestamp_version": 9,
        "snapshot_version": 7,
        "targets_version": 2,
        "timestamp_signed_at": NOW - 10,
        **changes,
    }
    return views.trust_view(REALM, issuers or (issuer(), issuer("00")), now=NOW, **values)


def claims(**changes: Any) -> CodeClaims:
    base = CodeClaims(
        issuer="31",
        issued_at=NOW - 60,
        expires_at=NOW + 600,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=6,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=None,
        salt=None,
        name="张*三",
    )
    return base._replace(**changes)


def code(private: PrivateKey = LIVE, realm: str = REALM, **changes: Any) -> str:
    return sign_code(claims(**changes), private, realm)
